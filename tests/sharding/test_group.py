"""Processes of a group find each other, agree, and notice at once when one is lost."""

from __future__ import annotations

import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest

from ptsys.config import Settings
from ptsys.errors import InvalidInput, Unavailable
from ptsys.sharding import frames
from ptsys.sharding.following import Leader
from ptsys.sharding.group import GROUP_ENDED, Group, group_of
from ptsys.sharding.leading import Followers, Loss


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Meeting:
    """A leader and followers in threads of this process."""

    def __init__(self, processes: int = 2, **patience: Any) -> None:
        values = {"join_seconds": 10.0, "silence_seconds": 5.0, **patience}
        self.group = Group("127.0.0.1:1", processes, 0, free_port(), **values)
        self.losses: queue.SimpleQueue[Loss] = queue.SimpleQueue()
        self.left: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.ends: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self.followers = Followers(self.group, "1.0", {"model": "mini"})
        self.followers.on_loss = self.losses.put
        self.followers.on_leaving = self.left.put
        self.joined: dict[int, Leader] = {}

    def join(self, process: int = 1, version: str = "1.0", **changes: Any) -> Leader:
        values = {**vars(self.group), "process": process, **changes}
        leader = Leader(Group(**values), version, lambda code, why: self.ends.put((code, why)))
        self.joined[process] = leader
        return leader

    def whole(self) -> Meeting:
        for process in range(1, self.group.processes):
            self.join(process)
        self.followers.gather()
        return self

    def die(self, process: int) -> None:
        """What the others see of a process that is killed."""
        self.joined[process]._link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.followers.close()
        for leader in self.joined.values():
            leader._link.close()


@pytest.fixture
def meet() -> Iterator[Callable[..., Meeting]]:
    made: list[Meeting] = []

    def make(*arguments: Any, **patience: Any) -> Meeting:
        made.append(Meeting(*arguments, **patience))
        return made[-1]

    yield make
    for meeting in made:
        meeting.close()


# ---- frames -------------------------------------------------------------------------------------


def test_a_frame_arrives_as_it_was_sent() -> None:
    one, other = socket.socketpair()
    arrays = [
        np.array([[1.5, np.nan], [-0.0, np.inf]], np.float32),
        np.arange(6, dtype=np.int32).reshape(2, 3)[:, ::2],  # not contiguous
        np.zeros((0, 4), np.int32),
        np.asarray(np.int32(7)),
        np.array([2**32 - 1], np.uint32),
    ]
    with one, other:
        frames.send(one, {"do": "answer", "n": 3}, arrays)
        head, found = frames.receive(other)
    assert head == {"do": "answer", "n": 3}
    for sent, got in zip(arrays, found, strict=True):
        assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
        assert got.tobytes() == sent.tobytes()


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("!I", 2**31),
        struct.pack("!I", 3) + b"\xc1\xc1\xc1",
        {"head": [], "arrays": []},
        {"head": {}, "arrays": [["|O", [1]]]},
        {"head": {}, "arrays": [["<f4", [-1]]]},
        {"head": {}, "arrays": [["<f4", [2**20, 2**20]]]},
        {"arrays": []},
    ],
)
def test_what_is_no_frame_of_ours_is_refused_before_it_takes_memory(sent: Any) -> None:
    if not isinstance(sent, bytes):
        packed = msgpack.packb(sent)
        sent = struct.pack("!I", len(packed)) + packed
    one, other = socket.socketpair()
    with one, other:
        one.sendall(sent)
        one.shutdown(socket.SHUT_WR)
        with pytest.raises(Unavailable, match="same version"):
            frames.receive(other)


# ---- settings -----------------------------------------------------------------------------------


def test_without_settings_a_process_is_alone() -> None:
    assert group_of(Settings()) is None
    assert group_of(Settings(coordinator="a:1", processes=1, process_id=0)) is None


def test_a_group_is_read_from_settings() -> None:
    settings = Settings(coordinator="[::1]:900", processes=2, process_id=1, group_token="secret")
    group = group_of(settings)
    assert group is not None
    assert (group.host, group.port, group.leads) == ("::1", 901, False)
    assert "secret" not in repr(group) + repr(settings)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"processes": 2, "process_id": 0}, "coordinator"),
        ({"coordinator": "a:1", "process_id": 0}, "processes"),
        ({"coordinator": "a:1", "processes": 2}, "process_id"),
        ({"coordinator": "a:1", "processes": 2, "process_id": 2}, "process_id"),
        ({"coordinator": "a", "processes": 2, "process_id": 0}, "coordinator"),
        ({"coordinator": "a:port", "processes": 2, "process_id": 0}, "coordinator"),
    ],
)
def test_half_a_group_is_refused_with_the_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        group_of(Settings(**given))
    assert caught.value.field == field


# ---- joining ------------------------------------------------------------------------------------


def test_those_who_do_not_come_are_named(meet: Callable[..., Meeting]) -> None:
    meeting = meet(4, join_seconds=0.5)
    meeting.join(2)
    with pytest.raises(Unavailable, match=r"did not join within 0.5 s: 1, 3;"):
        meeting.followers.gather()


def test_a_leader_that_does_not_come_is_named() -> None:
    group = Group("127.0.0.1:1", 2, 1, free_port(), join_seconds=0.5)
    with pytest.raises(Unavailable, match=f"process 0 at 127.0.0.1:{group.port}"):
        Leader(group, "1.0", lambda code, why: None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "0.9"}, "it runs ptsys 0.9, process 0 runs 1.0"),
        ({"token": "other"}, "another PTSYS_GROUP_TOKEN"),
        ({"token": None}, "another PTSYS_GROUP_TOKEN"),
        ({"processes": 3}, "it knows of 3 processes, not 2"),
        ({"process": 2}, "there is no process 2"),
    ],
)
def test_who_does_not_belong_is_not_let_in(
    meet: Callable[..., Meeting], changes: dict[str, Any], reason: str
) -> None:
    meeting = meet(token="secret", join_seconds=1.0)
    with pytest.raises(InvalidInput, match=reason):
        meeting.join(**changes)
    with pytest.raises(Unavailable, match="did not join"):
        meeting.followers.gather()


def test_a_leader_without_the_token_is_not_followed() -> None:
    number = frames.nonce()
    assert frames.proves(frames.proof("a", "leader", number), "a", "leader", number)
    assert not frames.proves(frames.proof(None, "leader", number), "a", "leader", number)
    assert not frames.proves(frames.proof("a", "follower", number), "a", "leader", number)
    assert not frames.proves(None, "a", "leader", number)


def test_strangers_do_not_disturb(meet: Callable[..., Meeting]) -> None:
    meeting = meet()
    with socket.create_connection(("127.0.0.1", meeting.group.port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        meeting.whole()
    assert meeting.joined[1].terms == {"model": "mini"}


def test_a_process_started_again_may_come_again(meet: Callable[..., Meeting]) -> None:
    meeting = meet(3)
    meeting.join(1)
    again = threading.Thread(target=meeting.join, args=(1,))
    first = meeting.joined[1]
    again.start()
    time.sleep(0.2)
    assert meeting.joined[1] is first  # the other one still stands in its place
    first._link.shutdown(socket.SHUT_RDWR)
    again.join(10)
    meeting.join(2)
    meeting.followers.gather()
    assert meeting.joined[1] is not first


def test_another_model_is_refused_with_its_process(meet: Callable[..., Meeting]) -> None:
    meeting = meet(3).whole()
    meeting.joined[1].ready({"model fingerprint": "aa"})
    meeting.joined[2].ready({"model fingerprint": "bb"})
    with pytest.raises(InvalidInput, match=r"process 2 .* fingerprint bb, process 0 has aa"):
        meeting.followers.wait_ready({"model fingerprint": "aa"})


# ---- telling ------------------------------------------------------------------------------------


def test_all_hear_the_same_in_one_order(meet: Callable[..., Meeting]) -> None:
    meeting = meet(3).whole()
    tellers = [
        threading.Thread(
            target=lambda k=k: [
                meeting.followers.tell("get", [k, i], [np.full((50, 50), i, np.int32)])
                for i in range(20)
            ]
        )
        for k in range(3)
    ]
    for teller in tellers:
        teller.start()
    heard = []
    for process in (1, 2):
        commands = meeting.joined[process].commands()
        heard.append([next(commands) for _ in range(60)])
    keys = [[command.key for command in own] for own in heard]
    assert keys[0] == keys[1]
    assert [command.number for command in heard[0]] == list(range(1, 61))
    assert all(np.all(command.arrays[0] == command.key[1]) for command in heard[0])


def test_a_shape_is_compiled_when_all_have_compiled_it(meet: Callable[..., Meeting]) -> None:
    meeting = meet(3).whole()
    number = meeting.followers.tell("compile", ["x"])
    meeting.joined[1].compiled(number, None)
    with pytest.raises(Unavailable, match="did not compile within"):
        meeting.followers.wait_compiled(number, 0.2)
    meeting.joined[2].compiled(number, None)
    meeting.followers.wait_compiled(number, 5.0)
    number = meeting.followers.tell("compile", ["y"])
    meeting.joined[2].compiled(number, "out of memory")
    meeting.joined[1].compiled(number, None)
    with pytest.raises(Unavailable, match=r"process 2 .* could not compile: out of memory"):
        meeting.followers.wait_compiled(number, 5.0)


# ---- losing -------------------------------------------------------------------------------------


def test_a_dead_process_is_noticed_at_once_and_named(meet: Callable[..., Meeting]) -> None:
    meeting = meet(3, silence_seconds=60.0).whole()
    meeting.die(2)
    loss = meeting.losses.get(timeout=10)
    assert not loss.fault
    assert loss.message.startswith("process 2 (")
    with pytest.raises(Unavailable, match="process 2"):
        meeting.followers.tell("get", [16])


def test_a_silent_process_is_lost(
    meet: Callable[..., Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Leader, "_beat", lambda self: None)
    loss = meet(silence_seconds=0.6).whole().losses.get(timeout=10)
    assert "process 1" in loss.message
    assert "silent for 0.6 s" in loss.message


def test_heartbeats_keep_an_idle_group_together(meet: Callable[..., Meeting]) -> None:
    meeting = meet(silence_seconds=0.6).whole()
    with pytest.raises(queue.Empty):
        meeting.losses.get(timeout=2.0)
    assert meeting.ends.empty()


def test_a_step_that_does_not_end_in_time_is_lost_with_its_process(
    meet: Callable[..., Meeting],
) -> None:
    meeting = meet(3, step_seconds=0.5, silence_seconds=0.8).whole()
    done = meeting.followers.tell("get", [16])
    for leader in meeting.joined.values():
        leader.done(done)
    time.sleep(1.0)
    assert meeting.losses.empty()
    meeting.joined[1].done(meeting.followers.tell("get", [16]))
    loss = meeting.losses.get(timeout=10)
    assert "process 2" in loss.message
    assert "process 1" not in loss.message
    assert "within 0.5 s" in loss.message


def test_what_fails_because_of_the_dead_is_not_to_blame(meet: Callable[..., Meeting]) -> None:
    meeting = meet(3).whole()
    meeting.joined[1].failed("ValueError: Gloo: connection closed by peer")
    meeting.die(2)
    loss = meeting.losses.get(timeout=10)
    assert (loss.fault, "process 1" in loss.message) == (False, False)
    assert meeting.followers.failed_here("ValueError") == loss


def test_a_step_that_fails_by_itself_is_to_blame(meet: Callable[..., Meeting]) -> None:
    meeting = meet().whole()
    meeting.joined[1].failed("out of memory")
    loss = meeting.losses.get(timeout=10)
    assert (loss.fault, "failed: out of memory" in loss.message) == (True, True)
    alone = meet().whole()
    assert alone.followers.failed_here("out of memory").message == "process 0 failed: out of memory"
    assert alone.losses.get(timeout=10).fault


def test_the_leaders_end_ends_all(meet: Callable[..., Meeting]) -> None:
    meeting = meet(3).whole()
    ending = threading.Thread(target=meeting.followers.end, args=(0, "a signal"))
    ending.start()
    assert [meeting.ends.get(timeout=10) for _ in range(2)] == [(0, "a signal")] * 2
    for process in (1, 2):
        meeting.die(process)
    ending.join(10)
    assert meeting.losses.empty()


def test_a_dead_leader_ends_all(meet: Callable[..., Meeting]) -> None:
    meeting = meet(3).whole()
    meeting.followers.close()
    assert [meeting.ends.get(timeout=10) for _ in range(2)] == [
        (GROUP_ENDED, "process 0 is gone")
    ] * 2


def test_one_who_was_asked_to_end_asks_the_leader(meet: Callable[..., Meeting]) -> None:
    meeting = meet().whole()
    meeting.joined[1].leaving()
    assert meeting.left.get(timeout=10).startswith("process 1 (")
    assert meeting.losses.empty()
