"""When to ask again, and after how long."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator

import httpx

RETRIED_STATUS = frozenset({429, 502, 503, 504})
"""Answers that another attempt may turn: too much for now, or a part of the service is away."""

LOST = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ReadError,
    httpx.WriteError,
    httpx.CloseError,
    httpx.RemoteProtocolError,
    httpx.PoolTimeout,
)
"""The connection broke, and the request may or may not have arrived."""


@dataclasses.dataclass(frozen=True)
class Retries:
    """Exponential backoff with full jitter (Brooker, «Exponential Backoff And Jitter», 2015).

    Seconds throughout. Before attempt n + 1 lies a uniform draw from 0 to `first * 2**(n - 1)`,
    at most `longest`; a server's `Retry-After` is waited for in full on top of a draw from 0 to
    `first`, so that many clients do not come back at the same moment. A `Retry-After` longer
    than `patience` ends the attempts at once. `attempts=1` never asks again.
    """

    attempts: int = 6
    first: float = 0.25
    longest: float = 8.0
    patience: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random

    def pauses(self) -> Iterator[float]:
        """The pause after each failed attempt that another one may follow."""
        for attempt in range(self.attempts - 1):
            yield self.draw() * min(self.longest, self.first * 2.0**attempt)

    def after(self, response: httpx.Response, pause: float) -> float | None:
        """Seconds to wait after this answer; None if it is final."""
        if response.status_code not in RETRIED_STATUS:
            return None
        wanted = retry_after(response)
        if wanted is None:
            return pause
        return None if wanted > self.patience else wanted + self.draw() * self.first


def retry_after(response: httpx.Response) -> float | None:
    """The answer's `Retry-After` in seconds, where it has one that counts seconds."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() else None
