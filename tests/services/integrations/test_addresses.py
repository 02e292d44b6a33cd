"""Requests reach public addresses and what is allowed; no spelling, DNS answer or redirect leads elsewhere."""

from ipaddress import ip_address

import httpx2
import pytest
from fastapi.responses import RedirectResponse

from contracts.failure import InvalidContract
from contracts.ids import new_saga_id
from contracts.integrations import HttpRequest
from saga.execution import Failed
from services.integrations.addresses import Allowed, Blocked
from services.integrations.outbound import Limits, Outbound, Request, Unreachable
from services.integrations.steps.http_request import http_request
from tests.services.integrations.targets import Target
from tests.services.steps import Steps

FORBIDDEN = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "192.0.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "192.88.99.1", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:7f00:1::", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fec0::1", "ff02::1", "5f00::1", "100::1", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_what_is_not_public_is_forbidden(address: str) -> None:
    assert not Allowed().address(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"]
)
def test_what_is_public_is_allowed(address: str) -> None:
    assert Allowed().address(ip_address(address))


def test_hosts_and_networks_can_be_allowed() -> None:
    allowed = Allowed.of("crm.internal, Hooks.local:8080, 10.1.0.0/16, fd00:1::/32")
    assert allowed.host("CRM.internal", 443)
    assert allowed.host("hooks.local", 8080)
    assert not allowed.host("hooks.local", 80)
    assert allowed.address(ip_address("10.1.2.3"))
    assert allowed.address(ip_address("fd00:1::5"))
    assert not allowed.address(ip_address("10.2.0.1"))
    with pytest.raises(InvalidContract, match="expected a network"):
        Allowed.of("10.1.0.0/99")


@pytest.mark.parametrize("host", [
    "127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "2130706433", "0x7f.1", "0177.0.0.1",
    "127.1", "0", "169.254.169.254", "[64:ff9b::7f00:1]",
])  # fmt: skip
async def test_no_spelling_of_this_machine_is_reached(steps: Steps, target: Target, host: str) -> None:
    steps.environment = {}
    end = await steps.do(http_request, HttpRequest(url=f"http://{host}:{target.port}/"), new_saga_id())
    assert isinstance(end, Failed)
    assert end.failure.code in {"http.blocked", "http.url", "http.unreachable"}
    assert end.failure.effect == "none"
    assert target.asked == []


def asked(url: str) -> Request:
    return Request(method="GET", url=httpx2.URL(url))


async def test_a_name_that_leads_to_this_machine_is_refused(target: Target) -> None:
    async def rebound(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with Outbound(Allowed(), rebound) as client:
        with pytest.raises(Blocked, match=r"nice\.example"):
            await client.send(asked(f"http://nice.example:{target.port}/"), Limits())
    async with Outbound(Allowed.of(f"nice.example:{target.port}"), rebound) as client:
        assert (await client.send(asked(f"http://nice.example:{target.port}/"), Limits())).status == 200
    assert target.asked[0].headers["host"] == f"nice.example:{target.port}"


async def test_one_forbidden_address_among_public_ones_is_enough(target: Target) -> None:
    async def mixed(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "127.0.0.1"]

    async with Outbound(Allowed(), mixed) as client:
        with pytest.raises(Blocked):
            await client.send(asked(f"http://mixed.example:{target.port}/"), Limits())
    assert target.asked == []


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(target: Target) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    async with Outbound(Allowed.of("127.0.0.0/8"), rebinding) as client:
        await client.send(asked(f"http://twice.example:{target.port}/"), Limits())
    assert len(answers) == 1


async def test_a_name_without_an_address_is_unreachable() -> None:
    async def nobody(host: str, port: int) -> list[str]:
        return []

    async with Outbound(Allowed(), nobody) as client:
        with pytest.raises(Unreachable):
            await client.send(asked("http://nobody.example/"), Limits())


@pytest.mark.parametrize("location", [
    "http://169.254.169.254/latest/meta-data", "http://localhost:1/", "//[::1]:1/", "file:///etc/passwd",
    "http://me:pw@127.0.0.1/",
])  # fmt: skip
async def test_a_redirect_leads_nowhere_else(steps: Steps, target: Target, location: str) -> None:
    target.answers = [RedirectResponse(location)]
    command = HttpRequest(url=target.url + "/", redirects=3)
    assert await steps.refused(http_request, command, new_saga_id()) == "http.blocked"
    assert len(target.asked) == 1
