"""The gate before the attempts of an action: permissions, a rate, and how many at once, over all replicas.

Who is not let in for now asks again later, and spends no attempt by it. Whoever lacks a permission fails for good
(`step.forbidden`). A process that dies inside is out when its lease ends. An action whose policy says nothing of this
has no gate.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from contracts.failure import CODE_FORBIDDEN, Conflict, Failure
from contracts.limits import Entry
from contracts.policies import Policy, lacking
from events.clock import Chance, Clock
from events.publish import PublishFailed
from events.read import ReadFailed
from events.shared_limits import LimitBucket
from saga.context import ActionContext

log = structlog.get_logger(__name__)

# Beyond an attempt's own time limit: time to state how it ended.
_LEASE_MARGIN_S = 10.0
_CONTENDED_S = 0.2


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets the attempts of one action in."""

    policy: Policy
    bucket: LimitBucket
    clock: Clock
    chance: Chance

    @asynccontextmanager
    async def admitted(
        self, ctx: ActionContext, timeout_s: float, *, tried: bool
    ) -> AsyncIterator[Failure | float | None]:
        """None inside the gate; else the failure, or the seconds after which to ask again.

        `tried`: an earlier attempt may have had an effect. Raises PublishFailed, ReadFailed if the bus is away.
        """
        if missing := lacking(self.policy.permissions or (), ctx.directives.permissions):
            message = (
                f"{ctx.action} needs {', '.join(missing)}; {ctx.user_id or 'nobody in particular'} has not"
            )
            effect = "unknown" if tried else "none"
            yield Failure(code=CODE_FORBIDDEN, message=message, effect=effect, details={"missing": missing})
            return
        if self.policy.rate is None and self.policy.concurrency is None:
            yield None
            return
        entry = Entry(
            name=ctx.key,
            lease_s=timeout_s + _LEASE_MARGIN_S,
            rate=self.policy.rate,
            concurrency=self.policy.concurrency,
        )
        try:
            wait_s = await self.bucket.enter(ctx.action, entry, self.clock())
        except Conflict:
            wait_s = _CONTENDED_S
        if wait_s:
            # Spread, so that those who wait together do not come back together.
            yield wait_s * (1 + self.chance())
            return
        try:
            yield None
        finally:
            await self._leave(ctx)

    async def _leave(self, ctx: ActionContext) -> None:
        if self.policy.concurrency is None:
            return
        try:
            await self.bucket.leave(ctx.action, ctx.key)
        except (PublishFailed, ReadFailed, Conflict) as error:
            log.warning("gate.left_by_lease", action=ctx.action, saga_id=ctx.saga_id, reason=str(error))
