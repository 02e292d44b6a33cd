"""Which addresses a request may go to: public ones, and what the settings allow by name or network.

Decided at the socket, on the address that is then connected to, so that neither a second DNS answer nor a
redirect leads elsewhere. `is_global` alone is not enough: it lets pass what wraps another address.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Self

import httpcore2

from contracts.failure import InvalidContract

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network
type Resolver = Callable[[str, int], Awaitable[list[str]]]

_UNICAST_6 = ip_network("2000::/3")
# They carry another address inside, or lead to a relay that unwraps one.
_WRAPPERS = tuple(map(ip_network, ("2001::/32", "2002::/16", "192.88.99.0/24")))


class Blocked(Exception):
    """The target is not one that requests may go to. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be reached besides the public: hosts (with a port or without) and networks."""

    hosts: frozenset[str] = field(default_factory=frozenset)
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, text: str) -> Self:
        """From `host`, `host:port` and networks, separated by commas. Raises InvalidContract."""
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        try:
            networks = tuple(ip_network(entry) for entry in entries if "/" in entry)
        except ValueError as error:
            raise InvalidContract(f"allowed targets: {error}; expected a network like 10.1.0.0/16") from error
        return cls(frozenset(entry for entry in entries if "/" not in entry), networks)

    def host(self, host: str, port: int) -> bool:
        return not self.hosts.isdisjoint({host.lower(), f"{host.lower()}:{port}"})

    def address(self, address: Address) -> bool:
        return _public(address) or any(address in network for network in self.networks)


def _public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address) and address not in _UNICAST_6:
        return False
    return not any(address in network for network in _WRAPPERS)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to allowed addresses only. Raises Blocked, or httpcore2.ConnectError as every network does."""

    def __init__(self, allowed: Allowed, resolver: Resolver = resolve) -> None:
        self._allowed = allowed
        self._resolver = resolver
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            found = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"no address of {host!r}") from error
        addresses = [ip_address(text) for text in found]
        # One address that may not be reached makes the whole name suspicious.
        if not self._allowed.host(host, port) and not all(map(self._allowed.address, addresses)):
            raise Blocked(f"{host}:{port} is no public target (allow it by SAGA_HTTP_ALLOW)")
        failed: httpcore2.ConnectError | httpcore2.ConnectTimeout = httpcore2.ConnectError(
            f"no address of {host!r}"
        )
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise Blocked("requests go to no socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
