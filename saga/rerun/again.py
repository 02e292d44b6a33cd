"""A recorded saga, imagined with changed handlers: whatever follows from what they do is imagined anew.

The first step with a changed handler that has not been done with its input is done, and its end taken for recorded;
then the saga is imagined again, until there is no such step. An input depends on earlier steps only, so this ends.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.definition import SagaDefinition
from contracts.facts import FactKind, Recorded
from saga.imagine import Imagined, Ran, imagine
from saga.rerun.ground import Ground
from saga.rerun.trying import Trial, Tried, try_step


@dataclass(frozen=True, slots=True)
class Again:
    """A saga as it would be, and the steps that were done again for it."""

    imagined: Imagined
    done: tuple[str, ...]


async def imagine_again(
    new: SagaDefinition,
    runs: Mapping[str, Ran],
    facts: Sequence[Recorded],
    undoable: Collection[str],
    ground: Ground,
) -> Again:
    """The saga under `new` (`runs` is what its steps did), the steps of changed actions done again."""
    said = dict(runs)
    trials: dict[str, Trial] = {}
    unknown: dict[str, str] = {}
    while True:
        imagined = imagine(new, said, facts, undoable)
        trial = _next(new, runs, facts, imagined, trials, ground)
        if trial is None:
            break
        step = trial.step.name
        trials[step] = trial
        tried = await try_step(ground, trial)
        unknown.pop(step, None)
        if tried.unknown:
            unknown[step] = tried.unknown
        else:
            compensable = ground.actions[trial.step.action].compensable
            said[step] = _as_recorded(tried, imagined.ran[step], trial.was, compensable=compensable)
    imagined.unknown |= {step: reason for step, reason in unknown.items() if step in imagined.ran}
    return Again(imagined, tuple(step for step in trials if step not in unknown))


def _next(
    new: SagaDefinition,
    runs: Mapping[str, Ran],
    facts: Sequence[Recorded],
    imagined: Imagined,
    trials: Mapping[str, Trial],
    ground: Ground,
) -> Trial | None:
    for name, ran in imagined.ran.items():
        if ran.action not in ground.actions or ran.input is None or ran.kind == FactKind.SKIPPED:
            continue
        was = runs.get(name)
        if was is not None and was.action == ran.action and not was.kind and name not in imagined.unknown:
            # An abort cut it off, and does so again: how it would have ended makes no difference.
            continue
        if name in trials and trials[name].given == ran.input:
            continue
        same = was is not None and was.action == ran.action and was.kind not in ("", FactKind.SKIPPED)
        return Trial(new, new.by_name[name], facts, was if same else None, ran.order, ran.input)
    return None


def _as_recorded(tried: Tried, imagined: Ran, was: Ran | None, *, compensable: bool) -> Ran:
    """What stands for the recorded doing of a step: in its place, with its undo if it ends as it did."""
    opened = compensable and (tried.kind == FactKind.COMPLETED or was is None or was.opened)
    done = replace(was or imagined, kind=tried.kind, data=tried.data, opened=opened)
    ends_as_it_did = was is not None and was.kind == tried.kind
    return done if ends_as_it_did else replace(done, undo="", undo_order=0)
