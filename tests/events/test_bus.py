"""The connection: found on any of the servers that are named."""

from events.bus import Bus
from events.servers import check_server
from events.settings import BusSettings
from events.streams import declare


async def test_a_cluster_is_found_if_the_first_of_its_nodes_is_away(
    nats_url: str, bus_settings: BusSettings
) -> None:
    some = f"nats://127.0.0.1:9,{nats_url}"
    assert (await check_server(some)).url == some
    async with await Bus.connect(bus_settings.model_copy(update={"url": some})) as bus:
        assert bus.connected
        await declare(bus)
