"""The audit trail: every stage is in it, and nobody changes it unseen."""

import asyncio
import json
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.definition import SagaDefinition, Step
from contracts.directives import Directives
from contracts.trail import Head, TrailBlock, TrailEntry, verify
from events.bus import Bus
from events.clock import utc_now
from events.settings import BusSettings
from events.trail import Trail
from saga import Client
from saga.hooks.audit import AUDIT_KEY, AuditWriter, open_audit
from tests.docs.test_docs import ROOT
from tests.docs.test_workflows_in_code import ran
from tests.world import Running, World

KEY = b"kept elsewhere"


def entry(number: int = 1) -> TrailEntry:
    return TrailEntry(
        at=utc_now(), stage="post", saga_id=f"s{number}", definition="d@1", step="a", attempt=1, user="u"
    )


def chain(length: int, key: bytes = KEY, name: str = "test-a") -> list[TrailBlock]:
    blocks: list[TrailBlock] = []
    for number in range(1, length + 1):
        previous = blocks[-1].hash if blocks else ""
        block = TrailBlock(chain=name, number=number, previous=previous, entries=(entry(number),))
        blocks.append(block.sealed(key))
    return blocks


type Tampering = Callable[[list[TrailBlock], int], list[TrailBlock]]


def changed(blocks: list[TrailBlock], at: int) -> list[TrailBlock]:
    other = blocks[at].entries[0].model_copy(update={"user": "somebody else"})
    return [*blocks[:at], blocks[at].model_copy(update={"entries": (other,)}), *blocks[at + 1 :]]


def removed(blocks: list[TrailBlock], at: int) -> list[TrailBlock]:
    return [*blocks[:at], *blocks[at + 1 :]]


def moved(blocks: list[TrailBlock], at: int) -> list[TrailBlock]:
    other = (at + 1) % len(blocks)
    swapped = list(blocks)
    swapped[at], swapped[other] = swapped[other], swapped[at]
    return swapped


def spliced(blocks: list[TrailBlock], at: int) -> list[TrailBlock]:
    """A block that was sealed with the key, but elsewhere: on another stream with the same chain."""
    return [*blocks[:at], chain(len(blocks))[at], *blocks[at + 1 :]]


def forged(blocks: list[TrailBlock], at: int) -> list[TrailBlock]:
    """Written anew from there on, with all hashes right, by somebody without the key."""
    tampered = changed(blocks, at)
    for index in range(at, len(tampered)):
        previous = tampered[index - 1].hash if index else ""
        tampered[index] = tampered[index].model_copy(update={"previous": previous}).sealed(b"guessed")
    return tampered


@given(
    length=st.integers(2, 8),
    where=st.integers(0, 7),
    tampering=st.sampled_from([changed, removed, moved, spliced, forged]),
)
def test_whatever_is_done_to_a_chain_is_found(length: int, where: int, tampering: Tampering) -> None:
    blocks = chain(length)
    heads = [Head(chain=blocks[-1].chain, number=length, hash=blocks[-1].hash)]
    assert not verify(blocks, KEY, heads)
    assert verify(tampering(blocks, where % length), KEY, heads)


def test_a_block_from_elsewhere_does_not_follow() -> None:
    blocks = spliced(chain(3), 1)
    assert [(one.number, one.reason) for one in verify(blocks, KEY)] == [
        (number, "does not follow the block before it") for number in (2, 3)
    ]


def test_an_end_that_is_cut_off_is_found_by_a_head() -> None:
    blocks = chain(3)
    assert not verify(blocks[:2], KEY)
    (found,) = verify(blocks[:2], KEY, [Head(chain="test-a", number=3, hash=blocks[2].hash)])
    assert "is gone" in found.reason


def test_blocks_without_a_key_do_not_pass_where_there_is_one() -> None:
    assert not verify(chain(2, b""))
    assert {found.reason for found in verify(chain(2, b""), KEY)} == {
        "has no key, anybody can have written it"
    }
    assert {found.reason for found in verify(chain(2))} == {"has a key: give it"}


async def test_every_stage_of_a_saga_is_in_the_trail(
    running: Running, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUDIT_KEY, KEY.decode())
    a = world.action("a")
    definition = SagaDefinition(
        name="audited", steps=(Step(name="a", action="test.a", input={"value": "${input.value}"}),)
    )
    client = Client(running.bus, running.definitions)
    async with running.serving(a, hooks=[open_audit]):
        sagas = [
            await client.start(
                definition, user_id="u_7", context={"value": value}, directives=Directives(skip_hooks=("*",))
            )
            for value in range(20)
        ]
        for handle in sagas:
            assert (await handle.result(timeout_s=20)).success
    blocks = [TrailBlock.decode(payload) for _, payload in await Trail(running.bus).read()]
    assert not verify(blocks, KEY)
    entries = [entry for block in blocks for entry in block.entries]
    assert {(one.saga_id, one.stage) for one in entries} == {
        (handle.saga_id, stage) for handle in sagas for stage in ("pre", "post")
    }
    assert {one.user for one in entries} == {"u_7"}


async def test_the_command_finds_what_is_no_block(bus: Bus, bus_settings: BusSettings) -> None:
    writer = AuditWriter(Trail(bus), b"")
    await writer.write("test-a", entry())
    told = {"NATS_URL": bus_settings.url, "SAGA_BUS_NAMESPACE": bus_settings.namespace}
    verifying = [sys.executable, "-m", "saga.cli.main", "trail", "verify", "-o", "json"]
    code, out, _ = await ran(ROOT, *verifying, **told)
    assert (code, json.loads(out)) == (0, [])
    await bus.publisher.send(f"{bus.names.trail_root}.test-a", b'{"nothing": "of the kind"}', {})
    code, out, _ = await ran(ROOT, *verifying, **told)
    assert code == 8
    assert [one["number"] for one in json.loads(out)] == [2]


async def test_two_replicas_write_one_chain(bus: Bus) -> None:
    writers = [AuditWriter(Trail(bus), KEY) for _ in range(2)]
    await asyncio.gather(*(writers[number % 2].write("test-a", entry(number)) for number in range(40)))
    blocks = [TrailBlock.decode(payload) for _, payload in await Trail(bus).read()]
    assert not verify(blocks, KEY)
    assert {one.saga_id for block in blocks for one in block.entries} == {f"s{n}" for n in range(40)}
    assert len(blocks) < 40
