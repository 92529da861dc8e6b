"""The asking end of the interactive path for threads, as tests ask."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import Any

from ptsys.jobs.queue import Queue
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.request_client import RequestClient
from ptsys.jobs.requests import Answer, Kind


class BlockingAsker:
    """A `RequestClient` for threads: it runs on a loop in a thread of its own."""

    def __init__(self, address: RedisAddress, queue: Queue | None = None) -> None:
        """Connects lazily."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asker", daemon=True)
        self._thread.start()
        self._asker: RequestClient = self._run(self._made(address, queue))

    def call(
        self,
        model: str,
        kind: Kind,
        header: dict[str, Any],
        tensors: bytes | None = None,
        *,
        timeout: float = 60.0,
    ) -> Answer:
        """As `RequestClient.call`; blocks."""
        answer: Answer = self._run(self._asker.call(model, kind, header, tensors, timeout=timeout))
        return answer

    def close(self) -> None:
        """Close the connections and end the thread."""
        if self._loop.is_closed():
            return
        self._run(self._asker.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> Any:
        future: concurrent.futures.Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # a caller interrupted at the keyboard waits no longer
            raise

    @staticmethod
    async def _made(address: RedisAddress, queue: Queue | None) -> RequestClient:
        return RequestClient(address, queue)
