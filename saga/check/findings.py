"""What a check finds: a rule, how grave it is, where, and what is wrong."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`error`: it cannot work. `warning`: it works until something happens. `note`: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by its stable name: its level, and what it says in general."""

    name: str
    level: Level
    says: str


RULES = {
    rule.name: rule
    for rule in (
        Rule("document.invalid", Level.ERROR, "The document is no definition, workflow or trigger"),
        Rule("contract.broken", Level.ERROR, "An action, input, reference or condition breaks its contract"),
        Rule("contract.incompatible", Level.ERROR, "A contract has changed, and breaks what was promised"),
        Rule("reference.type", Level.ERROR, "A reference yields what cannot be taken where it stands"),
        Rule("condition.never", Level.WARNING, "A condition that can never hold: the step is dead"),
        Rule("reference.to_dead_step", Level.WARNING, "A reference to the output of a step that never runs"),
        Rule("retry.exceeds_deadline", Level.WARNING, "Delays between attempts that exceed the deadline"),
        Rule("deadline.may_cut", Level.NOTE, "If attempts use up their time, the deadline comes first"),
        Rule("compensation.off", Level.NOTE, "An action that can be undone, and will not be"),
        Rule(
            "compensation.missing", Level.NOTE, "An effect that stays when a later step turns the saga round"
        ),
        Rule("compensation.unreachable", Level.NOTE, "A compensation behind the pivot, which never runs"),
        Rule("pivot.beside", Level.WARNING, "A step that may fail when the pivot has let the saga pass"),
        Rule("pivot.behind", Level.WARNING, "A single attempt behind the pivot: a failure needs a person"),
        Rule("child.unknown", Level.WARNING, "A child of a definition that is not known"),
        Rule("child.cycle", Level.ERROR, "Definitions that contain each other as children for ever"),
        Rule("trigger.cycle", Level.ERROR, "Sagas that start each other for ever"),
        Rule("trigger.unknown_workflow", Level.WARNING, "A trigger of a workflow that is not known"),
        Rule(
            "trigger.input",
            Level.ERROR,
            "A trigger gives its workflow what the event has not, or it does not take",
        ),
        Rule("event.unstated", Level.WARNING, "A trigger hears an event that no action states"),
        Rule("event.unheard", Level.NOTE, "An event that is stated, and nobody hears that is known"),
        Rule("version.changed", Level.ERROR, "A published version with another content"),
        Rule("input.incompatible", Level.WARNING, "Input that the published version takes is refused"),
        Rule("step.unheard", Level.ERROR, "A step of a published definition that nobody has ever served"),
        Rule("action.unserved", Level.WARNING, "An action of a published definition that nobody serves now"),
        Rule("action.other_types", Level.WARNING, "An action is offered with other types than are known"),
        Rule("subject.unstated", Level.NOTE, "Somebody hears facts of a saga that nobody has published"),
    )
}


@dataclass(frozen=True, slots=True)
class Placed[Content]:
    """A definition or trigger, and the place it was read from."""

    content: Content
    place: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `place` is a file, or a definition's `name@version`; `pointer` a JSON pointer into
    it; `line` counts from 1, 0 if there is no text."""

    rule: str
    place: str
    pointer: str
    detail: str
    line: int = 0

    @property
    def level(self) -> Level:
        return RULES[self.rule].level

    def as_dict(self) -> dict[str, str | int]:
        return {
            "rule": self.rule, "level": self.level.value, "place": self.place, "pointer": self.pointer,
            "line": self.line, "detail": self.detail,
        }  # fmt: skip


def is_grave(findings: Iterable[Finding]) -> bool:
    """Whether there is anything but notes."""
    return any(finding.level is not Level.NOTE for finding in findings)
