"""Named points at which a participant can be made to die, to prove that dying there does no harm.

`SAGA_FAILPOINT=<point>[:<step>[:<nth>[:stop]]]` arms one: the process is killed (SIGKILL) the `nth` time
that `step` (any, if it is empty) passes the point, or with `stop` is paused (SIGSTOP) until somebody wakes it.
For tests only; not armed, a point is one comparison.

    do.read       before and after the saga is read for a step that may be due (also where no reading is needed)
    do.started    before and after `started` is stated
    do.effect     before the handler and the guard; after: its transaction is committed. Of an effect outside
                  the database: `noted` by the guard, not done yet; `outside`: done, and the guard does not
                  know it yet
    do.publish    before and after `completed` is stated
    do.abort      before and after `failed` and the abort are stated
    do.ack        before and after the delivery is acknowledged
    undo....      the same on the way back, where `publish` states `compensated`
"""

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from contracts.definition import Step
from contracts.facts import Fact, FactKind
from contracts.failure import InvalidContract

VARIABLE = "SAGA_FAILPOINT"
DO = (
    "do.read.before", "do.read.after", "do.started.before", "do.started.after", "do.effect.before",
    "do.effect.noted", "do.effect.outside", "do.effect.after", "do.publish.before", "do.publish.after",
    "do.abort.before", "do.abort.after", "do.ack.before", "do.ack.after",
)  # fmt: skip
UNDO = (
    "undo.read.before", "undo.read.after", "undo.effect.before", "undo.effect.outside", "undo.effect.after",
    "undo.publish.before", "undo.publish.after", "undo.ack.before", "undo.ack.after",
)  # fmt: skip
POINTS = frozenset((*DO, *UNDO))

_BACK = (FactKind.ABORTED, FactKind.COMPENSATED, FactKind.STOOD_DOWN, FactKind.COMPENSATION_SKIPPED)
_ACKED = ("do.ack.after", "undo.ack.after")
# An acknowledgement is written by the connection's own task: until then the process has not said it.
_LEAVES_THE_PROCESS_S = 0.05


@dataclass(slots=True)
class _Armed:
    point: str
    step: str
    left: int
    signal: signal.Signals


_armed: _Armed | None = None


def arm(environment: Mapping[str, str]) -> None:
    """Arm the point that the environment names, or none. Raises InvalidContract, naming the points."""
    global _armed  # noqa: PLW0603 - a process dies as a whole
    wanted = environment.get(VARIABLE)
    _armed = _read(wanted) if wanted else None


def at(point: str, step: str) -> None:
    """The process is at this point of this step."""
    if _armed is not None:
        _strike(_armed, point, step)


def at_delivery(moment: str, heard: Fact, steps: Iterable[Step]) -> None:
    """The process is at this moment of a delivery for these steps; what was heard tells which way they go."""
    if _armed is not None:
        way = "undo" if heard.kind in _BACK else "do"
        for step in steps:
            _strike(_armed, f"{way}.{moment}", step.name)


def _strike(armed: _Armed, point: str, step: str) -> None:
    if point != armed.point or (armed.step and step != armed.step):
        return
    armed.left -= 1
    if armed.left == 0:
        if point in _ACKED:
            asyncio.get_running_loop().call_later(_LEAVES_THE_PROCESS_S, os.kill, os.getpid(), armed.signal)
        else:
            os.kill(os.getpid(), armed.signal)


def _read(wanted: str) -> _Armed:
    point, step, nth, how = _parts(wanted)
    if point not in POINTS or not nth.isdigit() or int(nth) < 1 or how not in ("kill", "stop"):
        raise InvalidContract(
            f"{VARIABLE}={wanted}: expected <point>[:<step>[:<nth, from 1>[:stop]]], "
            f"where point is one of {', '.join(sorted(POINTS))}"
        )
    return _Armed(point, step, int(nth), signal.SIGSTOP if how == "stop" else signal.SIGKILL)


def _parts(wanted: str) -> Iterator[str]:
    given = wanted.split(":")
    defaults = ("", "", "1", "kill")
    yield from given[: len(defaults)]
    yield from defaults[len(given) :]
