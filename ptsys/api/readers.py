"""The processes that read large bodies for the API; see `ptsys.api.reader_process`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from typing import Any, BinaryIO

import anyio
import anyio.to_thread

from ptsys.config import Settings
from ptsys.errors import InvalidInput, PtsysError, Unavailable
from ptsys.jobs.wire import error_from_wire, pack, unpack

LENGTH_BYTES = 8
_READERS = 2
_SECONDS = 60.0  # longer than any honest body takes
_SETTINGS = {"data_dir", "model", "max_request_rows", "max_row_bytes", "reader_bytes"}


class Readers:
    """Two processes at most, started when first wanted. For use on one event loop at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: list[_Reader] = []
        self._lock = threading.Lock()
        self._turns: anyio.CapacityLimiter | None = None

    async def read(self, form: str, data: bytes, kind: str) -> tuple[Any, bytes | None]:
        """What the reader of that form (`large_bodies.READERS`) finds in the body.

        Raises what it raises: InvalidInput for a wrong body. Raises Unavailable if no reader is
        free in time.
        """
        if self._turns is None:
            self._turns = anyio.CapacityLimiter(_READERS)
        try:
            with anyio.fail_after(self._settings.request_seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable("other large bodies are being read; try again soon") from None
        try:
            return await anyio.to_thread.run_sync(self._read, form, data, kind)
        finally:
            self._turns.release()

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            readers, self._idle = self._idle, []
        for reader in readers:
            reader.end()

    def _read(self, form: str, data: bytes, kind: str) -> tuple[Any, bytes | None]:
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        if reader is None or not reader.lives:
            reader = _Reader(self._settings)
        answer = reader.ask(pack({"form": form, "kind": kind, "data": data}))
        if answer.get("tired", True):
            reader.end()
        else:
            with self._lock:
                self._idle.append(reader)
        if "error" in answer:
            raise error_from_wire(answer["error"])
        return answer["value"], answer["tensor"]


class _Reader:
    """One process. It ends when its input does, and so with the API however that ends."""

    def __init__(self, settings: Settings) -> None:
        values = settings.model_dump(mode="json", include=_SETTINGS)
        first = pack(values | {"data_dir": str(settings.root)})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ptsys.api.reader_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a traceback may hold pieces of a user's rows
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            raise Unavailable(f"no process to read the body can start ({error.strerror})") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self._from: BinaryIO = self._process.stdout  # type: ignore[assignment]
        self._send(first)
        if not self._answer():
            self.end()
            raise Unavailable("no process to read the body starts; the service's keeper must look")

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: bytes) -> dict[str, Any]:
        """Raises InvalidInput for a body that no reader survives, or that takes a minute."""
        alarm = threading.Timer(_SECONDS, self._process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            self._send(question)
            answer = self._answer()
        finally:
            alarm.cancel()
        if not answer:
            self.end()
            raise InvalidInput(
                "the body needs too much memory or time to read; send less at a time, and tensors "
                "as safetensors"
            )
        try:
            return unpack(answer)
        except PtsysError:
            self.end()
            raise

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                pipe.close()

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # it is gone, as the missing answer tells
            self._to.write(len(message).to_bytes(LENGTH_BYTES, "little"))
            self._to.write(message)
            self._to.flush()

    def _answer(self) -> bytes:
        """The next message; nothing if the process is gone."""
        try:
            size = self._from.read(LENGTH_BYTES)
            return self._from.read(int.from_bytes(size, "little"))
        except OSError:
            return b""
