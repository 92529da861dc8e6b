"""The loop that drives trainings on an engine: one way of waiting, and one of stopping."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ptsys.engine import trainings
from ptsys.engine.engine import Engine
from ptsys.engine.trainings import Training, TrainingEvent, TrainingTask
from ptsys.errors import PtsysError, Unavailable
from ptsys.training.course import Course, Ending, Failed, Interrupted, Interruption, Steps

_GONE_SECONDS = 2.0  # without a device thread: what it did last may still be told
_LEAVE_SECONDS = 60.0  # the same after a stop
_SHORTEST_WAIT = 0.01

Answer = TypeVar("Answer")


class Loop:
    """Drives courses in the thread that calls it; `stop` may be called from any."""

    def __init__(
        self,
        engine: Engine,
        *,
        pause: Callable[[], float] = lambda: 1.0,
        lost: Callable[[], bool] = lambda: False,
    ) -> None:
        """`pause` are the seconds between two tellings of progress. Once nobody may hear what
        comes of them, as `lost` says, courses end without waiting for the device."""
        self.engine = engine
        self._pause = pause
        self._lost = lost
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._places: list[Place] = []
        self._stopping = False
        self._begun = False  # from then on there has to be a device thread
        self._due = 0.0
        self._gone: float | None = None  # since when there is no device thread

    @property
    def stopping(self) -> bool:
        """It was told to stop."""
        return self._stopping

    @property
    def lost(self) -> bool:
        """Nobody may hear what comes."""
        return self._lost()

    def stop(self) -> None:
        """Let every course stop after the step under way."""
        with self._lock:
            self._stopping = True
            places = list(self._places)
        for place in places:
            place.stop()
        self._wake.set()

    def wake(self) -> None:
        """Something happened that a course may wait for."""
        self._wake.set()

    def run(self, course: Course) -> Ending:
        """Drive one course to its end. Raises what the course raises, Unavailable if the device
        thread ends by itself."""
        for _, ending in self._drive(iter([course]), 1, lambda: None):
            if isinstance(ending, Failed) and ending.error is not None:
                raise ending.error
            return ending
        return Interrupted(None)  # it was stopped before

    def run_all(
        self, courses: Iterable[Course], most: int, begun: Callable[[], object] = lambda: None
    ) -> Iterator[tuple[Course, Ending]]:
        """Drive courses, at most so many at a time, and give each with its end; `begun` is called
        once, when the first have joined. What a course raises is its own failure, but for what
        is no fault of ptsys; raises Unavailable if the device thread ends by itself."""
        for course, ending in self._drive(iter(courses), most, begun):
            error = ending.error if isinstance(ending, Failed) else None
            if error is not None and not isinstance(error, PtsysError):
                raise error
            yield course, ending

    def _drive(
        self, courses: Iterator[Course], most: int, begun: Callable[[], object]
    ) -> Iterator[tuple[Course, Ending]]:
        under_way: dict[Place, tuple[Course, Steps[Ending]]] = {}
        self._begun = False
        self._due = time.monotonic() + self._pause()
        try:
            while True:
                while len(under_way) < most and not self._stopping:
                    course = next(courses, None)
                    if course is None:
                        break
                    place = self._enter()
                    under_way[place] = (course, course.run(place))
                    ending = self._advance(*under_way[place])
                    if ending is not None:
                        del under_way[self._left(place)]
                        yield course, ending
                if not self._begun:
                    begun()
                    self._begun = True
                if not under_way:
                    return
                self._wait()
                for place, (course, steps) in list(under_way.items()):
                    ending = self._advance(course, steps)
                    if ending is not None:
                        del under_way[self._left(place)]
                        yield course, ending
                self._tell([course for course, _ in under_way.values()])
        finally:
            for place, (_, steps) in under_way.items():
                steps.close()
                self._left(place)

    def _enter(self) -> Place:
        place = Place(self)
        with self._lock:
            self._places.append(place)
        return place

    def _left(self, place: Place) -> Place:
        """A course is over: nothing of it trains on for nobody."""
        with self._lock:
            self._places.remove(place)
        place.stop()
        return place

    def _advance(self, course: Course, steps: Steps[Ending]) -> Ending | None:
        """Go on with a course; its end, if this was it."""
        try:
            next(steps)
        except StopIteration as end:
            return self._interrupted(course) if self._given_up(end.value) else end.value
        except Interruption:
            return self._interrupted(course)
        except Unavailable as error:
            if self._stopping:  # the engine takes no more, as it is drained
                return self._interrupted(course)
            return _raised(error)
        except Exception as error:
            return _raised(error)
        return None

    def _given_up(self, ending: Ending) -> bool:
        """The device left after a stop, by no fault of the training."""
        return isinstance(ending, Failed) and ending.retry and self._stopping

    def _interrupted(self, course: Course) -> Ending:
        if self.lost:
            return Interrupted(None)
        try:
            course.tell()
            return Interrupted(course.checkpoint())
        except Exception as error:
            return _raised(error)

    # ---- waiting --------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until something happens, or progress is due."""
        self._wake.wait(max(self._due - time.monotonic(), _SHORTEST_WAIT))
        self._wake.clear()

    def _tell(self, courses: Iterable[Course]) -> None:
        if time.monotonic() < self._due or self.lost:
            return
        self._due = time.monotonic() + self._pause()
        for course in courses:
            course.tell()

    def check(self) -> None:
        """Raises Interruption if nobody may hear what a course waits for, Unavailable if there is
        no device thread any more to bring it."""
        if self.lost:
            raise Interruption
        if self.engine.alive or not self._begun:
            self._gone = None
            return
        self._gone = self._gone or time.monotonic()
        patience = _LEAVE_SECONDS if self._stopping else _GONE_SECONDS
        if time.monotonic() > self._gone + patience:
            raise Unavailable("the device thread ended by itself")


class Place:
    """A course's place in the loop, and what it has on the engine."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._trainings: set[Training] = set()
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """Where it trains."""
        return self._loop.engine

    @property
    def stopping(self) -> bool:
        """The course is to stop."""
        return self._loop.stopping

    def stop(self) -> None:
        """Let what trains here leave after the step under way; from any thread."""
        with self._lock:
            running = list(self._trainings)
        for training in running:
            training.stop()

    def train(self, task: TrainingTask) -> Training:
        """Let a resident join. Raises InvalidInput, and Unavailable if the engine takes none."""
        training = self.engine.train(task, self._loop.wake)
        with self._lock:
            self._trainings.add(training)
        if self.stopping:
            training.stop()
        return training

    def poll(self, training: Training) -> TrainingEvent | None:
        """A resident's next event, if there is one. Raises Interruption, and Unavailable, as soon
        as it is known that none will come."""
        try:
            event = training.events.get_nowait()
        except queue.Empty:
            self._loop.check()
            return None
        if isinstance(event, trainings.Finished | trainings.Stopped | trainings.Failed):
            with self._lock:
                self._trainings.discard(training)
        return event

    def event(self, training: Training) -> Steps[TrainingEvent]:
        """Wait for a resident's next event. Raises as `poll`."""
        while (event := self.poll(training)) is None:
            yield
        return event

    def answer(self, future: concurrent.futures.Future[Answer]) -> Steps[Answer]:
        """Wait for an answer of the engine. Raises Interruption as soon as the course is to stop,
        and what the answer raises."""
        future.add_done_callback(lambda _: self._loop.wake())
        while not future.done():
            if self.stopping:
                raise Interruption
            self._loop.check()
            yield
        return future.result()


def _raised(error: Exception) -> Failed:
    trace = "".join(traceback.format_exception(error))
    return Failed(str(error), trace, isinstance(error, Unavailable), error)
