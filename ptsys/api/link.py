"""The connections to one Redis: the way to workers, and what users have asked for lately."""

from __future__ import annotations

import asyncio

from ptsys.jobs.quotas import RowQuota
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.request_client import RequestClient
from ptsys.jobs.requests import RequestChannel


class Link:
    """One for each Redis that is found; made when something is first asked there."""

    def __init__(self, address: RedisAddress, rows_per_minute: int) -> None:
        self.address = address
        self.channel = RequestChannel(address)
        self.quota = RowQuota(address, rows_per_minute)
        self._asker: RequestClient | None = None

    def asker(self) -> RequestClient:
        """The way to workers, of the event loop that runs here."""
        if self._asker is None or self._asker.loop is not asyncio.get_running_loop():
            self._asker = RequestClient(self.address)
        return self._asker

    async def aclose(self) -> None:
        """Close the connections of the event loop."""
        asker, self._asker = self._asker, None
        if asker is not None:
            await asker.close()

    def close(self) -> None:
        """Close the others."""
        self.channel.close()
        self.quota.close()
