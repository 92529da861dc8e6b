"""A service of its own for each test: a real database, a real Redis, a clock that can be moved."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptsys.config import Settings
from ptsys.jobs.queue import Queue
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.example import Example
from ptsys.types.training import TrainingSpec


class MovableClock:
    """The time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = datetime.timedelta()

    def __call__(self) -> datetime.datetime:
        return utc_now() + self.ahead

    def move(self, seconds: float) -> None:
        self.ahead += datetime.timedelta(seconds=seconds)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "data") as server:
        yield server


@pytest.fixture
def address(server: EmbeddedRedis) -> RedisAddress:
    return server.address


@pytest.fixture
def queue(address: RedisAddress) -> Iterator[Queue]:
    queue = Queue(address)
    yield queue
    queue.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=database_url, redis_url=None)


@pytest.fixture
def service(settings: Settings, clock: MovableClock) -> Iterator[Service]:
    """Without Redis, unless the test also asks for `server`."""
    service = Service(settings, clock=clock)
    service.datasets.add("reviews", "ann", [Example("good", "yes")])
    service.datasets.add("reviews", "bob", [Example("bad", "no")])
    yield service
    service.close()


@pytest.fixture
def spec() -> TrainingSpec:
    return TrainingSpec(name="p", dataset="reviews")
