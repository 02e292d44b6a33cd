"""How phases are entered from outside: by a request, and by the marketplace's webhooks."""

from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError

from contracts.failure import Conflict, NotFound
from contracts.ids import saga_id_for
from contracts.marketplace import Case
from contracts.phases import (
    ClaimRejected,
    ClaimSubmitted,
    PayoutReceived,
    Phase,
    PhaseEntry,
    phase_of,
    phase_saga_key,
)
from events.database import Database
from saga.client import InvalidInput, SagaClient, StartedSaga, StartOptions
from services.claims.store import reading
from services.claims.tables import Claim, EnteredPhase

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A phase that was asked to be entered. `waits_for`: the key that must be entered before, and is not yet."""

    phase: int
    key: str
    saga: StartedSaga
    waits_for: str | None


class Doors:
    """Enters phases by the fact that starts their saga."""

    def __init__(self, client: SagaClient, database: Database) -> None:
        self._client = client
        self._database = database

    async def enter(self, number: int, content: dict[str, Any]) -> Opened:
        """Enter a phase, or by an older step's number the phase it has become.

        Raises UnknownPhase, InvalidInput, Conflict (entered before, with another content).
        """
        phase = phase_of(number)
        return await self._enter(phase, _entry(phase, content), "/workflow")

    async def told(self, case: Case) -> Opened | None:
        """The marketplace tells of a case: who tracks it looks again, and its decision enters the phase it leads to.

        Raises NotFound (no such claim), Conflict (the case is not, or not yet, the claim's).
        """
        async with reading(self._database) as session:
            claim = await session.get(Claim, case.claim_id)
        if claim is None:
            raise NotFound(f"no claim {case.claim_id}")
        if claim.case_id != case.case_id:
            raise Conflict(f"claim {claim.claim_id} does not have case {case.case_id}, or not yet")
        about = {
            "account_id": claim.account_id, "claim_id": claim.claim_id, "submission": claim.submission,
            "case_id": case.case_id,
        }  # fmt: skip
        await self._wake(ClaimSubmitted.model_validate(about), case)
        match case.status, case.payout:
            case "rejected", _:
                return await self._decided(6, ClaimRejected.model_validate({**about, "reason": case.reason}))
            case "paid", payout if payout is not None:
                return await self._decided(7, PayoutReceived.model_validate({**about, **payout.model_dump()}))
        return None

    async def _decided(self, phase: int, entry: PhaseEntry) -> Opened | None:
        try:
            return await self._enter(phase_of(phase), entry, "/marketplace")
        except Conflict as error:
            # Who tracks the case was told otherwise before: that stands.
            log.warning("claims.entered_otherwise", key=entry.key, reason=str(error))
            return None

    async def _wake(self, entry: ClaimSubmitted, case: Case) -> None:
        saga_id = saga_id_for(phase_saga_key(entry))
        try:
            await self._client.signal(saga_id, "track", {"status": case.status}, by="marketplace")
        except (NotFound, Conflict) as error:
            log.info("claims.nobody_tracks", case_id=case.case_id, reason=str(error))

    async def _enter(self, phase: Phase, entry: PhaseEntry, source: str) -> Opened:
        options = StartOptions(idempotency_key=phase_saga_key(entry), source=source)
        saga = await self._client.start(phase.definition, entry.model_dump(mode="json"), options)
        waits_for = None
        if entry.after is not None:
            async with reading(self._database) as session:
                before = await session.get(EnteredPhase, entry.after)
            waits_for = None if before else entry.after
        return Opened(phase=phase.number, key=entry.key, saga=saga, waits_for=waits_for)


def _entry(phase: Phase, content: dict[str, Any]) -> PhaseEntry:
    try:
        return phase.entry.model_validate(content)
    except ValidationError as error:
        problems = [
            {"pointer": "/" + "/".join(str(part) for part in problem["loc"]), "detail": problem["msg"]}
            for problem in error.errors(include_input=False, include_url=False)
        ]
        named = "; ".join(f"{problem['pointer']}: {problem['detail']}" for problem in problems)
        raise InvalidInput(f"entry of phase {phase.number}: {named:.2000}", problems) from error
