"""The leader's end of a group: it lets the others in, tells them what to run, and sees who is lost.

Each of the others keeps one TCP connection to process 0. Over it go commands in the one order that
all must keep, and heartbeats; back come heartbeats and a word for each command done. Whoever closes
the connection, is silent, or does not finish in time is lost, and with it the group.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ptsys.errors import InvalidInput, Unavailable
from ptsys.sharding import frames
from ptsys.sharding.group import Group

logger = logging.getLogger(__name__)

_HELLO_SECONDS = 10.0
_GRACE_SECONDS = 0.5  # between the first sign of a loss and the verdict: who was first?
_CAUSE_SECONDS = 2.0
_PARTING_SECONDS = 5.0
_ALREADY = "is here already"  # it may have been started again before its loss was noticed


@dataclasses.dataclass(frozen=True)
class Loss:
    """Why a group ends. `fault` says that no process died, but what it was told to run failed."""

    message: str
    fault: bool


class _Follower:
    """One of the others: its connection, and how far it is."""

    def __init__(self, number: int, name: str, link: socket.socket) -> None:
        self.number, self.name, self.link = number, name, link
        self.writing = threading.Lock()
        self.ready: dict[str, Any] | None = None
        self.done = 0  # the last command it finished
        self.compiled: dict[int, str | None] = {}  # by command: what went wrong, if anything

    def __str__(self) -> str:
        return f"process {self.number} ({self.name})"

    def send(self, head: Mapping[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> None:
        with self.writing:
            frames.send(self.link, dict(head), arrays)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)
        self.link.close()


class Followers:
    """All processes of a group but the leader, as the leader sees them.

    `on_loss` is called once, from a thread of its own, when one of them is lost; `on_leaving` when
    one was asked to end and would like the group to.
    """

    def __init__(self, group: Group, version: str, terms: Mapping[str, Any]) -> None:
        """Listen; `terms` are what the others have to know. Raises Unavailable if it cannot."""
        self.group = group
        self.on_loss: Callable[[Loss], None] = lambda loss: None
        self.on_leaving: Callable[[str], None] = lambda name: None
        self._version, self._terms = version, dict(terms)
        self._followers: dict[int, _Follower] = {}
        self._refused: dict[int, str] = {}
        self._signs: list[tuple[_Follower | None, str, bool]] = []  # None: this process
        self._changed = threading.Condition()
        self._sent: collections.deque[tuple[int, float]] = collections.deque()
        self._number = 0
        self._whole = False  # all have come: from now on none may be missing
        self._ended = False
        self._order = threading.Lock()
        self._door = _listen(group)
        threading.Thread(target=self._run_door, name="group-door", daemon=True).start()
        threading.Thread(target=self._run_watch, name="group-watch", daemon=True).start()

    @property
    def loss(self) -> Loss | None:
        """Why the group ends, as far as it is known, once one is lost."""
        return self._verdict() if self._signs else None

    # ---- joining --------------------------------------------------------------------------

    def gather(self) -> None:
        """Wait until all are here. Raises Unavailable that names those who did not come in time."""
        with self._changed:
            if self._changed.wait_for(lambda: not self._missing, self.group.join_seconds):
                self._whole = True
                return
            missing = ", ".join(
                f"{number} ({self._refused[number]})" if number in self._refused else f"{number}"
                for number in self._missing
            )
        raise Unavailable(
            f"of {self.group.processes} processes these did not join within "
            f"{self.group.join_seconds:g} s: {missing}; start them with the same "
            f"PTSYS_COORDINATOR, and see that port {self.group.port} of {self.group.host} "
            "can be reached"
        )

    def wait_ready(self, mine: Mapping[str, Any]) -> None:
        """Wait until all have loaded what the leader has, which `mine` describes. Raises
        InvalidInput that names a process and a difference, Unavailable if one is lost or late."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: self._signs or all(f.ready is not None for f in self._followers.values()),
                self.group.join_seconds,
            )
            late = [str(f) for f in self._followers.values() if f.ready is None]
        if self._signs:
            raise Unavailable(self._verdict().message)
        if not done:
            raise Unavailable(
                f"{', '.join(late)} did not load the model within {self.group.join_seconds:g} s"
            )
        for follower in self._followers.values():
            for name, ours in mine.items():
                theirs = (follower.ready or {}).get(name)
                if theirs != ours:
                    raise InvalidInput(
                        f"{follower} has {name} {theirs}, process 0 has {ours}; give all "
                        "processes of a group the same",
                        field=name,
                    )

    @property
    def _missing(self) -> list[int]:
        return [n for n in range(1, self.group.processes) if n not in self._followers]

    def _run_door(self) -> None:
        while True:
            try:
                link, address = self._door.accept()
            except OSError:  # closed
                return
            name = f"group-hello-{address[0]}"
            threading.Thread(target=self._welcome, args=(link,), name=name, daemon=True).start()

    def _welcome(self, link: socket.socket) -> None:
        try:
            follower = self._greet(link)
        except (OSError, EOFError, Unavailable) as error:
            logger.info("somebody who came to the group's port was not let in: %s", error)
            link.close()
            return
        with self._changed:
            self._followers[follower.number] = follower
            self._refused.pop(follower.number, None)
            self._changed.notify_all()
        logger.info("%s has joined", follower)
        self._listen_to(follower)

    def _greet(self, link: socket.socket) -> _Follower:
        """Let a process say who it is. Raises Unavailable if it does not belong here."""
        link.settimeout(_HELLO_SECONDS)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = frames.nonce()
        frames.send(link, {"nonce": number, "version": self._version})
        hello = frames.receive(link).head
        refusal = self._refusal(hello, number)
        if refusal is not None:
            if isinstance(hello.get("process"), int):
                self._refused[hello["process"]] = f"refused: {refusal}"
            frames.send(link, {"refused": refusal, "again": refusal.endswith(_ALREADY)})
            raise Unavailable(refusal)
        answer = frames.proof(self.group.token, "leader", hello["nonce"])
        follower = _Follower(hello["process"], str(hello.get("name")), link)
        follower.send({"proof": answer, "terms": self._terms})
        link.settimeout(self.group.silence_seconds)
        return follower

    def _refusal(self, hello: Mapping[str, Any], number: bytes) -> str | None:
        if not frames.proves(hello.get("proof"), self.group.token, "follower", number):
            return "it has another PTSYS_GROUP_TOKEN"
        if not isinstance(hello.get("nonce"), bytes):
            return "it did not ask who leads"
        if hello.get("version") != self._version:
            return f"it runs ptsys {hello.get('version')}, process 0 runs {self._version}"
        if hello.get("processes") != self.group.processes:
            return f"it knows of {hello.get('processes')} processes, not {self.group.processes}"
        process = hello.get("process")
        if not isinstance(process, int) or not 0 < process < self.group.processes:
            return f"there is no process {process!r} beside process 0"
        if process in self._followers or self._whole:
            return f"process {process} {_ALREADY}"
        return None

    # ---- telling --------------------------------------------------------------------------

    def tell(self, do: str, key: Sequence[Any], arrays: Sequence[NDArray[Any]] = ()) -> int:
        """Send a command to all, in one order; its number. Raises Unavailable if one is lost."""
        with self._order:
            self.check()
            self._number += 1
            if do != "compile":  # that runs beside the others, for as long as it takes
                self._sent.append((self._number, time.monotonic()))
            head = {"do": do, "n": self._number, "key": list(key)}
            for follower in self._followers.values():
                try:
                    follower.send(head, arrays)
                except OSError as error:
                    self._sign(follower, f"took no command: {error}", fault=False)
            return self._number

    def wait_compiled(self, number: int, timeout: float) -> None:
        """Wait until all have compiled what command `number` asked for. Raises Unavailable if one
        could not, is late (seconds) or lost."""

        def done() -> bool:
            return bool(self._signs) or all(number in f.compiled for f in self._followers.values())

        with self._changed:
            in_time = self._changed.wait_for(done, timeout)
            failed = [
                (f, f.compiled[number]) for f in self._followers.values() if number in f.compiled
            ]
        self.check()
        for follower, reason in failed:
            if reason is not None:
                raise Unavailable(f"{follower} could not compile: {reason}")
        if not in_time:
            raise Unavailable(f"the others did not compile within {timeout:g} s")

    def check(self) -> None:
        """Raises Unavailable once one is lost."""
        if self._signs:
            time.sleep(_GRACE_SECONDS)
            raise Unavailable(self._verdict().message)

    def failed_here(self, reason: str) -> Loss:
        """A program failed in this process: because another one is lost, as a moment will tell, or
        by its own fault, and then this process is what is lost."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._signs), _CAUSE_SECONDS)
        if self._signs:
            time.sleep(_GRACE_SECONDS)
        else:
            self._sign(None, f"failed: {reason}", fault=True)
        return self._verdict()

    def end(self, code: int, reason: str) -> None:
        """Let all end with that exit code, and wait a few seconds until they have."""
        self._ended = True
        self._close_door()
        for follower in list(self._followers.values()):
            try:
                follower.send({"do": "end", "code": code, "reason": reason})
            except OSError:
                continue
        with self._changed:
            gone = {id(follower) for follower, _, _ in self._signs}
            self._changed.wait_for(
                lambda: all(id(f) in gone for f in self._followers.values()), _PARTING_SECONDS
            )

    def close(self) -> None:
        """Leave them without a word."""
        self._ended = True
        self._close_door()
        for follower in list(self._followers.values()):
            follower.close()

    def _close_door(self) -> None:
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # wakes whoever accepts
        self._door.close()

    # ---- listening ------------------------------------------------------------------------

    def _listen_to(self, follower: _Follower) -> None:
        """Hear what it says until it is gone."""
        reason, fault = "is gone: its connection was closed", False
        try:
            while True:
                message = frames.receive(follower.link).head
                if "failed" in message:
                    reason, fault = f"failed: {message['failed']}", True
                    break
                self._hear(follower, message)
        except TimeoutError:
            reason = f"has been silent for {self.group.silence_seconds:g} s"
        except EOFError:
            pass
        except (OSError, Unavailable) as error:
            reason = f"is gone: {error}"
        self._gone(follower, reason, fault)

    def _hear(self, follower: _Follower, message: Mapping[str, Any]) -> None:
        if "leaving" in message:
            self.on_leaving(str(follower))
            return
        with self._changed:
            if "done" in message:
                follower.done = int(message["done"])
            elif "ready" in message:
                follower.ready = dict(message["ready"])
            elif "compiled" in message:
                follower.compiled[int(message["compiled"])] = message.get("error")
            self._changed.notify_all()

    def _gone(self, follower: _Follower, reason: str, fault: bool) -> None:
        follower.close()
        with self._changed:
            if self._ended or not self._whole:  # it may come again while others are awaited
                self._followers.pop(follower.number, None)
                self._changed.notify_all()
                return
        self._sign(follower, reason, fault)

    def _run_watch(self) -> None:
        """Let all hear that the leader lives, and see who does not finish."""
        while not self._ended:
            for follower in list(self._followers.values()):
                try:
                    follower.send({"do": "beat"})
                except OSError as error:
                    if self._whole:
                        self._sign(follower, f"hears nothing: {error}", fault=False)
            self._look_for_late()
            time.sleep(self.group.silence_seconds / 4)

    def _look_for_late(self) -> None:
        slowest = min((f.done for f in self._followers.values()), default=0)
        while self._sent and self._sent[0][0] <= slowest:
            self._sent.popleft()
        if not self._sent:
            return
        number, since = self._sent[0]
        if time.monotonic() - since > self.group.step_seconds:
            for follower in list(self._followers.values()):
                if follower.done < number:
                    late = f"did not finish a step within {self.group.step_seconds:g} s"
                    self._sign(follower, late, fault=False)

    # ---- losing ---------------------------------------------------------------------------

    def _sign(self, follower: _Follower | None, reason: str, fault: bool) -> None:
        """One seems to be lost; the first sign sets the end of the group going."""
        with self._changed:
            if self._ended:
                return
            first = not self._signs
            if all(other is not follower for other, _, _ in self._signs):
                self._signs.append((follower, reason, fault))
            self._changed.notify_all()
        if first:
            threading.Thread(target=self._end_by_loss, name="group-loss", daemon=True).start()

    def _end_by_loss(self) -> None:
        time.sleep(_GRACE_SECONDS)
        self.on_loss(self._verdict())

    def _verdict(self) -> Loss:
        """Those who died count; those whose program failed may have failed because of them."""
        with self._changed:
            signs = [sign for sign in self._signs if not sign[2]] or list(self._signs)
        reasons = "; ".join(f"{follower or 'process 0'} {reason}" for follower, reason, _ in signs)
        return Loss(reasons, fault=all(fault for _, _, fault in signs))


def _listen(group: Group) -> socket.socket:
    """The group's port on the coordinator's address, or on all if that is not one of this host."""
    for host in (group.host, ""):
        try:
            return socket.create_server((host, group.port), backlog=group.processes)
        except OSError as error:
            failure = error
            if error.errno == errno.EADDRINUSE:
                break
    raise Unavailable(
        f"port {group.port} for the group cannot be opened ({failure.strerror}); choose another "
        "one with PTSYS_GROUP_PORT"
    )
