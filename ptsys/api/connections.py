"""The connections of a server: how many there may be, of whom, and which make room for others."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections import Counter
from typing import Protocol

from ptsys.config import Settings


class Connection(Protocol):
    """One of them, as the list of all needs to know it."""

    address: str

    def make_room(self) -> None:
        """Close at once: nothing of a request is lost with it."""


@dataclasses.dataclass(frozen=True)
class ConnectionBounds:
    """What one connection may take, in bytes and seconds, and how many there may be."""

    most: int
    most_of_address: int
    header_seconds: float
    header_bytes: int
    header_count: int = 100
    write_seconds: float = 60.0
    linger_seconds: float = 2.0

    @classmethod
    def of(cls, settings: Settings) -> ConnectionBounds:
        """As the settings say."""
        return cls(
            most=settings.max_connections,
            most_of_address=settings.max_address_connections,
            header_seconds=settings.header_seconds,
            header_bytes=settings.max_header_bytes,
        )


class Connections:
    """All open connections, for use on one event loop.

    Where there are as many as there may be, the one that has been idle for longest makes room: so
    whoever opens connections and says nothing keeps nobody out.
    """

    def __init__(self, bounds: ConnectionBounds) -> None:
        self.bounds = bounds
        self._by_address: Counter[str] = Counter()
        self._all: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    @property
    def idle_ones(self) -> int:
        """How many wait for a request."""
        return len(self._idle)

    def admit(self, new: Connection) -> bool:
        """Whether it may stay; it begins idle. The same address's idle ones go first."""
        if self._by_address[new.address] >= self.bounds.most_of_address:
            own = (one for one in self._idle if one.address == new.address)
            if not self._gone(next(own, None)):
                return False
        if len(self._all) >= self.bounds.most and not self._gone(next(iter(self._idle), None)):
            return False
        self._all[new] = None
        self._idle[new] = None
        self._by_address[new.address] += 1
        return True

    def busy(self, one: Connection) -> None:
        """A request of it is under way."""
        self._idle.pop(one, None)

    def idle(self, one: Connection) -> None:
        """It waits for its next request."""
        if one in self._all:
            self._idle.pop(one, None)
            self._idle[one] = None

    def leave(self, one: Connection) -> None:
        """It is closed. Twice is no error."""
        self._idle.pop(one, None)
        if one in self._all:
            del self._all[one]
            self._by_address[one.address] -= 1
            if not self._by_address[one.address]:
                del self._by_address[one.address]

    def _gone(self, one: Connection | None) -> bool:
        if one is None:
            return False
        self.leave(one)
        one.make_room()
        return True


def counted_address(host: str | None) -> str:
    """What counts as one address: of IPv6 the network of 64 bits, which is one household's."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host or ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False).network_address)
    return str(address)
