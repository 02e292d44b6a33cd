"""The verdict on a run: the stream against the invariants, the effects against the facts, the log against the
stream, the books against each other.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.facts import Fact, Recorded
from contracts.subjects import SAGA_STEP
from events.clock import utc_now
from saga.audit import Auditor, LogRows, Violation, everything, learn, read_log
from saga.invariants import Breach, Effects, Invariant, StepEffects, check_effects
from saga.log.store import open_log
from services.payments.books import Books, Records, compare, read_records
from tests.faults.ground import Ground
from tests.faults.load import Load

COMPENSABLE = frozenset(
    {"create_payment", "check_liquidity", "lock_exchange_rate", "execute_mmo", "settle_payment"}
)
_WITHOUT_EFFECT = ("validate_payment", "optimize_route", "validate_compliance")
# The books and the invariants both see what happened twice: it is counted once.
_ONCE = frozenset({Invariant.EFFECT_ONCE, Invariant.UNDO_ONCE})
_OF_EFFECTS = _ONCE | {Invariant.TRUTH, Invariant.ALL_OR_NOTHING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the sagas of one run. Every breach is counted in exactly one of the numbers."""

    sagas: int
    completed: int
    compensated: int
    facts: int
    lost: int
    stuck: int
    double_effects: int
    order_violations: int
    log_mismatches: int
    books_balanced: bool
    violations: tuple[Violation, ...] = ()
    differences: tuple[str, ...] = ()
    struck: Mapping[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        counts = (
            self.lost, self.stuck, self.double_effects, self.order_violations, self.log_mismatches,
            len(self.violations), len(self.differences),
        )  # fmt: skip
        return self.books_balanced and not any(counts)


async def judge(ground: Ground, load: Load, struck: Mapping[str, int], *, log: bool = True) -> Verdict:
    """The verdict, from a second reading of everything, once all is at rest."""
    rows = await _log_rows(ground.settings.url_of("saga-log")) if log else None
    auditor = Auditor(ground.definitions.get, log=rows)
    facts: dict[str, list[Recorded]] = defaultdict(list)
    async for partition, message in everything(ground.bus):
        await learn(ground.definitions, message)
        if auditor.hear(partition, message) is not None:
            fact = Fact.decode(message.payload)
            facts[fact.sagaid].append(Recorded(message.sequence, fact))
    violations = auditor.violations(started=load.started, silent_since=utc_now())
    if log:
        violations += _unknown_to_the_log(auditor)
    records = await read_records(ground.settings, await ground.statement())
    violations += _effect_violations(facts, auditor, records)
    books = compare(records)
    return _verdict(auditor, load, violations, books, struck)


def _verdict(
    auditor: Auditor, load: Load, violations: list[Violation], books: Books, struck: Mapping[str, int]
) -> Verdict:
    found: dict[Invariant, set[tuple[str, str]]] = defaultdict(set)
    for violation in violations:
        found[violation.breach.invariant].add((violation.saga_id, violation.breach.step))
    counted = {
        Invariant.NONE_LOST, Invariant.NOT_STUCK, Invariant.LOG_EQUALS_STREAM, *_OF_EFFECTS,
    }  # fmt: skip
    status = Counter(saga.state.status.value for saga in auditor.sagas.values())
    return Verdict(
        sagas=len(load.started),
        completed=status["completed"],
        compensated=status["compensated"],
        facts=auditor.facts,
        lost=len(found[Invariant.NONE_LOST]),
        stuck=len(found[Invariant.NOT_STUCK]),
        double_effects=max(books.duplicates, sum(len(found[one]) for one in _ONCE))
        + sum(len(found[one]) for one in _OF_EFFECTS - _ONCE),
        order_violations=sum(len(ones) for one, ones in found.items() if one not in counted),
        log_mismatches=len({saga_id for saga_id, _ in found[Invariant.LOG_EQUALS_STREAM]}),
        books_balanced=books.balanced,
        violations=tuple(violations),
        differences=books.differences,
        struck=dict(struck),
    )


async def _log_rows(url: str) -> LogRows:
    async with open_log(url) as database:
        return await read_log(database)


def _unknown_to_the_log(auditor: Auditor) -> list[Violation]:
    """The log has stated all outcomes before it is read, so there is no saga whose end it does not know."""
    return [
        Violation(saga_id, Breach(Invariant.LOG_EQUALS_STREAM, SAGA_STEP, "the log does not know its end"))
        for saga_id, saga in auditor.sagas.items()
        if saga.at_log is None or saga.at_log.status != saga.state.status
    ]


def _effect_violations(
    facts: Mapping[str, Sequence[Recorded]], auditor: Auditor, records: Records
) -> list[Violation]:
    happened = effects_of(records)
    found = []
    for saga_id, story in facts.items():
        said = {recorded.fact.key for recorded in story}
        # A step that only computes has nothing that could happen twice.
        effects = {step: StepEffects(1) for step in _WITHOUT_EFFECT if (step, "completed") in said}
        effects |= happened.get(saga_id, {})
        definition = auditor.sagas[saga_id].story.definition
        found += [
            Violation(saga_id, breach) for breach in check_effects(definition, story, effects, COMPENSABLE)
        ]
    return found


def effects_of(records: Records) -> dict[str, Effects]:
    """How often each effect of each saga happened and was undone, from what the services wrote down."""
    done: Counter[tuple[str, str]] = Counter()
    undone: Counter[tuple[str, str]] = Counter()
    for payment in records.payments:
        done[payment.saga_id, "create_payment"] += 1
        undone[payment.saga_id, "create_payment"] += payment.status == "cancelled"
    for entry in records.pool_entries:
        (done if entry.kind == "reserve" else undone)[entry.saga_id, "check_liquidity"] += 1
    for lock in records.rate_locks:
        done[lock.saga_id, "lock_exchange_rate"] += 1
        undone[lock.saga_id, "lock_exchange_rate"] += lock.status == "released"
    for booked in records.entries:
        saga_id = booked.key.partition(".")[0]
        (undone if booked.reverses else done)[saga_id, "settle_payment"] += 1
    for line in records.movements:
        if line["kind"] != "bar":
            saga_id = str(line["key"]).partition(".")[0]
            (done if line["kind"] == "payout" else undone)[saga_id, "execute_mmo"] += 1
    for receipt in records.receipts:
        done[receipt.saga_id, "confirm_payment"] += 1
    effects: dict[str, dict[str, StepEffects]] = defaultdict(dict)
    for saga_id, step in done.keys() | undone.keys():
        effects[saga_id][step] = StepEffects(done[saga_id, step], undone[saga_id, step])
    return dict(effects)
