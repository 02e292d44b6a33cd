"""Wait for a time, or for a signal from outside, without holding a process."""

from contracts.children import Wait, Waited
from saga.action import ActionContext, Refused, action
from saga.service import service_app


@action("integrations.wait", reads_only=True)
async def wait(ctx: ActionContext, command: Wait) -> Waited:
    if command.for_s is not None:
        await ctx.sleep(command.for_s)
        return Waited(signalled=False)
    if command.until is not None:
        await ctx.wait_until(command.until)
        return Waited(signalled=False)
    payload = await ctx.signal(command.timeout_s)
    if payload is None:
        if command.on_timeout == "fail":
            raise Refused("wait.timeout", f"no signal within {command.timeout_s} s")
        return Waited(signalled=False)
    if command.approval and payload.get("approved") is not True:
        raise Refused(
            "wait.not_approved", f"not approved: {payload.get('reason', 'no reason was given')}"[:1000]
        )
    return Waited(signalled=True, payload=payload)


@wait.rehearsal
async def wait_for_signals_only(ctx: ActionContext, command: Wait) -> Waited:
    """A time is over at once. A person is asked all the same: who rehearses an approval may give it."""
    if command.for_s is not None or command.until is not None:
        return Waited(signalled=False)
    waited: Waited = await wait(ctx, command)
    return waited


app = service_app(wait)
