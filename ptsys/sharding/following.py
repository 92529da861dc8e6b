"""A follower's end of a group: it asks the leader to let it in, and hears what to run."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ptsys.errors import InvalidInput, Unavailable
from ptsys.sharding import frames
from ptsys.sharding.group import GROUP_ENDED, Group

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.3
_HELLO_SECONDS = 10.0


class Command(NamedTuple):
    """What to do, as number `number`, with which shape and arrays."""

    do: str
    number: int
    key: list[Any]
    arrays: list[NDArray[Any]]


class Leader:
    """Process 0 as another process of its group sees it.

    `on_end` is called from a thread of its own, with an exit code and a reason, when the leader
    says so or is gone: the main thread may be inside of a program that waits for the others.
    """

    def __init__(self, group: Group, version: str, on_end: Callable[[int, str], None]) -> None:
        """Join the group, which waits for the leader to appear. Raises Unavailable if it does not
        in time, InvalidInput if it refuses."""
        self.group = group
        self._on_end = on_end
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._link, self.terms = self._join(version)
        threading.Thread(target=self._listen, name="group-leader", daemon=True).start()
        threading.Thread(target=self._beat, name="group-beat", daemon=True).start()

    def _join(self, version: str) -> tuple[socket.socket, dict[str, Any]]:
        deadline = time.monotonic() + self.group.join_seconds
        while True:
            try:
                return self._knock(version)
            except (OSError, EOFError) as error:
                if time.monotonic() >= deadline:
                    raise Unavailable(
                        f"process 0 at {self.group.host}:{self.group.port} did not let this "
                        f"process in within {self.group.join_seconds:g} s ({error})"
                    ) from None
            time.sleep(_RETRY_SECONDS)

    def _knock(self, version: str) -> tuple[socket.socket, dict[str, Any]]:
        group = self.group
        link = socket.create_connection((group.host, group.port), timeout=_HELLO_SECONDS)
        try:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            greeting = frames.receive(link).head
            number = frames.nonce()
            frames.send(
                link,
                {
                    "process": group.process,
                    "processes": group.processes,
                    "version": version,
                    "name": socket.gethostname(),
                    "nonce": number,
                    "proof": frames.proof(group.token, "follower", greeting["nonce"]),
                },
            )
            answer = frames.receive(link).head
            if answer.get("again"):
                raise ConnectionRefusedError(answer["refused"])
            if "refused" in answer:
                raise InvalidInput(f"process 0 does not let this one in: {answer['refused']}")
            if not frames.proves(answer.get("proof"), group.token, "leader", number):
                raise InvalidInput("process 0 has another PTSYS_GROUP_TOKEN", field="group_token")
            link.settimeout(group.silence_seconds)
            return link, dict(answer["terms"])
        except BaseException:
            link.close()
            raise

    # ---- hearing --------------------------------------------------------------------------

    def commands(self) -> Iterator[Command]:
        """What to run, in the order in which all run it; for ever."""
        while True:
            yield self._commands.get()

    def _listen(self) -> None:
        try:
            while True:
                head, arrays = frames.receive(self._link)
                if head["do"] == "end":
                    self._on_end(int(head["code"]), str(head["reason"]))
                    return
                if head["do"] != "beat":
                    self._commands.put(Command(head["do"], int(head["n"]), head["key"], arrays))
        except TimeoutError:
            reason = f"process 0 has been silent for {self.group.silence_seconds:g} s"
        except (OSError, EOFError):
            reason = "process 0 is gone"
        except Unavailable as error:
            reason = str(error)
        self._on_end(GROUP_ENDED, reason)

    # ---- telling --------------------------------------------------------------------------

    def ready(self, told: Mapping[str, Any]) -> None:
        """The model is loaded, and `told` describes it."""
        self._send({"ready": dict(told)})

    def done(self, number: int) -> None:
        """That command, and all before it, are done."""
        self._send({"done": number})

    def compiled(self, number: int, error: str | None) -> None:
        """What that command asked for is compiled, or could not be."""
        self._send({"compiled": number, "error": error})

    def failed(self, reason: str) -> None:
        """A command could not be done: this process ends, and so does the group."""
        self._send({"failed": reason})

    def leaving(self) -> None:
        """This process was asked to end: let the group end in order."""
        self._send({"leaving": True})

    def _beat(self) -> None:
        while self._send({"beat": True}):
            time.sleep(self.group.silence_seconds / 4)

    def _send(self, head: dict[str, Any]) -> bool:
        """Say it; if that is impossible, whoever listens to the leader learns of it."""
        try:
            with self._writing:
                frames.send(self._link, head)
        except OSError:
            return False
        return True
