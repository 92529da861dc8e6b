"""A proxy between the processes and a server (Redis, PostgreSQL) that can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Literal

Mode = Literal["pass", "slow", "cut", "half-open"]
_CHUNK = 65536


class FaultProxy:
    """Listens on a port of 127.0.0.1 and carries bytes to a Unix socket.

    `slow` delays each piece; `cut` breaks what is open and refuses what comes; `half-open` keeps
    connections and swallows their bytes, as a network does whose other side has vanished: those
    connections stay dead when it passes bytes again, and are cut then.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.mode: Mode = "pass"
        self.delay = 0.0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        threading.Thread(target=self._run, name="proxy", daemon=True).start()
        self._ready.wait()

    def set(self, mode: Mode, delay: float = 0.0) -> None:
        """Behave so from now on; `delay` is seconds for each piece."""
        broken = mode == "cut" or (mode == "pass" and self.mode == "half-open")
        self.mode, self.delay = mode, delay
        if broken:
            self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        """Cut everything and listen no more."""
        self.set("cut")
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._carry, "127.0.0.1", 0, backlog=512)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "cut":
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            tasks = [
                asyncio.ensure_future(self._pump(reader, far_writer)),
                asyncio.ensure_future(self._pump(far_reader, writer)),
            ]
            with contextlib.suppress(asyncio.CancelledError):  # this proxy is closed
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        finally:
            self._writers -= pair
            for one in pair:
                with contextlib.suppress(Exception):
                    one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_CHUNK):
                while self.mode == "half-open":
                    await asyncio.sleep(0.05)
                if self.mode == "slow":
                    await asyncio.sleep(self.delay)
                writer.write(piece)
                await writer.drain()
