"""What the core relies on: take one promise of the shell away, and the explorer shows what breaks.

These are the negative controls of the model: a promise whose loss nobody notices would prove nothing.
"""

from dataclasses import dataclass

import pytest

from saga.simulate import Faults, Shell, simulate
from saga.simulate.corpus import CORPUS

BY_NAME = {found.name: found for found in CORPUS}


@dataclass(frozen=True)
class Loss:
    """A promise that is lost, under which faults it matters, and what breaks first."""

    without: Shell
    breaks: str
    faults: Faults
    definition: str = "chain-1"


LOSSES = {
    "the guard": Loss(Shell(guard=False), "effect_once", Faults(cancel=False)),
    "the fence": Loss(Shell(fence=False), "fence", Faults()),
    "the fence on the pivot": Loss(Shell(pivot_fence=False), "pivot", Faults(), "chain-pivot"),
    "started, written ahead": Loss(Shell(write_ahead=False), "all_or_nothing", Faults()),
    "acknowledging last": Loss(Shell(ack_last=False), "not_stuck", Faults()),
    "closing what was found undone": Loss(Shell(gone_closes=False), "not_stuck", Faults(zombies=1)),
    "recording a refusal": Loss(Shell(refusal_recorded=False), "facts_tell_the_truth", Faults(zombies=1)),
    "recording a failure with unknown effect": Loss(
        Shell(unknown_recorded=False), "one_outcome",
        Faults(effects="external", zombies=1, crashes=False, cancel=False), "chain-continue",
    ),
    "leaving a refusal where it is": Loss(Shell(refusal_stays=False), "one_closing", Faults(zombies=1)),
    "asking the guard before standing down": Loss(
        Shell(retries_ask_guard=False), "facts_tell_the_truth", Faults(zombies=1, retries=True)
    ),
    "remembering that it was tried before (a crash)": Loss(
        Shell(attempts_counted=False), "facts_tell_the_truth", Faults(effects="external")
    ),
    "remembering that it was tried before (a retry)": Loss(
        Shell(attempts_counted=False), "facts_tell_the_truth",
        Faults(effects="external", crashes=False, cancel=False, retries=True),
    ),
    "the tombstone before an undo outside": Loss(
        Shell(tombstone_first=False), "one_closing", Faults(effects="external", zombies=1)
    ),
    "refusing to hold back a saga that goes on": Loss(
        Shell(hold_fence=False), "held_while_paused", Faults(pauses=1)
    ),
    "looking again when somebody else has woken the step": Loss(
        Shell(refused_wake_looks=False), "not_stuck",
        Faults(pauses=1, zombies=1, retries=True, parks=True, cancel=False),
    ),
    "telling the guard that an undo was given up": Loss(
        Shell(kept_recorded=False), "one_closing", Faults(wishes=1, undo_failures=True, zombies=1)
    ),
    "telling the guard that a step is to be skipped": Loss(
        Shell(wish_recorded=False), "one_outcome", Faults(wishes=1, zombies=1)
    ),
    "arming the timer of a step that was found parked": Loss(
        Shell(sleep_arms=False), "not_stuck", Faults(retries=True, parks=True)
    ),
    "the bar of the outside world": Loss(
        Shell(bar=False), "facts_tell_the_truth", Faults(effects="external", zombies=1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_without_it_something_breaks(name: str) -> None:
    loss = LOSSES[name]
    report = simulate(BY_NAME[loss.definition], faults=loss.faults, shell=loss.without)
    assert [violation.invariant for violation in report.violations] == [loss.breaks]
    assert report.violations[0].trace


@pytest.mark.parametrize("name", LOSSES)
def test_with_it_nothing_does(name: str) -> None:
    loss = LOSSES[name]
    report = simulate(BY_NAME[loss.definition], faults=loss.faults)
    assert report.complete
    assert not report.violations


def test_the_trace_is_the_shortest_and_reads_like_a_story() -> None:
    loss = LOSSES["closing what was found undone"]
    (violation,) = simulate(BY_NAME["chain-1"], faults=loss.faults, shell=loss.without).violations
    assert violation.trace == (
        "a: delivered, Run [on _saga.started #1]",
        "a: states started [on _saga.started #1]",
        "the saga is cancelled, or its deadline passes",
        "a: handed to a second worker while the first lives, Compensate [on _saga.started #1]",
        "a: leaves a tombstone [on _saga.started #1]",
        "a: finds the tombstone [on _saga.started #1]",
        "a: its worker crashes [on _saga.started #1]",
    )
    assert violation.detail == "nothing moves, and the saga is compensating: a running"
