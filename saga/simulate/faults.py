"""What may go wrong in a simulation, and which promises the modelled shell keeps."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is explored beside the order of everything. Counts are per saga.

    `effects`: `guarded` commits the effect and its guard row in one transaction; `external` writes an
    intent, calls the outside world, then concludes. The outside world honours the key: it does and
    undoes once, and an undo that comes first bars the effect.
    """

    effects: Literal["guarded", "external"] = "guarded"
    crashes: bool = True
    cancel: bool = True
    parent: bool = False
    """the saga is a child: its parent turns it round, perhaps after it has completed"""
    refusals: bool = True
    duplicates: int = 0
    """deliveries that come again although they were acknowledged"""
    zombies: int = 0
    """deliveries handed to a second worker while the first one lives"""
    stored_twice: int = 0
    """facts of steps that the server stores twice: the PubAck was lost and the message id is forgotten"""
    forgetful: bool = False
    """a killed server forgets that it has delivered: a redelivery looks like a first delivery"""
    retries: bool = False
    """one attempt per step, and one to undo it, may fail and be tried again: `attempt_failed`"""
    parks: bool = False
    """such a retry comes after a long delay: the step is parked, and a timer wakes it"""
    undo_failures: bool = False
    """undos that cannot be done: `compensation_failed`"""
    pauses: int = 0
    """times somebody pauses the saga, at any point; somebody resumes it, also at any point"""
    wishes: int = 0
    """times somebody wants a step skipped, or an undo that failed retried or given up"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What the core relies on. Every promise can be taken away, to show that it is needed."""

    guard: bool = True
    """the first of effect, refusal and undo wins in the effect's database"""
    fence: bool = True
    """the server refuses started, completed, skipped and failed after the abort"""
    pivot_fence: bool = True
    """the server refuses an abort after the pivot has completed"""
    write_ahead: bool = True
    """a step with a compensation states `started` before it runs"""
    gone_closes: bool = True
    """a worker that finds the tombstone closes the step; an acknowledgement would also acknowledge for
    the worker that left the tombstone and died before it could state anything"""
    refusal_recorded: bool = True
    """a refusal is written to the guard before anybody stands down or states it"""
    unknown_recorded: bool = True
    """so is a failure with an unknown effect, and whoever concludes later states that failure, too"""
    refusal_stays: bool = True
    """an undo that finds a refusal without effect leaves it there, and the step stands down"""
    retries_ask_guard: bool = True
    """so does an attempt that was to be tried again, but the abort came first"""
    attempts_counted: bool = True
    """a failure without effect counts as unknown if the step has been tried before, or is being tried"""
    tombstone_first: bool = True
    """an undo outside leaves its tombstone before it is done, and is done again after a crash"""
    bar: bool = True
    """the outside world refuses an effect whose undo came first"""
    ack_last: bool = True
    """a delivery is acknowledged after everything else"""
    hold_fence: bool = True
    """the server refuses `held` of a saga that was resumed or aborted meanwhile"""
    refused_wake_looks: bool = True
    """who may not state `woken`, since somebody else just has, reads again: it may have been of another rest"""
    wish_recorded: bool = True
    """the guard knows that a step is to be skipped, and who finds that neither runs nor fails"""
    kept_recorded: bool = True
    """the guard knows that an undo was given up, and who finds that neither undoes nor states another end"""
    sleep_arms: bool = True
    """a delivery that finds its step parked arms the timer: who parked it may have died before it did"""


HARDEST = Faults(duplicates=1, zombies=1, stored_twice=1, forgetful=True, retries=True, undo_failures=True)
"""Everything at once: for walks, and for very small definitions."""
