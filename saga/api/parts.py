"""What the API is made of."""

from dataclasses import dataclass

from events.bus import Bus
from events.deadletters_census import Census
from events.definitions import Definitions
from saga.breaker_ledger import Ledger
from saga.client import SagaClient
from saga.log.queries import Queries
from saga.log.service import LogService
from saga.secrets import Secrets
from saga.triggers.firing import Firer
from saga.triggers.keeping import Triggers
from saga.workflows.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Parts:
    """The open parts that the routes use; whoever opened them closes them."""

    bus: Bus
    definitions: Definitions
    client: SagaClient
    log: LogService
    queries: Queries
    breakers: Ledger
    census: Census
    catalogue: Catalogue
    triggers: Triggers
    firer: Firer
    secrets: Secrets
