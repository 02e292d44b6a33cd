"""`saga simulate`: every state a saga can reach, under crashes, repeated deliveries and an abort at any point."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.cli.output import say

_EXIT_VIOLATIONS = 8


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command()(simulate)


def simulate(
    definition: Annotated[
        str | None, typer.Argument(help="name or name@version of what is shipped, or a JSON or YAML file.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="The corpus and every shipped definition.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object per definition.")] = False,
    max_states: Annotated[
        int, typer.Option(min=1, help="Give up on one definition after so many.")
    ] = 500_000,
    calm: Annotated[
        bool, typer.Option("--calm", help="No acks that are forgotten, no undos that fail: fewer states.")
    ] = False,
    external: Annotated[bool, typer.Option("--external", help="Effects outside the database.")] = False,
) -> None:
    """Prove a definition: explore all that can happen to a saga, and check every invariant in every state."""
    from contracts.failure import InvalidContract
    from saga.simulate import Faults
    from saga.simulate import simulate as explore

    if (definition is None) != all_:
        raise InvalidContract("give one definition, or --all")
    faults = Faults(
        effects="external" if external else "guarded",
        duplicates=int(not calm), forgetful=not calm, undo_failures=not calm,
    )  # fmt: skip
    broken = incomplete = 0
    for found in _wanted(definition):
        report = explore(found, max_states=max_states, faults=faults, compensable=_compensable(found))
        broken += len(report.violations)
        incomplete += not report.complete and not report.violations
        if json_:
            violations = [asdict(violation) for violation in report.violations]
            print(json.dumps(
                {"definition": report.definition, "states": report.states, "violations": violations,
                 "complete": report.complete}
            ), flush=True)  # fmt: skip
        else:
            _tell(report)
    if broken:
        raise typer.Exit(_EXIT_VIOLATIONS)
    if incomplete:
        say(f"{incomplete} not explored to the end: more than {max_states} states, try --max-states")


def _wanted(definition: str | None) -> list[Any]:
    from pydantic import ValidationError

    from contracts.definition import SagaDefinition
    from contracts.facts import explain
    from contracts.failure import InvalidContract, NotFound
    from saga.cli.remote import read_document
    from saga.domains import shipped_definitions
    from saga.simulate.corpus import CORPUS

    shipped = shipped_definitions()
    if definition is None:
        return [*CORPUS, *shipped]
    if Path(definition).suffix in (".json", ".yaml", ".yml") or definition == "-":
        try:
            return [SagaDefinition.model_validate(read_document(definition))]
        except ValidationError as error:
            raise InvalidContract(f"{definition}: {explain(error)}") from error
    found = [one for one in (*shipped, *CORPUS) if definition in (one.ref, one.name)]
    if not found:
        names = ", ".join(one.ref for one in shipped)
        raise NotFound(f"no definition {definition!r} and no such file: there are {names}")
    return found[-1:]


def _compensable(definition: Any) -> list[str] | None:
    """The steps whose action has an undo; all of them where an action is not of a shipped domain."""
    from contracts.actions import DOMAINS, domain_actions

    known = {action.name: action.compensable for domain in DOMAINS for action in domain_actions(domain)}
    if any(step.action not in known for step in definition.steps):
        return None
    return [step.name for step in definition.steps if known[step.action]]


def _tell(report: Any) -> None:
    end = "" if report.complete or report.violations else ", bounded: not all of them"
    print(f"{report.definition:32} {report.states:>9,} states{end}, {len(report.violations)} violations")
    for violation in report.violations:
        print(f"  {violation.invariant} at {violation.step}: {violation.detail}")
        for number, line in enumerate(violation.trace, 1):
            print(f"    {number:>3}. {line}")
