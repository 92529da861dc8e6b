"""Two deployments on one Redis: neither sees the other's messages, rows, workers or users."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocking_asker import BlockingAsker
from kombu import Connection

from ptsys.config import Settings
from ptsys.errors import QuotaExceeded, Unavailable
from ptsys.jobs.cancellations import Cancellations
from ptsys.jobs.leases import new_worker_id
from ptsys.jobs.presence import Presence, announce, workers
from ptsys.jobs.queue import celery_config, device_queue
from ptsys.jobs.quotas import RowQuota
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import EmbeddedRedis, locate
from ptsys.jobs.requests import RequestChannel
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.example import Example
from ptsys.types.training import TrainingSpec

MODEL = "tiny"


@pytest.fixture
def shared(server: EmbeddedRedis) -> str:
    return server.address.url


@pytest.fixture
def two(shared: str, tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    found = tuple(
        Service(Settings(data_dir=tmp_path / name, redis_url=shared, database_url=None))
        for name in ("one", "other")
    )
    one, other = found
    yield one, other
    for service in found:
        service.close()


def received(service: Service) -> list[str]:
    """The ids in the messages that a worker of this deployment would get."""
    address = locate(service.settings)
    options = celery_config(service.settings, address)["broker_transport_options"]
    ids: list[str] = []
    with Connection(address.celery_url, transport_options=options) as connection:
        waiting = connection.SimpleQueue(device_queue(MODEL))
        try:
            while True:
                message = waiting.get(block=False)
                ids.append(message.payload[0][0])
                message.ack()
        except waiting.Empty:
            return ids
        finally:
            waiting.close()


def test_messages_reach_the_workers_of_their_own(two: tuple[Service, Service]) -> None:
    jobs = []
    for service in two:
        service.datasets.add("reviews", "ann", [Example("good", "yes")])
        jobs.append(service.submit(TrainingSpec(name="p", dataset="reviews"), "ann").id)
    assert [service.queue().depth(MODEL) for service in two] == [1, 1]
    assert [received(service) for service in two] == [[job] for job in jobs]


def test_rows_reach_the_workers_of_their_own(two: tuple[Service, Service]) -> None:
    one, other = (locate(service.settings) for service in two)
    own, foreign = RequestChannel(one), RequestChannel(other)
    asker = BlockingAsker(one)
    answers: list[object] = []
    asking = threading.Thread(
        target=lambda: answers.append(asker.call(MODEL, "predict", {"rows": 1}, timeout=20))
    )
    asking.start()
    try:
        while not own.pending(MODEL):
            assert foreign.take(MODEL, block_seconds=0.05) == []
        assert foreign.pending(MODEL) == 0
        (request,) = own.take(MODEL, block_seconds=5)
        assert foreign.reply([(request, ({"whose": "other"}, None))]) == [False]
        assert own.reply([(request, ({"whose": "own"}, None))]) == [True]
        asking.join(20)
        assert answers == [({"whose": "own"}, None)]
    finally:
        asker.close()
        own.close()
        foreign.close()


def test_workers_are_listed_by_their_own(two: tuple[Service, Service]) -> None:
    one, other = (locate(service.settings) for service in two)
    announce(one, Presence(worker=new_worker_id(), model=MODEL, host="h", pid=1, since=utc_now()))
    assert len(workers(one)) == 1
    assert workers(other) == []


def test_a_cancellation_is_heard_by_its_own(two: tuple[Service, Service]) -> None:
    never = threading.Event()
    one, other = (Cancellations(locate(service.settings), MODEL) for service in two)
    for listener in (one, other):
        assert not listener.wait(0.01, never)  # it listens from now on
    two[0].queue().send_cancelled(MODEL)
    assert one.wait(5, never)
    assert not other.wait(0.2, never)
    one.close()
    other.close()


def test_a_user_of_the_same_name_has_rows_of_his_own(two: tuple[Service, Service]) -> None:
    one, other = (RowQuota(locate(service.settings), 100) for service in two)
    one.take("ann", 90)
    with pytest.raises(QuotaExceeded):
        one.take("ann", 90)
    other.take("ann", 90)
    one.close()
    other.close()


def test_no_key_lies_outside_the_space_of_its_deployment(two: tuple[Service, Service]) -> None:
    for service in two:
        service.datasets.add("reviews", "ann", [Example("good", "yes")])
        service.submit(TrainingSpec(name="p", dataset="reviews"), "ann")
        address = locate(service.settings)
        assert address.keys.space == f"ptsys:{service.deployment}"
        announce(address, Presence(worker="w", host="h", pid=1, since=utc_now()))
    spaces = tuple(f"ptsys:{service.deployment}:".encode() for service in two)
    with address.client() as client:
        assert len(client.keys("*")) >= 4
        assert [key for key in client.keys("*") if not key.startswith(spaces)] == []


def test_the_embedded_one_serves_one_folder_alone(server: EmbeddedRedis, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", redis_url=None, database_url=None)
    Service(settings).close()
    assert locate(settings) == server.address == RedisAddress(server.address.url)
    with pytest.raises(Unavailable, match="PTSYS_REDIS_URL"):
        locate(Settings(data_dir=tmp_path / "elsewhere", redis_url=None, database_url=None))
