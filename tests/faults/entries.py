"""What the processes of a fault run do: what `saga` and `faststream run` do, and what must never be done.

saga            the command line, by its arguments (`serve log`, `sandbox mobile-money`)
server          a nats-server of a cluster, in a network namespace if one is named
step            the participant of one payment step, as `faststream run services.payments.steps.<step>:app`
without_guard   the same, but the guard remembers nothing       - the harness must find double effects
ack_first       the same, but acknowledges before it works      - the harness must find stuck sagas
"""

import logging
import os
import sys
from typing import Any

from contracts.failure import Failure
from events.consume import Delivery
from events.inbox import EffectKey, Inbox, Intent, Output
from saga.cli.main import main
from saga.cli.session import run
from saga.domains import domain_actions
from saga.participant import Participant
from saga.service import service_app


def saga() -> None:
    main()


def step() -> None:
    # Made here, not taken from the module: that one has read its settings before the fork.
    (offered,) = (action for action in domain_actions("payments") if action.name == f"payments.{sys.argv[1]}")
    run(service_app(offered).run(log_level=logging.WARNING))


def without_guard() -> None:
    async def once(self: Inbox, key: EffectKey, effect: Any) -> Output:
        async with self._database.transaction() as session:
            done: Output = await effect(session)
            return done

    async def intend(self: Inbox, key: EffectKey) -> Intent:
        return Intent()

    async def conclude(self: Inbox, key: EffectKey, output: Output) -> None:
        return None

    async def refuse(self: Inbox, key: EffectKey, failure: Failure) -> Failure:
        return failure

    for name, instead in (("once", once), ("intend", intend), ("conclude", conclude), ("refuse", refuse)):
        setattr(Inbox, name, instead)
    step()


def ack_first() -> None:
    hear = Participant.hear

    async def acknowledge_then_hear(self: Participant, delivery: Delivery) -> None:
        await delivery.ack()
        await hear(self, delivery)

    Participant.hear = acknowledge_then_hear  # type: ignore[method-assign]
    step()


def server() -> None:
    """A nats-server, in a network namespace if one is named: it takes the place of this process."""
    binary, config, namespace = sys.argv[1:]
    if namespace:
        os.execvp("ip", ["ip", "netns", "exec", namespace, binary, "-c", config])
    os.execv(binary, [binary, "-c", config])
