"""Frames of a replay as programs and people read them: plain JSON, with the sentences of the story."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from contracts.definition import SagaDefinition
from contracts.facts import Recorded
from saga.explain import Explanation
from saga.replay import Frame, replay
from saga.timeline import Moment, timeline


class SeenFact(BaseModel):
    """A fact that a decision rests on."""

    step: str
    kind: str
    sequence: int


class Decided(BaseModel):
    """What a step makes of the fact, and why. `lacked` are facts (`step.kind`) looked for in vain."""

    step: str
    verdict: str
    because: str
    saw: list[SeenFact]
    lacked: list[str]

    @classmethod
    def of(cls, explained: Explanation) -> "Decided":
        return cls(
            step=explained.step,
            verdict=explained.verdict,
            because=explained.because,
            saw=[
                SeenFact(step=seen.fact.key[0], kind=seen.fact.key[1], sequence=seen.sequence)
                for seen in explained.saw
            ],
            lacked=[".".join(key) for key in explained.lacked],
        )


class StatusChange(BaseModel):
    """A status that the fact has changed."""

    of: str = Field(description="a step, or _saga")
    before: str
    after: str


class FrameAnswer(BaseModel):
    """One fact, what the saga is after it, and what those who hear it decide."""

    sequence: int
    at: datetime
    offset_ms: float = Field(description="since the first fact")
    step: str
    kind: str
    text: str
    cause: int | None = Field(description="sequence of the fact that it names as its cause")
    status: str
    steps: dict[str, str]
    changes: list[StatusChange]
    decided: list[Decided]
    fact: dict[str, Any]

    @classmethod
    def of(cls, frame: Frame, moment: Moment) -> "FrameAnswer":
        return cls(
            sequence=moment.sequence,
            at=moment.at,
            offset_ms=moment.offset_ms,
            step=moment.step,
            kind=moment.kind,
            text=moment.text,
            cause=frame.cause,
            status=frame.state.status.value,
            steps={name: step.status.value for name, step in frame.state.steps.items()},
            changes=[
                StatusChange(of=changed.of, before=changed.before, after=changed.after)
                for changed in frame.changes
            ],
            decided=[Decided.of(explained) for explained in frame.heard],
            fact=frame.recorded.fact.model_dump(mode="json"),
        )


def frames_of(definition: SagaDefinition, facts: Sequence[Recorded]) -> list[FrameAnswer]:
    """A frame for every fact of one saga, given in stream order."""
    return [
        FrameAnswer.of(frame, moment)
        for frame, moment in zip(replay(definition, facts), timeline(facts), strict=True)
    ]
