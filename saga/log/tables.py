"""The log's tables. Rows of `sagas` and `steps` are written from `saga.state` and from nothing else."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Table, Text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from events.columns import UtcText

_JSON = JSON(none_as_null=True)
MAX_CODE = 128


class LogTable(SQLModel, registry=registry()):
    """Tables of the log have metadata of their own: a service's tables are none of its business."""


class SagaRow(LogTable, table=True):
    """One saga. `sequence` is its last fact's; `duration_ms` is set when it has ended.

    `abort_cause` is in `abort`, too: of JSON, PostgreSQL cannot tell if there is a character of code 0 in it.
    """

    __tablename__ = "sagas"
    __table_args__ = (
        Index("ix_sagas_started", "started_at", "saga_id"),
        Index("ix_sagas_status", "status", "started_at", "saga_id"),
        Index("ix_sagas_name", "name", "started_at", "saga_id"),
    )

    saga_id: str = Field(primary_key=True, max_length=64)
    name: str = Field(max_length=64)
    version: str = Field(max_length=32)
    status: str = Field(max_length=16)
    partition: int
    sequence: int = Field(sa_type=BigInteger)
    correlation_id: str = Field(index=True)
    started_at: datetime = Field(sa_type=UtcText)
    updated_at: datetime = Field(sa_type=UtcText)
    ended_at: datetime | None = Field(default=None, sa_type=UtcText)
    duration_ms: float | None = None
    ended_sequence: int | None = Field(default=None, sa_type=BigInteger)
    outcome_stated: bool = False
    input: dict[str, Any] | None = Field(default=None, sa_type=_JSON)
    abort: dict[str, Any] | None = Field(default=None, sa_type=_JSON)
    abort_cause: str | None = Field(default=None, max_length=16)


class StepRow(LogTable, table=True):
    """One step of one saga that has been heard of; a step without a row is pending.

    `failure_code` is in `failure`, too, as `abort_cause` is in `abort`.
    """

    __tablename__ = "steps"

    saga_id: str = Field(primary_key=True, max_length=64)
    step: str = Field(primary_key=True, max_length=64)
    status: str = Field(max_length=24)
    attempt: int
    opened: bool
    started_at: datetime | None = Field(default=None, sa_type=UtcText)
    ended_at: datetime | None = Field(default=None, sa_type=UtcText)
    closed_at: datetime | None = Field(default=None, sa_type=UtcText)
    duration_ms: float | None = None
    failure: dict[str, Any] | None = Field(default=None, sa_type=_JSON)
    failure_code: str | None = Field(default=None, max_length=MAX_CODE)
    sequence: int = Field(sa_type=BigInteger)


class LabelRow(LogTable, table=True):
    """A label given at the start of a saga."""

    __tablename__ = "labels"

    saga_id: str = Field(primary_key=True, max_length=64)
    name: str = Field(primary_key=True, max_length=64)
    value: str = Field(index=True)


class FactRow(LogTable, table=True):
    """A fact as it was stated: `envelope` is the message, byte for byte."""

    __tablename__ = "facts"

    partition: int = Field(primary_key=True)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    saga_id: str = Field(index=True, max_length=64)
    step: str = Field(max_length=64)
    kind: str = Field(max_length=32)
    stored_at: datetime = Field(sa_type=UtcText)
    envelope: str = Field(sa_type=Text)


class RejectedRow(LogTable, table=True):
    """A message the log could not make sense of, and why."""

    __tablename__ = "rejected"

    partition: int = Field(primary_key=True)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    subject: str
    reason: str = Field(sa_type=Text)
    stored_at: datetime = Field(sa_type=UtcText)


class PositionRow(LogTable, table=True):
    """How far a partition has been applied; written in one transaction with what it says."""

    __tablename__ = "positions"

    partition: int = Field(primary_key=True)
    sequence: int = Field(sa_type=BigInteger)


class BreakerEventRow(LogTable, table=True):
    """One thing that happened to a circuit breaker."""

    __tablename__ = "breaker_events"

    name: str = Field(primary_key=True, max_length=128)
    revision: int = Field(primary_key=True, sa_type=BigInteger)
    sequence: int = Field(sa_type=BigInteger)
    kind: str = Field(max_length=16)
    state: str = Field(max_length=16)
    previous: str = Field(max_length=16)
    failures: int
    time: datetime = Field(sa_type=UtcText)
    by: str = Field(max_length=128)
    reason: str = Field(max_length=1024)
    config: dict[str, Any] | None = Field(default=None, sa_type=_JSON)


class BreakerPositionRow(LogTable, table=True):
    """How far the stream of breakers' events has been applied; written in one transaction with what it says."""

    __tablename__ = "breaker_position"

    stream: str = Field(primary_key=True, max_length=128)
    sequence: int = Field(sa_type=BigInteger)


def table_of(row: Any) -> Table:
    """The table behind a row's class."""
    table: Table = row.__table__
    return table
