"""An archive is whole whenever the process dies, goes on where it was, and is replayed as the stream was."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.failure import Conflict, InvalidContract, NotFound
from saga.archive import archive, archived_lines
from saga.frames import frames_of
from saga.manifest import Segment, problem_of, read_manifest
from saga.recording import read_recording
from tests.saga.small import CHAIN, actions
from tests.world import Running, World

SAGAS = 3


def nobody(done: int, total: int) -> None:
    """Is told how far an archive has got."""


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


async def play(running: Running, world: World) -> str:
    await running.publish(CHAIN)
    async with running.serving(*actions(world, "a", "b", "c")):
        for number in range(SAGAS):
            saga_id = await running.start(CHAIN, value=number)
            await running.ended(CHAIN, saga_id)
    return saga_id


async def archived(running: Running, folder: Path, before: datetime, segment: int = 10) -> list[Segment]:
    return await archive(running.bus, running.definitions, folder, before, tell=nobody, segment=segment)


async def test_an_archived_saga_is_replayed_as_from_the_stream(
    running: Running, world: World, tmp_path: Path
) -> None:
    saga_id = await play(running, world)
    await running.bus.jetstream.publish(f"{running.bus.subjects.root}.0.chain.a.completed.x", b"no fact")
    written = await archived(running, tmp_path, tomorrow())
    assert len(written) > 1
    recording = read_recording(archived_lines(tmp_path))
    assert (len(recording.sagas), recording.undecodable) == (SAGAS, 1)
    facts = await running.facts(saga_id)
    assert frames_of(CHAIN, recording.facts(saga_id)) == frames_of(CHAIN, facts)
    only = read_recording(archived_lines(tmp_path), only=saga_id)
    assert only.sagas.keys() == {saga_id}
    assert only.definitions[CHAIN.ref] == CHAIN


async def test_an_archive_goes_on_where_it_was(running: Running, world: World, tmp_path: Path) -> None:
    await play(running, world)
    first = await archived(running, tmp_path, tomorrow())
    assert await archived(running, tmp_path, tomorrow()) == []
    await play(running, world)
    second = await archived(running, tmp_path, tomorrow())
    segments = read_manifest(tmp_path).segments
    assert list(segments) == first + second
    assert [one.missing for one in segments] == [0] * len(segments)
    assert sum(one.messages for one in segments) == segments[-1].last
    assert len(read_recording(archived_lines(tmp_path)).sagas) == 2 * SAGAS


async def test_only_what_is_old_enough_is_archived(running: Running, world: World, tmp_path: Path) -> None:
    saga_id = await play(running, world)
    (story,) = [await running.facts(saga_id)]
    assert await archived(running, tmp_path, datetime(2020, 1, 1, tzinfo=UTC)) == []
    written = await archived(running, tmp_path, story[0].fact.time - timedelta(seconds=0.0))
    assert all(one.last < story[0].sequence for one in written)


async def test_what_was_lost_before_it_could_be_archived_is_counted(
    running: Running, world: World, tmp_path: Path
) -> None:
    await play(running, world)
    stream = (await running.bus.jetstream.stream_info(running.bus.names.facts(0))).config
    await running.bus.jetstream.update_stream(stream.evolve(max_msgs=4))
    (segment,) = await archived(running, tmp_path, tomorrow())
    assert (segment.messages, segment.missing) == (4, segment.first - 1)


async def test_damage_is_found(running: Running, world: World, tmp_path: Path) -> None:
    await play(running, world)
    first, *_ = await archived(running, tmp_path, tomorrow())
    assert problem_of(tmp_path, first) == ""
    file = tmp_path / first.file
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "is damaged" in problem_of(tmp_path, first)
    with pytest.raises(InvalidContract, match="is damaged"):
        read_recording(archived_lines(tmp_path))
    file.unlink()
    assert "No such file" in problem_of(tmp_path, first)


async def test_a_folder_holds_one_namespace(running: Running, world: World, tmp_path: Path) -> None:
    await play(running, world)
    await archived(running, tmp_path, tomorrow())
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(running.bus.settings.namespace, "other"))
    with pytest.raises(Conflict, match="namespace 'other'"):
        await archived(running, tmp_path, tomorrow())
    manifest.write_text("{}")
    with pytest.raises(InvalidContract, match="/namespace"):
        await archived(running, tmp_path, tomorrow())
    with pytest.raises(NotFound, match="no archive in"):
        list(archived_lines(tmp_path / "nowhere"))
