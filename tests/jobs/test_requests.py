import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from blocking_asker import BlockingAsker
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from ptsys import errors
from ptsys.errors import Conflict, InvalidInput, NotFound, PtsysError, Unavailable
from ptsys.jobs import requests as requests_module
from ptsys.jobs.queue import Queue
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_keys import RedisKeys
from ptsys.jobs.requests import Request, RequestChannel
from ptsys.jobs.wire import error_from_wire, error_to_wire, pack, unpack

TENSORS = os.urandom(1_600_000)


@pytest.fixture
def channel(address: RedisAddress) -> Iterator[RequestChannel]:
    channel = RequestChannel(address)
    yield channel
    channel.close()


@pytest.fixture
def asker(address: RedisAddress, queue: Queue) -> Iterator[BlockingAsker]:
    asker = BlockingAsker(address, queue)
    yield asker
    asker.close()


class Answering:
    """A thread that serves a model as a worker does: takes, answers, retires."""

    def __init__(
        self, channel: RequestChannel, answer: Callable[[Request], None], model: str = "tiny"
    ) -> None:
        self.batches: list[int] = []
        self._channel, self._answer, self._model = channel, answer, model
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            batch = self._channel.take(self._model, block_seconds=0.05)
            if batch:
                self.batches.append(len(batch))
            for request in batch:
                self._answer(request)

    def __enter__(self) -> "Answering":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_rows_go_and_answers_come_back(
    channel: RequestChannel, asker: BlockingAsker, address: RedisAddress
) -> None:
    def answer(request: Request) -> None:
        assert request.kind == "gradients"
        assert request.tensors == TENSORS
        reply(channel, request, {**request.header, "loss": 0.5}, TENSORS[::-1])

    with Answering(channel, answer):
        header = {"inputs": ["Größe ✓"], "prompt": None, "length": 3}
        got = asker.call("tiny", "gradients", header, TENSORS, timeout=20)
    assert got == ({**header, "loss": 0.5}, TENSORS[::-1])
    assert channel.retire("tiny")
    with address.client() as client:
        assert [key for key in kept(client) if b"pending" not in key] == []


def kept(client: redis.Redis) -> list[bytes]:
    """The keys of requests; Celery's own are none of them."""
    return [key for key in client.keys("ptsys:*") if b":celery:" not in key]


def test_32_users_each_get_their_own_answer(channel: RequestChannel, asker: BlockingAsker) -> None:
    def answer(request: Request) -> None:
        reply(channel, request, {"user": request.header["user"]}, request.tensors)

    def user(number: int) -> bool:
        sent = str(number).encode() * 1000
        header, tensors = asker.call("tiny", "predict", {"user": number}, sent, timeout=20)
        return header["user"] == number and tensors == sent

    with Answering(channel, answer), ThreadPoolExecutor(32) as pool:
        assert all(pool.map(user, range(200)))


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("too long; cut it", field="inputs"),
        NotFound("no such prompt"),
        Conflict("busy"),
        Unavailable("draining"),
    ],
)
def test_an_error_arrives_as_what_it_is(
    channel: RequestChannel, asker: BlockingAsker, error: PtsysError
) -> None:
    with (
        Answering(channel, lambda request: void(reply_error(channel, request, error))),
        pytest.raises(type(error)) as caught,
    ):
        asker.call("tiny", "predict", {}, timeout=20)
    assert str(caught.value) == str(error)
    assert getattr(caught.value, "field", None) == getattr(error, "field", None)


def test_an_accident_tells_its_kind_but_no_rows(
    channel: RequestChannel, asker: BlockingAsker
) -> None:
    accident = ValueError("cannot parse 'my secret diary'")
    with (
        Answering(channel, lambda request: void(reply_error(channel, request, accident))),
        pytest.raises(PtsysError, match="ValueError") as caught,
    ):
        asker.call("tiny", "predict", {}, timeout=20)
    assert "diary" not in str(caught.value)


def test_without_a_worker_the_way_out_is_told_and_nothing_remains(
    channel: RequestChannel, asker: BlockingAsker, queue: Queue, address: RedisAddress
) -> None:
    with pytest.raises(Unavailable, match="ptsys worker"):
        asker.call("tiny", "predict", {"inputs": ["secret"]}, timeout=0.3)
    until(lambda: queue.depth("tiny") == 1, 20)  # one call for help, perhaps still on its way
    assert channel.take("tiny", block_seconds=0.1) == []  # nobody waits any longer
    with address.client() as client:
        assert client.keys("ptsys:re*") == []
        assert all(client.ttl(key) > 0 for key in kept(client))


def test_every_key_ends_by_itself(
    channel: RequestChannel, asker: BlockingAsker, address: RedisAddress
) -> None:
    def call() -> None:
        with contextlib.suppress(Unavailable):
            asker.call("tiny", "predict", {}, timeout=1.5)

    caller = threading.Thread(target=call)
    caller.start()
    with address.client() as client:
        until(lambda: len(kept(client)) == 3, 1.2)
        keys = kept(client)
        assert len(keys) == 3  # payload, pending, wake
        assert all(client.pttl(key) > 0 for key in keys)
        payload = client.keys("ptsys:request:*")[0]
        assert client.pttl(payload) <= 1500
    caller.join()


def test_a_listening_worker_is_not_called(
    channel: RequestChannel, asker: BlockingAsker, queue: Queue
) -> None:
    channel.keep_awake("tiny")
    with Answering(channel, lambda request: void(reply(channel, request, {}))):
        for _ in range(5):
            asker.call("tiny", "predict", {}, timeout=20)
    assert queue.depth("tiny") == 0
    assert channel.retire("tiny")
    with pytest.raises(Unavailable):
        asker.call("tiny", "predict", {}, timeout=0.2)
    assert queue.depth("tiny") == 1


def test_a_worker_does_not_retire_over_a_waiting_request(
    channel: RequestChannel, asker: BlockingAsker
) -> None:
    channel.keep_awake("tiny")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asker.call, "tiny", "predict", {"n": 1}, timeout=20)
        until(lambda: channel.pending("tiny"), 20)
        assert channel.retire("tiny") is False
        (request,) = channel.take("tiny")
        assert reply(channel, request, {"n": 2})
        assert answer.result() == ({"n": 2}, None)
    assert channel.retire("tiny") is True


def test_a_request_is_answered_once(channel: RequestChannel, asker: BlockingAsker) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asker.call, "tiny", "predict", {}, timeout=20)
        (request,) = channel.take("tiny", block_seconds=5)
        assert reply(channel, request, {"n": 1}) is True
        assert reply(channel, request, {"n": 2}) is False
        assert answer.result() == ({"n": 1}, None)
        assert reply_error(channel, request, NotFound("late")) is False


def test_a_request_outlives_the_worker_that_took_it(
    channel: RequestChannel, asker: BlockingAsker, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "WAKE_SECONDS", 0.5)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asker.call, "tiny", "predict", {"n": 1}, timeout=20)
        (lost,) = channel.take("tiny", block_seconds=5)
        # that worker is gone now: it neither answers nor listens
        (again,) = channel.take("tiny", block_seconds=10)
        assert (again.id, again.header) == (lost.id, lost.header)
        reply(channel, again, {"n": 2})
        assert answer.result() == ({"n": 2}, None)


def test_a_request_that_ends_its_workers_is_not_given_to_all_of_them(
    address: RedisAddress, asker: BlockingAsker
) -> None:
    """Whoever asked announces it again whenever no worker listens any more."""
    workers = [RequestChannel(address) for _ in range(4)]
    with ThreadPoolExecutor(1) as pool, address.client(timeout=5.0) as client:
        asked = pool.submit(asker.call, "tiny", "predict", {"user": "ann"}, timeout=60)
        for worker in workers[:3]:
            [request] = worker.take("tiny", block_seconds=20)
            assert worker.take("tiny", block_seconds=0.01) == []
            for _ in range(3):  # the same worker may hear of it again, as after a pause
                client.rpush(RedisKeys().pending("tiny"), request.id)
                assert len(worker.take("tiny", block_seconds=1)) == 1
            client.rpush(RedisKeys().pending("tiny"), request.id)
        assert not asked.done()
        assert workers[3].take("tiny", block_seconds=20) == []
        with pytest.raises(InvalidInput, match="3 workers ended"):
            asked.result(20)
        assert client.keys("ptsys:request:*") == []
    for worker in workers:
        worker.close()


def test_a_foreign_payload_spoils_only_itself(
    channel: RequestChannel, asker: BlockingAsker, address: RedisAddress
) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asker.call, "tiny", "predict", {}, timeout=20)
        until(lambda: channel.pending("tiny"), 20)
        with address.client() as client:
            client.set("ptsys:request:foreign", b"\xc1", ex=20)
            client.rpush("ptsys:pending:tiny", "foreign")
        (request,) = channel.take("tiny")
        reply(channel, request, {})
        assert answer.result() == ({}, None)


def test_take_says_how_long_someone_waits(channel: RequestChannel, asker: BlockingAsker) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = [
            pool.submit(asker.call, "tiny", "predict", {"n": n}, timeout=20) for n in range(4)
        ]
        until(lambda: channel.pending("tiny") == 4, 20)
        batch = channel.take("tiny", limit=3)
        assert len(batch) == 3
        assert all(0 < request.deadline - time.monotonic() <= 20 for request in batch)
        for request in batch + channel.take("tiny"):
            reply(channel, request, request.header)
        assert sorted(answer.result()[0]["n"] for answer in answers) == [0, 1, 2, 3]


def test_rows_are_not_in_the_repr(channel: RequestChannel) -> None:
    request = Request("id", "tiny", "predict", {"inputs": ["secret"]}, b"secret", 0.0)
    assert "secret" not in repr(request)


def test_too_long_a_message_is_refused(
    channel: RequestChannel, asker: BlockingAsker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptsys.jobs.wire.LONGEST_MESSAGE", 1000)
    with pytest.raises(InvalidInput, match="fewer rows"):
        asker.call("tiny", "predict", {}, b"x" * 2000)


def test_a_missing_redis_is_unavailable() -> None:
    nowhere = RedisAddress("unix:///nowhere/redis.sock")
    channel, asker = RequestChannel(nowhere), BlockingAsker(nowhere)
    with pytest.raises(Unavailable, match="PTSYS_REDIS_URL"):
        asker.call("tiny", "predict", {})
    asker.close()
    with pytest.raises(Unavailable):
        channel.take("tiny")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=10,
)


@given(message=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), PLAIN))
def test_plain_data_survives_the_wire(message: dict[str, object]) -> None:
    assert unpack(pack(message)) == message


@given(garbage=st.binary(max_size=200))
def test_garbage_is_told_not_executed(garbage: bytes) -> None:
    with contextlib.suppress(Unavailable):
        assert isinstance(unpack(garbage), dict)


def test_every_error_has_a_way_over_the_wire() -> None:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in found if issubclass(kind, PtsysError)]
    assert len(kinds) > 15
    for kind in kinds:
        error = kind("why")
        back = error_from_wire(error_to_wire(error))
        assert type(back) is kind
        assert str(back) == (error.public or "why")  # users are told no more over there than here
    assert type(error_from_wire({"type": "Unheard", "message": "m"})) is PtsysError


def reply(
    channel: RequestChannel, request: Request, header: dict[str, Any], tensors: bytes | None = None
) -> bool:
    return channel.reply([(request, (header, tensors))])[0]


def reply_error(channel: RequestChannel, request: Request, error: Exception) -> bool:
    return channel.reply([(request, error)])[0]


def void(_: object) -> None:
    return None
