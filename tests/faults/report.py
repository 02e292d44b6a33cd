"""How verdicts are written: a line each, and the totals."""

from collections.abc import Sequence

from tests.faults.verdict import Verdict

_SHOWN = 12
_COLUMNS = ("sagas", "compl.", "undone", "lost", "stuck", "double", "order", "log<>", "books", "s")
HEAD = f"{'fault':<22}" + "".join(f"{name:>7}" for name in _COLUMNS) + "  struck"


def line(name: str, verdict: Verdict, took_s: float) -> str:
    """One line of the table."""
    struck = ", ".join(f"{count} {what}" for what, count in verdict.struck.items()) or "-"
    numbers = (
        verdict.sagas, verdict.completed, verdict.compensated, verdict.lost, verdict.stuck,
        verdict.double_effects, verdict.order_violations, verdict.log_mismatches,
    )  # fmt: skip
    balanced = "yes" if verdict.books_balanced else "NO"
    return (
        f"{name:<22}"
        + "".join(f"{number:>7}" for number in numbers)
        + f"{balanced:>7}{took_s:>7.0f}  {struck}"
    )


def explained(verdict: Verdict) -> str:
    """The first of what is broken, a line each."""
    broken = [
        f"    saga {violation.saga_id}: {violation.breach}" for violation in verdict.violations[:_SHOWN]
    ]
    return "\n".join([*broken, *(f"    {difference}" for difference in verdict.differences[:_SHOWN])])


def summary(verdicts: Sequence[Verdict]) -> dict[str, object]:
    """The totals."""
    return {
        "faults": len(verdicts),
        "sagas": sum(verdict.sagas for verdict in verdicts),
        "lost": sum(verdict.lost for verdict in verdicts),
        "stuck": sum(verdict.stuck for verdict in verdicts),
        "double_effects": sum(verdict.double_effects for verdict in verdicts),
        "order_violations": sum(verdict.order_violations for verdict in verdicts),
        "log_mismatches": sum(verdict.log_mismatches for verdict in verdicts),
        "books_balanced": all(verdict.books_balanced for verdict in verdicts),
    }
