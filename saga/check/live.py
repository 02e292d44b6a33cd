"""Against the bus: is what was published served, and does what is to be published fit what is in flight?"""

from collections.abc import Iterable, Iterator

from contracts.definition import SagaDefinition
from contracts.schemas import compare
from saga.check.findings import Finding
from saga.check.together import Placed
from saga.discovery import Discovered


def check_published(definitions: Iterable[SagaDefinition], discovered: Discovered) -> Iterator[Finding]:
    """What the bus tells of the definitions that are published there."""
    known = list(definitions)
    for definition in known:
        for index, step in enumerate(definition.steps):
            there = discovered.present.get(step.action)
            pointer = f"/steps/{index}/action"
            if there is None:
                detail = f"nobody has ever served {step.action}: sagas wait at {step.name} for ever"
                yield Finding("step.unheard", definition.ref, pointer, detail)
            elif not there.alive:
                detail = f"nobody serves {step.action} now; {there.pending} messages wait"
                yield Finding("action.unserved", definition.ref, pointer, detail)
    names = {definition.name for definition in known}
    strange = {(one.action, one.saga) for one in discovered.heard if one.saga not in names}
    for action, saga in sorted(strange):
        yield Finding(
            "subject.unstated", action, "", f"{action} hears facts of {saga}, which nobody has published"
        )


def check_against(
    local: Iterable[Placed[SagaDefinition]], published: Iterable[SagaDefinition]
) -> Iterator[Finding]:
    """What is to be published, against the versions that are."""
    known = list(published)
    for placed in local:
        mine = placed.content
        for other in known:
            if other.ref == mine.ref and other.content_hash != mine.content_hash:
                detail = f"{mine.ref} is published with another content: give it a new version"
                yield Finding("version.changed", placed.place, "/version", detail)
            elif other.name == mine.name and other.input_schema and mine.input_schema:
                for problem in compare(other.input_schema, mine.input_schema):
                    detail = f"{other.ref} takes input that this refuses: {problem}"
                    yield Finding("input.incompatible", placed.place, "/input_schema", detail)
