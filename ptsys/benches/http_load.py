"""A load of one HTTP request sent again and again by many clients, each on a connection of its own.

Leaner than a client library, so that on a small machine the load costs the service little.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping

from ptsys.errors import Unavailable


@dataclasses.dataclass(frozen=True)
class Load:
    """What clients saw: seconds of every request, and of the whole."""

    latencies: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency (seconds) that this share of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def http_load(
    host: str,
    port: int,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    clients: int,
    seconds: float,
) -> Load:
    """POST `body` from `clients` at once for so many seconds; one request at a time each.

    Raises Unavailable, with the answer, for any status but 200.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    message = head.encode() + b"\r\n" + body

    async def everyone() -> Load:
        connections = [await asyncio.open_connection(host, port) for _ in range(clients)]
        since = time.perf_counter()
        until = since + seconds
        found = await asyncio.gather(*(_one(*streams, message, until) for streams in connections))
        ended = time.perf_counter()
        for _, writer in connections:
            writer.close()
        return Load([latency for latencies in found for latency in latencies], ended - since)

    return asyncio.run(everyone())


async def _one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes, until: float
) -> list[float]:
    latencies = []
    while time.perf_counter() < until:
        since = time.perf_counter()
        writer.write(message)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        length = next(
            int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")
        )
        answer = await reader.readexactly(length)
        if " 200 " not in lines[0]:
            raise Unavailable(f"the service answered {lines[0]}: {answer[:300]!r}")
        latencies.append(time.perf_counter() - since)
    return latencies
