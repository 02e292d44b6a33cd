"""Transformation rules as people look at them and try them; a rule itself is in `contracts.transformations`."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue


class TrialRequest(BaseModel):
    """Data to put through a rule."""

    model_config = ConfigDict(extra="forbid")

    data: JsonValue


class TrialAnswer(BaseModel):
    result: JsonValue


class RuleSummary(BaseModel):
    name: str
    version: str
    description: str
    stored_at: AwareDatetime


class RulePage(BaseModel):
    items: list[RuleSummary]
    next_cursor: str | None
