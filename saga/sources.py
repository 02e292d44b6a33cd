"""One saga's facts with its definition, to be replayed: from the stream, or from a recording."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.definition import SagaDefinition
from contracts.facts import STARTED_KEY, Recorded
from contracts.failure import NotFound
from events.bus import Bus
from events.definitions import Definitions
from events.read import read_saga
from saga.recording import Recording, require_pinned


@dataclass(frozen=True, slots=True)
class Played:
    """What a replay is made of. Not `whole`: the start is no longer kept, so the state is that of the rest."""

    definition: SagaDefinition
    facts: Sequence[Recorded]

    @property
    def whole(self) -> bool:
        return self.facts[0].fact.key == STARTED_KEY


async def from_stream(bus: Bus, definitions: Definitions, saga_id: str) -> Played:
    """Raises NotFound if the stream holds no fact of the saga, or nobody has published its definition."""
    facts = await read_saga(bus, saga_id)
    if not facts:
        raise NotFound(f"no saga {saga_id} in the stream")
    return Played(await definition_of(definitions, facts[0]), facts)


async def definition_of(definitions: Definitions, recorded: Recorded) -> SagaDefinition:
    """The definition that a saga's facts name. Raises NotFound."""
    found = await definitions.fetch(recorded.fact.definition)
    if found is None:
        raise NotFound(f"nobody has published {recorded.fact.definition}")
    return found


def from_recording(
    recording: Recording, saga_id: str | None, known: Callable[[str], SagaDefinition | None]
) -> Played:
    """`known` has the definitions that the recording does not bring.

    Raises NotFound, and InvalidContract if the saga was started with another content of its definition.
    """
    facts = recording.facts(saga_id)
    ref = facts[0].fact.definition
    definition = recording.definitions.get(ref) or known(ref)
    if definition is None:
        raise NotFound(f"the recording does not bring {ref}: give its file with --definition")
    require_pinned(definition, facts)
    return Played(definition, facts)
