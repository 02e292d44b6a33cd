"""Leads: the worked example of a workflow over HTTP. It has no services of its own, only generic steps."""

from pydantic import BaseModel, ConfigDict, Field

from contracts.actions import ActionContract
from contracts.events import Event
from contracts.generic import Url


class LeadQualified(Event, name="lead.qualified"):
    """A lead is worth asking carriers for quotes. `store`: where it is kept."""

    lead_id: str = Field(pattern=r"^[A-Z0-9-]{1,32}$")
    store: Url


class SubmitLead(BaseModel):
    """The input of the workflow: which lead, and where its store is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lead_id: str = Field(pattern=r"^[A-Z0-9-]{1,32}$")
    store: Url


ACTIONS: tuple[ActionContract, ...] = ()
