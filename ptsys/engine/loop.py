"""The device loop: what is due is scheduled, started on the device, and answered when it is done.

One thread schedules and starts steps, at most `IN_FLIGHT` ahead of the device; another waits for
their results and hands them out.
"""

from __future__ import annotations

import concurrent.futures
import functools
import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ptsys.engine.device import Device
from ptsys.engine.groups import Group
from ptsys.engine.operations import OPERATIONS
from ptsys.engine.scheduler import Limits, Scheduler, Step
from ptsys.engine.shapes import Shapes
from ptsys.engine.steps import Observer, StepClock, StepEnded, Work
from ptsys.errors import Unavailable

logger = logging.getLogger(__name__)

IN_FLIGHT = 2  # steps dispatched and not yet finished: the host prepares one while one runs
_LOST_SECONDS = 0.05  # how often a device thread that lost its device looks whether it may end
_DRAIN_SECONDS = 0.05  # between two looks whether all is done, while draining


class Dispatched(NamedTuple):
    """A step on the device: what to do when it is done, which waits for it, and for how many rows
    it had room."""

    finish: Callable[[], None]
    room: int


class Handler(Protocol):
    """Whose items the steps of one queue are."""

    @property
    def empty(self) -> bool:
        """Nobody waits for anything."""
        ...

    def dispatch(self, step: Step[Any]) -> Dispatched:
        """Start a step."""
        ...

    def ended(self, step: Step[Any]) -> None:
        """A step is over, well or not, and whoever was in it was told."""
        ...

    def blame(self, key: Any, error: Exception, trace: str) -> None:
        """A step failed; tell the item of that key."""
        ...

    def lost(self, key: Any, error: Exception) -> None:
        """A step may never end, and the device does nothing any more. From any thread."""
        ...


class DeviceLoop:
    """Runs steps of the calls and of the residents, which are given to `start`."""

    def __init__(self, device: Device, shapes: Shapes, scheduler: Scheduler[Any]) -> None:
        self.scheduler = scheduler
        self.work = Work()
        self.clock = StepClock()
        self.observe: Observer = lambda ended: None
        self.broken: Unavailable | None = None
        self._device = device
        self._shapes = shapes
        self._handlers: dict[bool, Handler] = {}
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._in_flight = threading.Semaphore(IN_FLIGHT)
        self._unfinished = _Counter()
        self._finisher = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="finish")
        self._draining = threading.Event()
        self._under_way: dict[int, Step[Any]] = {}
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)

    # ---- life -----------------------------------------------------------------------------

    def handle(self, calls: Handler, residents: Handler) -> None:
        """Whose steps these are; before `start`."""
        self._handlers = {True: calls, False: residents}

    def start(self) -> None:
        """Start the device thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """The device thread runs."""
        return self._thread.is_alive()

    def drain(self, command: Callable[[], None], timeout: float | None) -> bool:
        """End once nothing is left to do, after this command; True if it ended in time."""
        self._draining.set()
        self.command(command)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Free the finishing thread."""
        self._finisher.shutdown(wait=True)

    def fail_under_way(self, error: Exception) -> None:
        """The steps under way failed, and perhaps will never end: whoever is in them learns so.
        From any thread."""
        for step in list(self._under_way.values()):
            for item in step.items:
                self._handler(step).lost(item.key, error)

    def command(self, command: Callable[[], None]) -> None:
        """Run something on the device thread, between steps. From any thread."""
        self._commands.put(command)

    def wake(self) -> None:
        """Let the device thread look again."""
        self.command(lambda: None)

    def finish_later(self, work: Callable[[], None]) -> None:
        """Run something on the finishing thread, after the steps dispatched so far."""
        self._finish_soon(lambda: self._try(work))

    # ---- the device thread ----------------------------------------------------------------

    def _run(self) -> None:
        while not self._gone():
            self._obey()
            step = self.scheduler.next(time.monotonic(), self._limits)
            if step is not None:
                self._start(step)
            elif self._draining.is_set() and self._idle:
                return
            else:
                self._rest()

    def _start(self, step: Step[Any]) -> None:
        self._in_flight.acquire()
        self._under_way[id(step)] = step
        self.clock.begin(step, time.monotonic())
        try:
            dispatched = self._handler(step).dispatch(step)
        except Exception as error:
            self._in_flight.release()
            self.clock.end(step, time.monotonic())
            self._under_way.pop(id(step))
            self._blame(step, error)
        else:
            self.work.count(step)
            self.scheduler.began(step, time.monotonic())
            self._finish_soon(functools.partial(self._finish, step, dispatched))

    def _finish(self, step: Step[Any], dispatched: Dispatched) -> None:
        """On the finishing thread."""
        failed = False
        try:
            dispatched.finish()
        except Exception as error:
            failed = True
            logger.exception("a step failed on the device")
            self.command(functools.partial(self._blame, step, error))
        finally:
            seconds = self.clock.end(step, time.monotonic())
            self._in_flight.release()
            self.command(lambda: self._ended(step))
            self.observe(StepEnded.of(step, dispatched.room, seconds, failed=failed))

    def _ended(self, step: Step[Any]) -> None:
        """A step is over, well or not."""
        self._under_way.pop(id(step), None)
        self.scheduler.ended(step, time.monotonic())
        self._handler(step).ended(step)

    def _blame(self, step: Step[Any], error: Exception) -> None:
        """A step failed: whose it was learn why; nobody else is touched. Where the device is lost
        nobody is to blame: `Engine.abort` tells all."""
        if self._device.lost:
            return
        trace = "".join(traceback.format_exception(error))
        for item in step.items:
            self._handler(step).blame(item.key, error, trace)

    def _handler(self, step: Step[Any]) -> Handler:
        return self._handlers[step.interactive]

    # ---- waiting --------------------------------------------------------------------------

    def _gone(self) -> bool:
        """The device is lost, and everybody was told of it."""
        while self._device.lost:
            if self.broken is not None:
                return True
            time.sleep(_LOST_SECONDS)
        return False

    def _obey(self) -> None:
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return
            self._try(command)

    def _rest(self) -> None:
        timeout = self.scheduler.wait(time.monotonic())
        if timeout is None or not self._call_could_run():
            timeout = _DRAIN_SECONDS if self._draining.is_set() else None
        try:
            command = self._commands.get(timeout=timeout)
        except queue.Empty:
            return
        self._try(command)

    def _call_could_run(self) -> bool:
        return any(self._limits(group) for group in self.scheduler.interactive.groups())

    def _limits(self, group: Group) -> Limits | None:
        stays = OPERATIONS[group.operation].stays
        queue = self.scheduler.training if stays else self.scheduler.interactive
        waiting = queue.groups().get(group)
        return None if waiting is None else self._shapes.limits(group, waiting)

    def _try(self, command: Callable[[], None]) -> None:
        try:
            command()
        except Exception:
            logger.exception("a command of the engine failed")

    def _finish_soon(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                self._unfinished.add(-1)
                self.wake()

        self._unfinished.add(1)
        self._finisher.submit(run)

    @property
    def _idle(self) -> bool:
        nobody = all(handler.empty for handler in self._handlers.values())
        return nobody and self._unfinished.value == 0 and self._commands.empty()


class _Counter:
    """A number that several threads change."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self, amount: int) -> None:
        with self._lock:
            self.value += amount
