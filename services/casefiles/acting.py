"""As whom a step acts: the user it is told, else the one for whom its saga runs."""

from pydantic import TypeAdapter, ValidationError

from contracts.casefiles import UserId
from saga.action import ActionContext, Refused

_USER: TypeAdapter[str] = TypeAdapter(UserId)


def acting(ctx: ActionContext, told: str | None) -> str | None:
    """The user; None if nobody is named. Raises Refused if the saga runs for what is no user's id."""
    if told is not None or not ctx.user_id:
        return told
    try:
        return _USER.validate_python(ctx.user_id)
    except ValidationError as error:
        raise Refused("user.invalid", f"{ctx.user_id!r:.100} is no user: expected {_EXPECTED}") from error


_EXPECTED = "letters, digits and _.@+- (at most 64), beginning with a letter or digit"
