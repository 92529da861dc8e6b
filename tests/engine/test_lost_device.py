"""An engine whose device is gone leaves nobody waiting, and blames nobody for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from test_engine import last, task

from ptsys.engine.compilation import Build
from ptsys.engine.device import Device
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.groups import Shape
from ptsys.engine.model import ServedModel
from ptsys.engine.trainings import Failed
from ptsys.errors import Unavailable

GONE = Unavailable("process 1 is gone")


class Stuck(Device):
    """Waits in every step, as a program does that waits for a process which is gone."""

    gone = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.entered, self.free = threading.Event(), threading.Event()

    @property
    def lost(self) -> bool:
        return self.gone

    def builder(self, shape: Shape) -> Build:
        return lambda: shape  # nothing is ever run

    def answer(self, *_: Any) -> Any:
        self._wait()

    def train(self, *_: Any) -> Any:
        self._wait()

    def _wait(self) -> None:
        self.entered.set()
        self.free.wait(60)
        raise GONE


@pytest.fixture
def device(served: ServedModel) -> Stuck:
    return Stuck(served.frozen, 4)


@pytest.fixture
def stuck(served: ServedModel, device: Stuck) -> Iterator[Engine]:
    engine = Engine(served, EngineOptions(max_residents=4), device).start()
    yield engine
    engine.abort(GONE)
    device.free.set()
    engine.close()


def test_all_who_wait_are_told_while_the_device_thread_is_stuck(
    stuck: Engine, device: Stuck
) -> None:
    calls = [stuck.predict(["n1"])]
    assert device.entered.wait(120)
    training = stuck.train(task(stuck, "queued"))  # the device thread will never take it in
    calls.append(stuck.predict(["n2"]))
    stuck.abort(GONE)
    for call in calls:
        with pytest.raises(Unavailable, match="process 1"):
            call.result(10)
    event = training.events.get(timeout=10)
    assert isinstance(event, Failed)
    assert (event.retry, event.message) == (True, str(GONE))
    with pytest.raises(Unavailable):
        stuck.predict(["n3"])
    with pytest.raises(Unavailable):
        stuck.train(task(stuck, "late"))


def test_only_those_in_a_step_that_failed_are_to_blame(stuck: Engine, device: Stuck) -> None:
    inside = stuck.train(task(stuck, "inside"))
    assert device.entered.wait(120)
    beside = stuck.train(task(stuck, "beside"))
    stuck.loop.fail_under_way(GONE)
    assert isinstance(last(inside), Failed)
    assert beside.events.empty()


def test_nobody_is_blamed_for_a_lost_device(stuck: Engine, device: Stuck) -> None:
    call, training = stuck.predict(["n1"]), stuck.train(task(stuck, "job"))
    assert device.entered.wait(120)
    device.gone = True
    device.free.set()
    other = stuck.train(task(stuck, "joins-late"))
    stuck.train(task(stuck, "x")).stop()
    with pytest.raises(TimeoutError):
        call.result(1.0)
    assert training.events.empty()
    assert other.events.empty()
    stuck.abort(GONE)
    assert isinstance(last(training), Failed)
    with pytest.raises(Unavailable):
        call.result(10)
