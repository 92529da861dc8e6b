"""The engine: one thread owns the device, and batches the rows of many users into its steps."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import logging
import queue
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import (
    EncodedExamples,
    encode_examples,
    encode_inputs,
    encode_targets,
    longest_target,
)
from ptsys.engine.answers import (
    Asked,
    GradientsResult,
    answer_calls,
    join_gradients,
    join_predictions,
)
from ptsys.engine.buckets import (
    FINE_INPUT_LENGTHS,
    INPUT_LENGTHS,
    PROMPT_LENGTHS,
    TARGET_LENGTHS,
    fit,
)
from ptsys.engine.calls import (
    Call,
    choices_of,
    lay_apart,
    lay_in_turn,
    prompts_of,
    rows_of,
)
from ptsys.engine.device import Device
from ptsys.engine.groups import Group, Shape
from ptsys.engine.model import ServedModel
from ptsys.engine.parts import Cutting, Part, cut
from ptsys.engine.residents import Failed, Training, TrainingTask
from ptsys.engine.scheduler import Item, Limits, Scheduler, Step
from ptsys.engine.shapes import Shapes
from ptsys.engine.steps import Observer, StepClock, StepEnded
from ptsys.engine.training import Residents
from ptsys.errors import InvalidInput, Unavailable
from ptsys.prompts.formats import check_prompt
from ptsys.types.example import Example
from ptsys.types.requests import Decoding, Prediction
from ptsys.types.scoring import scoring
from ptsys.types.training import JobSpec

logger = logging.getLogger(__name__)

CALL_ROWS = 64  # longer requests are split, so that they fit small shapes and share fairly
_LOST_SECONDS = 0.05  # how often a device thread that lost its device looks whether it may end
IN_FLIGHT = 2  # steps dispatched and not yet finished: the host prepares one while one runs


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """Limits of one engine; see `ptsys.config.Settings` for what they mean."""

    max_wait_ms: float = 100.0
    max_rows: int = 512
    max_residents: int = 64


@dataclasses.dataclass
class Work:
    """Steps and rows dispatched since the engine's start."""

    interactive_steps: int = 0
    interactive_rows: int = 0
    training_steps: int = 0
    training_rows: int = 0

    def count(self, step: Step[Any]) -> None:
        """One more step."""
        rows = sum(item.rows for item in step.items)
        if step.interactive:
            self.interactive_steps += 1
            self.interactive_rows += rows
        else:
            self.training_steps += 1
            self.training_rows += rows


class Engine:
    """Predicts, differentiates and trains for many users on one frozen model.

    Every method may be called from any thread; work runs on the device thread.
    """

    def __init__(
        self,
        model: ServedModel,
        options: EngineOptions | None = None,
        device: Device | None = None,
    ) -> None:
        """`device` runs the model's programs, in this process unless it says otherwise."""
        self.model = model
        self.options = options or EngineOptions()
        self.device = device or Device(model.frozen, self.options.max_residents)
        self._config = model.frozen.config
        self._shards = self.device.shards
        self._scheduler: Scheduler[Any] = Scheduler(self.options.max_wait_ms / 1000)
        self._calls: dict[int, Call] = {}
        self._numbers = itertools.count()
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._in_flight = threading.Semaphore(IN_FLIGHT)
        self._unfinished = Counter()
        self._finisher = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="finish")
        self._residents = Residents(self, self.options.max_residents)
        self.shapes = Shapes(self.device, self.options.max_rows, self.wake)
        self.work = Work()
        self.observe: Observer = lambda ended: None
        self.room = 0  # rows that the shape dispatched last had room for
        self.clock = StepClock()
        self._draining = threading.Event()
        self._accepting = True
        self._under_way: dict[int, Step[Any]] = {}
        self._joining = threading.Lock()
        self._trainings: weakref.WeakSet[Training] = weakref.WeakSet()
        self._broken: Unavailable | None = None
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)

    # ---- life -----------------------------------------------------------------------------

    def start(self) -> Engine:
        """Start the device thread."""
        self._thread.start()
        return self

    @property
    def alive(self) -> bool:
        """The device thread runs."""
        return self._thread.is_alive()

    def drain(self, timeout: float | None = None) -> bool:
        """Let residents stop after the step under way and calls finish; True if all did."""
        self._accepting = False
        self._draining.set()
        self._commands.put(self._residents.stop_all)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Drain, then free the threads."""
        if self._thread.is_alive():
            self.drain()
        self.device.close()
        self._finisher.shutdown(wait=True)

    def fail_under_way(self, error: Exception) -> None:
        """The steps under way failed, and perhaps will never end: whoever is in them learns so.
        From any thread."""
        failure = Failed(str(error), None, retry=True)
        for step in list(self._under_way.values()):
            for item in step.items:
                if step.interactive:
                    refuse(self._calls[item.key].future, error)
                else:
                    self._residents.told(item.key, failure)

    def abort(self, error: Unavailable) -> None:
        """The device is gone and nothing will end by itself: whoever waits is told, nobody is
        taken any more. From any thread."""
        self._accepting = False
        self._broken = error
        for call in list(self._calls.values()):
            refuse(call.future, error)
        with self._joining:
            trainings = list(self._trainings)
        for training in trainings:
            training.put(Failed(str(error), None, retry=True))

    # ---- training -------------------------------------------------------------------------

    def encode(self, spec: JobSpec, examples: Sequence[Example]) -> EncodedExamples:
        """Tokenize a job's rows, and cut spans out of those without a target; InvalidInput names
        a row whose target is too long."""
        limit = min(spec.max_input_length or self._config.max_input_length, INPUT_LENGTHS[-1])
        return encode_examples(
            self.model.vocabulary,
            examples,
            limit,
            self._config.max_target_length,
            seed=spec.seed,
        )

    def train(self, task: TrainingTask, told: Callable[[], object] = lambda: None) -> Training:
        """Let a job join as a resident, at once or when a slot is free. `told` is called, from
        the engine's threads, whenever the handle has a new event."""
        self._check_accepting()
        check_prompt(task.start.prompt, self._config.d_model, model=self.model.name)
        training = Training(task, self._leave, told)
        with self._joining:
            self._trainings.add(training)
        if self._broken is not None:
            raise self._broken
        self._commands.put(lambda: self._residents.join(training))
        return training

    def _leave(self, key: str) -> None:
        self._commands.put(lambda: self._residents.leave(key))

    # ---- interactive calls ----------------------------------------------------------------

    def predict(
        self,
        inputs: Sequence[str],
        prompt: NDArray[np.float32] | None = None,
        decoding: Decoding | None = None,
        *,
        user: str = "local",
    ) -> concurrent.futures.Future[list[Prediction]]:
        """Answer rows with a prompt (float32 [P, D]) or with the bare model.

        With `decoding.labels` the labels are scored instead and the best one is the answer.
        """
        decoding = decoding or Decoding()
        ids = encode_inputs(self.model.vocabulary, inputs, self._config.max_input_length)
        prompt = self._checked(prompt, inputs)
        if decoding.labels:
            return self._score_labels(inputs, ids, prompt, decoding, user, object())
        return self._generate(ids, prompt, decoding, user)

    def evaluate(
        self,
        inputs: Sequence[str],
        targets: Sequence[str],
        prompt: NDArray[np.float32] | None,
        user: str,
    ) -> concurrent.futures.Future[list[Prediction]]:
        """The answers to rows that are to be scored, made as every score's are; even while
        draining, as training jobs need them."""
        ids = encode_inputs(self.model.vocabulary, inputs, self._config.max_input_length)
        longest = longest_target(self.model.vocabulary, targets)
        return self._generate(ids, prompt, scoring(longest, self._config.max_target_length), user)

    def _generate(
        self,
        ids: Sequence[list[int]],
        prompt: NDArray[np.float32] | None,
        decoding: Decoding,
        user: str,
    ) -> concurrent.futures.Future[list[Prediction]]:
        group = self._generate_group(prompt, ids, decoding)
        return join_predictions(self._submit(group, user, prompt, object(), ids, None, decoding))

    def _generate_group(
        self, prompt: NDArray[np.float32] | None, ids: Sequence[list[int]], decoding: Decoding
    ) -> Group:
        most = min(decoding.max_tokens, self._config.max_target_length)
        return Group(
            "generate",
            self._prompt_bucket(prompt),
            self._input_bucket(ids),
            fit(most, TARGET_LENGTHS, "max_tokens"),
            decoding.method,
            decoding.beams if decoding.method == "beam" else 1,
        )

    def _score_labels(
        self,
        inputs: Sequence[str],
        ids: list[list[int]],
        prompt: NDArray[np.float32] | None,
        decoding: Decoding,
        user: str,
        share: object,
    ) -> concurrent.futures.Future[list[Prediction]]:
        labels = decoding.labels or ()
        targets = encode_targets(self.model.vocabulary, labels, self._config.max_target_length)
        group = Group(
            "score",
            self._prompt_bucket(prompt),
            self._input_bucket(ids),
            fit(max(map(len, targets)), TARGET_LENGTHS, "labels"),
        )
        rows = [row for row in ids for _ in labels]
        parts = self._submit(group, user, prompt, share, rows, targets * len(ids), decoding)
        return join_predictions(parts, labels)

    def gradients(
        self,
        inputs: Sequence[str],
        targets: Sequence[str],
        prompt: NDArray[np.float32],
        *,
        user: str = "local",
    ) -> concurrent.futures.Future[GradientsResult]:
        """Loss of the rows (mean over target tokens, nats) and its gradient for the prompt."""
        if len(inputs) != len(targets):
            raise InvalidInput(f"{len(inputs)} inputs but {len(targets)} targets", field="targets")
        ids = encode_inputs(self.model.vocabulary, inputs, self._config.max_input_length)
        wanted = encode_targets(self.model.vocabulary, targets, self._config.max_target_length)
        return self.encoded_gradients(ids, wanted, prompt, user=user)

    def encoded_gradients(
        self,
        inputs: Sequence[list[int]],
        targets: Sequence[list[int]],
        prompt: NDArray[np.float32],
        *,
        user: str = "local",
        longest: tuple[int, int] | None = None,
    ) -> concurrent.futures.Future[GradientsResult]:
        """`gradients` of rows that are token ids already, as `encode` gives them.

        Rows of very different lengths are differentiated apart, and those of a large request on
        several data shards. `longest` are the tokens of the longest input and target that such
        calls will have: calls that agree on them are not cut and share compiled shapes whatever
        rows they bring.
        """
        prompt_checked = self._checked(prompt, inputs)
        if len(inputs) > self.options.max_rows:
            raise InvalidInput(
                f"{len(inputs)} rows in one request; send at most {self.options.max_rows}",
                field="inputs",
            )
        longest_input, longest_target = longest or (
            max(map(len, inputs)),
            max(map(len, targets)),
        )
        group = Group(
            "gradients",
            self._prompt_bucket(prompt_checked),
            fit(longest_input, FINE_INPUT_LENGTHS, "inputs"),
            fit(longest_target, TARGET_LENGTHS, "targets"),
        )
        asked = self._submit(
            group, user, prompt_checked, object(), inputs, targets, Decoding(), whole=bool(longest)
        )
        return join_gradients(asked)

    def _checked(
        self, prompt: NDArray[np.float32] | None, inputs: Sequence[Any]
    ) -> NDArray[np.float32] | None:
        self._check_accepting()
        if not inputs:
            raise InvalidInput("there are no rows; send at least one", field="inputs")
        if prompt is None:
            return None
        return check_prompt(prompt, self._config.d_model, model=self.model.name)

    def _check_accepting(self) -> None:
        if not self._accepting:
            raise Unavailable("the worker is shutting down; try again")

    def _prompt_bucket(self, prompt: NDArray[np.float32] | None) -> int:
        return fit(1 if prompt is None else len(prompt), PROMPT_LENGTHS, "prompt")

    def _input_bucket(self, ids: Sequence[list[int]]) -> int:
        return fit(max(map(len, ids)), INPUT_LENGTHS, "inputs")

    def _submit(
        self,
        group: Group,
        user: str,
        prompt: NDArray[np.float32] | None,
        share: object,
        inputs: Sequence[list[int]],
        targets: Sequence[list[int]] | None,
        decoding: Decoding,
        whole: bool = False,
    ) -> list[Asked]:
        parts = [Part(tuple(range(len(inputs))), group.inputs)]
        if not whole:
            parts = cut([len(row) for row in inputs], self._cutting(group))
        calls = [
            Call(
                key=next(self._numbers),
                user=user,
                group=group._replace(inputs=part.inputs),
                prompt=prompt,
                share=share,
                inputs=[inputs[row] for row in part.rows],
                targets=None if targets is None else [targets[row] for row in part.rows],
                decoding=decoding,
                numbers=part.rows,
                future=concurrent.futures.Future(),
            )
            for part in parts
        ]
        self._calls.update({call.key: call for call in calls})
        if self._broken is not None:
            for call in calls:
                refuse(call.future, self._broken)
        self._commands.put(lambda: self._enqueue(calls))
        for call in calls:
            call.future.add_done_callback(functools.partial(self._given_up, call.key))
        return [Asked(call.numbers, call.future) for call in calls]

    def _given_up(self, key: int, future: concurrent.futures.Future[Any]) -> None:
        """If nobody waits for a call any more, it leaves the queue; one under way is done with."""
        if future.cancelled():
            self._commands.put(lambda: self._withdraw(key))

    def _withdraw(self, key: int) -> None:
        if self._scheduler.withdraw(key):
            self._calls.pop(key, None)

    def _cutting(self, group: Group) -> Cutting:
        """How requests of a group are cut. Gradients lie on one shard whole; rows of other kinds
        are dealt to all shards anyway."""
        costs = self.device.costs
        if group.kind == "gradients":
            most = self.options.max_rows
            return Cutting(FINE_INPUT_LENGTHS, group.prompt, costs, most, self._shards)
        most = min(CALL_ROWS, self.options.max_rows)
        whole = dataclasses.replace(costs, full=None)
        return Cutting(INPUT_LENGTHS, group.prompt, whole, most)

    def _enqueue(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self._scheduler.request(
                Item(call.key, call.user, call.group, call.rows), time.monotonic()
            )

    # ---- the device thread ----------------------------------------------------------------

    @property
    def scheduler(self) -> Scheduler[Any]:
        """For `Residents`, on the device thread."""
        return self._scheduler

    def _run(self) -> None:
        while not self._gone():
            self._obey()
            step = self._scheduler.next(time.monotonic(), self._limits)
            if step is not None:
                self._in_flight.acquire()
                self._under_way[id(step)] = step
                self.clock.begin(step, time.monotonic())
                try:
                    finish = self._dispatch(step)
                except Exception as error:
                    self._in_flight.release()
                    self.clock.end(step, time.monotonic())
                    self._under_way.pop(id(step))
                    self._blame(step, error)
                else:
                    self.work.count(step)
                    self._scheduler.began(step, time.monotonic())
                    ended = functools.partial(self._finish, step, finish, self.room)
                    self._finish_soon(ended)
            elif self._draining.is_set() and self._idle:
                return
            else:
                self._rest()

    def _gone(self) -> bool:
        """The device is lost, and everybody was told of it."""
        while self.device.lost:
            if self._broken is not None:
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
        timeout = self._scheduler.wait(time.monotonic())
        if timeout is None or not self._shapes_wanted_ready():
            timeout = 0.05 if self._draining.is_set() else None
        try:
            command = self._commands.get(timeout=timeout)
        except queue.Empty:
            return
        self._try(command)

    def _shapes_wanted_ready(self) -> bool:
        return any(self._limits(group) for group in self._scheduler.interactive.groups())

    def _try(self, command: Callable[[], None]) -> None:
        try:
            command()
        except Exception:
            logger.exception("a command of the engine failed")

    def wake(self) -> None:
        """Let the device thread look again."""
        self._commands.put(lambda: None)

    def command(self, command: Callable[[], None]) -> None:
        """Run something on the device thread, between steps."""
        self._commands.put(command)

    def finish_later(self, work: Callable[[], None]) -> None:
        """Run something on the finishing thread, after the steps dispatched so far."""
        self._finish_soon(lambda: self._try(work))

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
        return (
            not self._calls
            and self._residents.empty
            and self._unfinished.value == 0
            and self._commands.empty()
        )

    def _limits(self, group: Group) -> Limits | None:
        source = self._scheduler.training if group.kind == "train" else self._scheduler.interactive
        waiting = source.groups().get(group)
        return None if waiting is None else self.shapes.limits(group, waiting)

    def compile_ahead(self, shapes: Sequence[Shape]) -> None:
        """Ask for shapes before they are needed."""
        self._commands.put(lambda: self.shapes.ahead(shapes))

    def _dispatch(self, step: Step[Any]) -> Callable[[], None]:
        if not step.interactive:
            return self._residents.dispatch(step)
        calls = [self._calls[item.key] for item in step.items]
        lay = lay_apart if step.group.kind == "gradients" else lay_in_turn
        layout = lay(calls, self._shards)
        shape = self.shapes.fitting(step.group, layout.slots, layout.rows)
        self.room = shape.rows * self._shards
        placements = layout.placed(shape)
        prompts = prompts_of(placements, layout, shape, self._config.d_model)
        rows = rows_of(placements, shape, self._shards)
        generate = step.group.kind == "generate"
        choices = choices_of(placements, shape, self._shards) if generate else None
        result = self.device.answer(shape, prompts, rows, choices)
        return lambda: answer_calls(
            step.group, placements, self.device.read(result), self.model.vocabulary
        )

    def _finish(self, step: Step[Any], finish: Callable[[], None], room: int) -> None:
        failed = False
        try:
            finish()
        except Exception as error:
            failed = True
            logger.exception("a step failed on the device")
            self._commands.put(functools.partial(self._blame, step, error))
        finally:
            seconds = self.clock.end(step, time.monotonic())
            self._in_flight.release()
            self._commands.put(lambda: self._ended(step))
            self.observe(StepEnded.of(step, room, seconds, failed=failed))

    def _ended(self, step: Step[Any]) -> None:
        """A step is over, well or not, and its calls have their answers."""
        self._under_way.pop(id(step), None)
        self._scheduler.ended(step, time.monotonic())
        if step.interactive:
            for item in step.items:
                self._calls.pop(item.key, None)

    def _blame(self, step: Step[Any], error: Exception) -> None:
        """A step failed: its calls, or residents, learn why; nobody else is touched. Where the
        device is lost nobody is to blame: `abort` tells all."""
        if self.device.lost:
            return
        trace = "".join(traceback.format_exception(error))
        for item in step.items:
            if step.interactive:
                call = self._calls.pop(item.key, None)
                if call is not None:
                    refuse(call.future, error)
            else:
                self._residents.fail(item.key, Failed(str(error), trace, retry=True))


def refuse(future: concurrent.futures.Future[Any], error: Exception) -> None:
    """Let whoever waits for it have the error, unless there is an answer already."""
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        future.set_exception(error)


class Counter:
    """A number that several threads change."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self, amount: int) -> None:
        """Change it."""
        with self._lock:
            self.value += amount
