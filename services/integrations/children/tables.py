"""What is kept of the children of steps, in a database that the steps with children share."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from events.columns import UtcText
from saga.action import StepDatabase


class Family(SQLModel, table=True):
    """The children of one step of one saga. `next` is the first that has not been started.

    `state`: `open`, then `satisfied` or `failed`; `undoing` once the step is undone.
    """

    __tablename__ = "families"

    key: str = Field(primary_key=True)
    saga_id: str
    step: str
    shared: dict[str, Any] | None = Field(default=None, sa_type=JSON, description="given to every child")
    total: int
    needed: int
    tolerated: int
    next: int = 0
    succeeded: int = 0
    failed: int = 0
    state: str = "open"
    begun_at: datetime = Field(sa_type=UtcText)
    undoing_at: datetime | None = Field(default=None, sa_type=UtcText)


class Child(SQLModel, table=True):
    """One child. `state`: `pending`, `started`, `succeeded`; `undoing`, `failed` and `undone` (nothing is left).

    `claimed_by` is the child whose end has let this one start.
    """

    __tablename__ = "children"

    key: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    saga_id: str = Field(unique=True)
    name: str = ""
    definition: str
    input: dict[str, Any] = Field(sa_type=JSON)
    state: str = "pending"
    claimed_by: int | None = None
    output: Any = Field(default=None, sa_type=JSON, nullable=True)
    failure: dict[str, Any] | None = Field(default=None, sa_type=JSON)


DATABASE = StepDatabase("children", tables=(Family, Child))
