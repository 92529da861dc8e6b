"""Whoever gives up takes its rows out of the worker."""

import concurrent.futures
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocking_asker import BlockingAsker
from waiting import until

from ptsys.errors import Unavailable
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.requests import Request, RequestChannel
from workers.interactive import Pending
from workers.serve_loop import ServeLoop


class Engine:
    """Takes requests and is never done with them."""

    def __init__(self) -> None:
        self.results: list[concurrent.futures.Future[None]] = []

    def reads(self, _request: Request) -> bool:
        return False

    def begin(self, _request: Request) -> Pending:
        self.results.append(concurrent.futures.Future())
        return Pending(self.results[-1], lambda _: ({}, None))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path) as server:
        yield server


def test_a_request_that_was_given_up_is_withdrawn_and_the_others_are_answered(
    redis: EmbeddedRedis,
) -> None:
    engine = Engine()
    loop = ServeLoop(RequestChannel(redis.address), "m", engine)  # type: ignore[arg-type]
    loop.start()
    asker = BlockingAsker(redis.address)
    answers: list[object] = []

    def patient() -> None:
        answers.append(asker.call("m", "predict", {"user": "ann"}, timeout=60))

    waiting = threading.Thread(target=patient)
    waiting.start()
    until(lambda: len(engine.results) == 1, 20)
    with pytest.raises(Unavailable):
        asker.call("m", "predict", {"user": "bob"}, timeout=1.0)
    until(lambda: len(engine.results) == 2 and engine.results[1].cancelled(), 20)
    assert not engine.results[0].done()
    engine.results[0].set_result(None)
    waiting.join(20)
    assert answers == [({}, None)]
    assert loop.wait_idle(20)
    loop.stop(5)
    asker.close()
