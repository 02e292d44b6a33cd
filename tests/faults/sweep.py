"""The sweep: the process of one step dies, or is paused, at one point, once; then everything must be right.

Random kills hit some points often and others never. Here every point of every payment step is hit exactly
once, on the way forward and on the way back, each by a payment of its own. Zombies are made the same way: a
process is paused at a point, its delivery goes to another replica, which undoes the step; then it wakes.
"""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.payments import PaymentRequest
from saga import failpoints
from services.payments.sample.generate import Generator
from services.sandboxes.profiles import BLOCKED, UNDELIVERABLE
from tests.faults.ground import STEPS, Ground, standing
from tests.faults.load import Load
from tests.faults.runs import NotProved, outcomes_stated
from tests.faults.service import Service
from tests.faults.verdict import COMPENSABLE, Verdict, judge
from tests.faults.zygote import Zygote

ACK_WAIT_S = 0.6
QUIET_S = 15.0
EXTERNAL = ("execute_mmo", "confirm_payment")
_EVERYWHERE = ("read.before", "read.after", "ack.before", "ack.after")
_DOING = (*_EVERYWHERE, "effect.before", "effect.after", "publish.before", "publish.after")
_UNDOING = ("effect.before", "effect.after", "publish.before", "publish.after")
_WHERE_A_ZOMBIE_SLEEPS = ("started.after", "effect.before", "effect.after", "publish.before")


@dataclass(frozen=True, slots=True)
class Case:
    """One point of one step. `fails_at`: where the payment that gets there is refused."""

    point: str
    step: str
    fails_at: str = ""

    def __str__(self) -> str:
        return f"{self.point}:{self.step}"


def crash_points() -> Iterator[Case]:
    """Every point of every payment step that it passes."""
    for step in STEPS:
        yield from (Case(f"do.{moment}", step) for moment in _DOING)
        if step in COMPENSABLE:
            yield from (Case(f"do.started.{moment}", step) for moment in ("before", "after"))
        if step in EXTERNAL:
            yield from (Case(f"do.effect.{moment}", step) for moment in ("noted", "outside"))
        if step in REFUSALS:
            yield from (Case(f"do.abort.{moment}", step, step) for moment in ("before", "after"))
        yield from (Case(f"undo.{moment}", step, "confirm_payment") for moment in _EVERYWHERE)
        if step in COMPENSABLE:
            yield from (Case(f"undo.{moment}", step, "confirm_payment") for moment in _UNDOING)
    yield Case("undo.effect.outside", "execute_mmo", "confirm_payment")


def sleeping_points() -> Iterator[Case]:
    """Where a worker may fall asleep with work in its hands that somebody else then undoes."""
    for step in STEPS:
        if step in COMPENSABLE:
            yield from (Case(f"do.{moment}", step) for moment in _WHERE_A_ZOMBIE_SLEEPS)
    yield from (Case(f"do.effect.{moment}", "execute_mmo") for moment in ("noted", "outside"))


def _refused_phone(request: dict[str, Any]) -> None:
    request["recipient"]["phone"] = request["recipient"]["phone"][:-3]


def _sanctioned(request: dict[str, Any]) -> None:
    request["recipient"]["name"] = "Orlenko, Viktor Abramovits"


def _ending(digits: str) -> Any:
    def change(request: dict[str, Any]) -> None:
        request["recipient"]["phone"] = request["recipient"]["phone"][:-3] + digits

    return change


REFUSALS = {
    "validate_payment": _refused_phone,
    "validate_compliance": _sanctioned,
    "execute_mmo": _ending(BLOCKED),
    "confirm_payment": _ending(UNDELIVERABLE),
}


class Sweep:
    """Plays one case after the other on one ground."""

    def __init__(self, ground: Ground, load: Load, *, entry: str, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._ground = ground
        self._load = load
        self._entry = entry
        self._generator = Generator(load.seed)

    async def crash(self, case: Case, number: int) -> None:
        """Kill the process at the point, and wait until its payment is at rest. Raises NotProved."""
        service = await self._armed(case, str(case))
        saga_id = await self._start(case, number)
        died = await self._load.until(
            lambda: service.first is not None and not service.first.alive, quiet_s=self._quiet_s
        )
        if not died or service.first is None or service.first.status != -signal.SIGKILL:
            raise NotProved(f"{case}: the process did not die there")
        await self._load.until(lambda: self._load.is_at_rest(saga_id), quiet_s=self._quiet_s)

    async def sleep(self, case: Case, number: int) -> None:
        """Pause the process at the point, let another replica undo the step, wake it. Raises NotProved."""
        sleeper = await self._armed(case, f"{case}:1:stop")
        saga_id = await self._start(case, number)
        assert sleeper.child is not None
        if not await sleeper.child.stops(self._quiet_s):
            raise NotProved(f"{case}: the process did not stop there")
        self._ground.services[f"{case.step}-asleep"] = self._ground.services.pop(case.step)
        other = self._ground.keep(case.step, entry=self._entry)
        cancelled = await self._load.cancel(saga_id)
        await self._load.until(lambda: self._load.is_at_rest(saga_id), quiet_s=self._quiet_s)
        if not cancelled or other.child is None or not other.child.alive:
            raise NotProved(f"{case}: nobody undid what the sleeper had in its hands")
        sleeper.signal(signal.SIGCONT)
        # It finishes what it has in its hands before it ends.
        sleeper.wanted = False
        sleeper.signal(signal.SIGTERM)
        await sleeper.child.ended.wait()
        await self._ground.end(sleeper, title=f"{case.step}-asleep")

    async def _armed(self, case: Case, failpoint: str) -> Service:
        await self._ground.end(self._ground.services[case.step])
        service = self._ground.keep(case.step, entry=self._entry, once={failpoints.VARIABLE: failpoint})
        await service.born.wait()
        return service

    async def _start(self, case: Case, number: int) -> str:
        request = self._generator.request()
        if case.fails_at:
            REFUSALS[case.fails_at](request)
        payment = PaymentRequest.model_validate(request)
        return (await self._load.start_one(number, payment, "payment-standard")).saga_id


@asynccontextmanager
async def sweeping(
    folder: Path, zygote: Zygote, seed: int, *, entry: str, quiet_s: float
) -> AsyncIterator[tuple[Sweep, Load]]:
    """A sweep on a ground of its own."""
    async with standing(folder, zygote, entry=entry, ack_wait_s=ACK_WAIT_S) as ground:
        load = Load(ground, seed)
        async with load.following():
            yield Sweep(ground, load, entry=entry, quiet_s=quiet_s), load


async def run_sweep(
    cases: list[Case], sleepers: list[Case], seed: int, folder: Path, zygote: Zygote,
    *, entry: str = "tests.faults.entries:step", quiet_s: float = QUIET_S,
) -> Verdict:  # fmt: skip
    """The verdict on all cases together. Raises NotProved if a process did not die or sleep where it should."""
    async with sweeping(folder, zygote, seed, entry=entry, quiet_s=quiet_s) as (sweep, load):
        for number, case in enumerate(cases):
            await sweep.crash(case, number)
        for number, case in enumerate(sleepers, len(cases)):
            await sweep.sleep(case, number)
        await load.all_at_rest(quiet_s=quiet_s)
        await load.until(lambda: outcomes_stated(load), quiet_s=quiet_s)
        struck = {"crash points": len(cases), "sleepers": len(sleepers)}
        return await judge(load.ground, load, {name: count for name, count in struck.items() if count})
