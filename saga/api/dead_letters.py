"""`/api/v1/dead-letters`: what nobody could answer; look, redrive, drop."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.failure import InvalidContract
from events.deadletters import Wanted
from events.deadletters_codec import DeadLetter, Ruling, State
from saga.api.parts import Parts
from saga.dead_letters import MAX_BULK, MAX_PAGE, Bulk, DeadLetters, Words

Sequence = Annotated[int, Path(ge=1, le=2**63 - 1, description="of the dead letter")]
Who = Annotated[str, Query(min_length=1, max_length=128)]
Why = Annotated[str, Query(min_length=1, max_length=1024)]
_NAME = r"^[^.*>\s]*$"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LettersWanted(_Model):
    """The filters; unknown ones are refused."""

    code: list[str] = []
    consumer: str = Field(default="", max_length=256, pattern=_NAME)
    saga_id: str = Field(default="", max_length=64)
    since: AwareDatetime | None = Field(default=None, description="buried at or after")

    def wanted(self, state: State | None = None) -> Wanted:
        return Wanted(
            codes=tuple(self.code),
            consumer=self.consumer,
            saga_id=self.saga_id,
            since=self.since,
            state=state,
        )


class LettersPage(LettersWanted):
    state: State | None = None
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)
    cursor: str | None = None


class WordsRequest(_Model):
    """Who decides, and why; both are kept."""

    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=1024)

    def words(self) -> Words:
        return Words(by=self.by, reason=self.reason)


class BulkRequest(LettersWanted, WordsRequest):
    """Which open letters, by filter; `dry_run` decides nothing and tells which they are."""

    limit: int = Field(default=100, ge=1, le=MAX_BULK)
    cursor: str | None = None
    dry_run: bool = False


class RulingAnswer(BaseModel):
    state: Literal[State.REDRIVEN, State.DROPPED]
    by: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, ruling: Ruling) -> "RulingAnswer":
        return cls(state=ruling.verb, by=ruling.by, reason=ruling.reason, at=ruling.at)


class LetterSummary(BaseModel):
    """A letter without its message. `stream`, `stream_sequence`, `consumer` and `subject` say where it was;
    `earlier` is the letter it was before it was redriven."""

    sequence: int
    state: State
    code: str
    reason: str
    saga_id: str
    consumer: str
    stream: str
    stream_sequence: int
    subject: str
    deliveries: int
    buried_at: datetime
    size: int
    earlier: int | None
    ruling: RulingAnswer | None


class LetterAnswer(LetterSummary):
    """A letter with its message: as text where it is UTF-8, and byte for byte in base64."""

    headers: dict[str, str]
    payload: str | None
    payload_base64: str
    history: list[LetterSummary]
    redrive: str


class LetterPage(BaseModel):
    items: list[LetterSummary]
    next_cursor: str | None


class RuledAnswer(BaseModel):
    """`changed` is false if it had been decided before."""

    sequence: int
    changed: bool
    ruling: RulingAnswer


class Refused(BaseModel):
    sequence: int
    detail: str


class BulkAnswer(BaseModel):
    """`next_cursor` leads to the open letters beyond the limit."""

    dry_run: bool
    matched: list[int]
    done: list[int]
    refused: list[Refused]
    next_cursor: str | None


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])
    letters = DeadLetters(parts.bus)

    @routes.get("", operation_id="listDeadLetters")
    async def list_letters(asked: Annotated[LettersPage, Query()]) -> LetterPage:
        page = await letters.page(asked.wanted(asked.state), after=_after(asked.cursor), limit=asked.limit)
        return LetterPage(items=[_summary(one) for one in page.items], next_cursor=_cursor(page.next_after))

    @routes.post("/redrive", operation_id="redriveDeadLetters")
    async def redrive_all(body: BulkRequest) -> BulkAnswer:
        return await _bulk(letters, State.REDRIVEN, body)

    @routes.post("/drop", operation_id="dropDeadLetters")
    async def drop_all(body: BulkRequest) -> BulkAnswer:
        return await _bulk(letters, State.DROPPED, body)

    @routes.get("/{sequence}", operation_id="getDeadLetter")
    async def show(sequence: Sequence) -> LetterAnswer:
        letter = await letters.get(sequence)
        payload = letter.payload or b""
        return LetterAnswer(
            **_summary(letter).model_dump(),
            headers=letter.death.origin.headers,
            payload=_text(payload),
            payload_base64=b64encode(payload).decode(),
            history=[_summary(earlier) for earlier in await letters.history(letter)],
            redrive=f"saga dlq redrive {sequence} --reason ...",
        )

    @routes.post("/{sequence}/redrive", status_code=202, operation_id="redriveDeadLetter")
    async def redrive(sequence: Sequence, body: WordsRequest) -> RuledAnswer:
        ruled = await letters.redrive(sequence, body.words())
        return RuledAnswer(sequence=sequence, changed=ruled.changed, ruling=RulingAnswer.of(ruled.ruling))

    @routes.delete("/{sequence}", operation_id="dropDeadLetter")
    async def drop(sequence: Sequence, by: Who, reason: Why) -> RuledAnswer:
        ruled = await letters.drop(sequence, Words(by=by, reason=reason))
        return RuledAnswer(sequence=sequence, changed=ruled.changed, ruling=RulingAnswer.of(ruled.ruling))

    return routes


async def _bulk(letters: DeadLetters, verb: State, body: BulkRequest) -> BulkAnswer:
    found: Bulk = await letters.rule_all(
        verb, body.wanted(), body.words(), after=_after(body.cursor), limit=body.limit, dry_run=body.dry_run
    )
    return BulkAnswer(
        dry_run=body.dry_run,
        matched=found.matched,
        done=found.done,
        refused=[Refused(sequence=at, detail=detail) for at, detail in found.refused.items()],
        next_cursor=_cursor(found.next_after),
    )


def _summary(letter: DeadLetter) -> LetterSummary:
    origin = letter.death.origin
    return LetterSummary(
        sequence=letter.sequence,
        state=letter.state,
        code=letter.code,
        reason=letter.reason,
        saga_id=letter.death.saga_id,
        consumer=origin.consumer,
        stream=origin.stream,
        stream_sequence=origin.sequence,
        subject=origin.subject,
        deliveries=origin.deliveries,
        buried_at=letter.buried_at,
        size=letter.size,
        earlier=letter.death.earlier or None,
        ruling=RulingAnswer.of(letter.ruling) if letter.ruling else None,
    )


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _cursor(after: int | None) -> str | None:
    return None if after is None else f"after-{after}"


def _after(cursor: str | None) -> int:
    if cursor is None:
        return 0
    word, _, sequence = cursor.partition("-")
    if word != "after" or not sequence.isdecimal() or len(sequence) > 18:
        raise InvalidContract(f"cursor {cursor[:64]!r} is none that a page of this list has given out")
    return int(sequence)
