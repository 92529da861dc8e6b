"""Clients that talk to a function instead of a network, and never really wait."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ptsys.client import Client, Retries

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def pauses() -> list[float]:
    """The seconds the client of `talking_to` would have slept."""
    return []


@pytest.fixture
def talking_to(pauses: list[float]) -> Callable[..., Client]:
    """Makes a client of a handler; its jitter always draws the longest pause."""

    def make(handler: Handler, **retries: Any) -> Client:
        return Client(
            "http://service.test",
            "ptsys_key",
            transport=httpx.MockTransport(handler),
            retries=Retries(sleep=pauses.append, draw=lambda: 1.0, **retries),
        )

    return make
