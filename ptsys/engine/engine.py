"""The engine: one thread owns the device, and batches the rows of many users into its steps."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.calls import Generator
from ptsys.engine.device import Device
from ptsys.engine.groups import Shape
from ptsys.engine.joining import chained, joined
from ptsys.engine.loop import DeviceLoop
from ptsys.engine.model import ServedModel
from ptsys.engine.operations import GradientsResult
from ptsys.engine.requests import Requests
from ptsys.engine.residents import Residents
from ptsys.engine.scheduler import Scheduler
from ptsys.engine.shapes import Shapes
from ptsys.engine.trainings import Failed, Shown, Training, TrainingTask, Validation
from ptsys.errors import InvalidInput, Unavailable
from ptsys.kinds.registry import kind_of, prompt_kind
from ptsys.kinds.trees import Layout, Tree, shapes_of
from ptsys.prompts.meta import META, Emission, generator_of, written
from ptsys.prompts.tokens import as_tree
from ptsys.types.example import Example
from ptsys.types.requests import Aggregate, Decoding, Prediction
from ptsys.types.training import JobSpec

Prompt = Tree | NDArray[np.float32]
"""A prompt's arrays by name; an array alone is one of soft tokens [P, D]."""


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """Limits of one engine; see `ptsys.config.Settings` for what they mean."""

    max_wait_ms: float = 100.0
    max_rows: int = 512
    max_residents: int = 64


class Engine:
    """Predicts, differentiates and trains for many users on one frozen model.

    Every method may be called from any thread; work runs on the device thread, see
    `ptsys.engine.loop`.
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
        self.shapes = Shapes(self.device, self.options.max_rows, lambda: self.loop.wake())
        scheduler: Scheduler[Any] = Scheduler(self.options.max_wait_ms / 1000)
        self.loop = DeviceLoop(self.device, self.shapes, scheduler)
        limit = self.options.max_rows
        self._requests = Requests(self.device, self.shapes, self.loop, model.rows, limit)
        self._residents = Residents(
            self.device,
            self.shapes,
            self.loop,
            model.rows,
            self.validated,
            self.options.max_residents,
        )
        self.loop.handle(self._requests, self._residents)
        self._accepting = True
        self._joining = threading.Lock()
        self._trainings: weakref.WeakSet[Training] = weakref.WeakSet()

    # ---- life -----------------------------------------------------------------------------

    def start(self) -> Engine:
        """Start the device thread."""
        self.loop.start()
        return self

    @property
    def alive(self) -> bool:
        """The device thread runs."""
        return self.loop.alive

    def drain(self, timeout: float | None = None) -> bool:
        """Let residents stop after the step under way and calls finish; True if all did."""
        self._accepting = False
        return self.loop.drain(self._residents.stop_all, timeout)

    def close(self) -> None:
        """Drain, then free the threads."""
        if self.alive:
            self.drain()
        self.device.close()
        self.loop.close()

    def abort(self, error: Unavailable) -> None:
        """The device is gone and nothing will end by itself: whoever waits is told, nobody is
        taken any more. From any thread."""
        self._accepting = False
        self.loop.broken = error
        self._requests.abort(error)
        with self._joining:
            trainings = list(self._trainings)
        for training in trainings:
            training.put(Failed(str(error), None, retry=True))

    def compile_ahead(self, shapes: Sequence[Shape]) -> None:
        """Ask for shapes before they are needed."""
        self.loop.command(lambda: self.shapes.ahead(shapes))

    # ---- training -------------------------------------------------------------------------

    def encode(self, spec: JobSpec, examples: Sequence[Example]) -> Any:
        """A job's rows as the model kind has them; InvalidInput names a row that it cannot take."""
        return self.model.rows.examples(spec, examples)

    def train(self, task: TrainingTask, told: Callable[[], object] = lambda: None) -> Training:
        """Let a job join as a resident, at once or when a slot is free. `told` is called, from
        the engine's threads, whenever the handle has a new event."""
        self._check_accepting()
        prompt_kind(task.kind).check(task.start.values, self.device.config, self.model.name)
        training = Training(task, self._leave, told)
        with self._joining:
            self._trainings.add(training)
        if self.loop.broken is not None:
            raise self.loop.broken
        self.loop.command(lambda: self._residents.join(training))
        return training

    def _leave(self, key: str) -> None:
        self.loop.command(lambda: self._residents.leave(key))

    # ---- requests -------------------------------------------------------------------------

    def predict(
        self,
        inputs: Sequence[Any],
        prompt: Prompt | None = None,
        decoding: Decoding | None = None,
        *,
        user: str = "local",
    ) -> concurrent.futures.Future[list[Prediction]]:
        """Answer rows with a prompt or with the bare model.

        With `decoding.labels` the labels are scored instead and the best one is the answer.
        """
        tree, layout = self._checked(prompt, inputs)
        question = self.model.rows.question(inputs, decoding or Decoding())
        return self._requests.ask(question, tree, layout, user)

    def evaluate(
        self, inputs: Sequence[Any], targets: Sequence[Any], prompt: Prompt | None, user: str
    ) -> concurrent.futures.Future[list[Prediction]]:
        """The answers to rows that are to be scored, made as every score's are; even while
        draining, as training jobs need them."""
        tree = None if prompt is None else as_tree(prompt)
        question = self.model.rows.scored(inputs, targets)
        return self._requests.ask(question, tree, self._layout(tree), user)

    def likely(
        self, examples: Any, longest: Mapping[str, int], prompt: Prompt, user: str
    ) -> concurrent.futures.Future[list[Any]]:
        """With what a prompt would answer a job's rows, as far as it is likely: for text of each
        row tokens and their log-probabilities [T, LIKELY], padding among them. Rows of several
        jobs share compiled shapes if `longest` is that of all; even while draining."""
        tree = as_tree(prompt)
        question = self.model.rows.answered(examples, longest)
        return self._requests.ask(question, tree, self._layout(tree), user)

    def validated(
        self, task: TrainingTask, values: Tree, validation: Validation
    ) -> concurrent.futures.Future[list[Prediction]]:
        """The answers to validation rows with what a task has learned."""
        inputs, targets, shown = validation.inputs, validation.targets, validation.shown
        if shown is None:
            prompt = prompt_kind(task.kind).reading(values, validation.member)
            return self.evaluate(inputs, targets, prompt, task.user)
        written = self._written(values, shown, task.user)
        return chained(written, lambda prompt: self.evaluate(inputs, targets, prompt, task.user))

    def encodings(
        self, inputs: Sequence[Any], prompt: Prompt | None = None, *, user: str = "local"
    ) -> concurrent.futures.Future[list[NDArray[np.float32]]]:
        """How the model reads rows, an array [d_model] each: for text the mean of the encoder's
        outputs over the input's positions, read behind a prompt or, without one, alone."""
        tree, layout = self._checked(prompt, inputs)
        return self._requests.ask(self.model.rows.read(inputs), tree, layout, user)

    def written(
        self,
        meta: Tree,
        examples: Sequence[Example] = (),
        description: str | None = None,
        *,
        aggregate: Aggregate = "each",
        user: str = "local",
    ) -> concurrent.futures.Future[NDArray[np.float32]]:
        """The prompt [P, D] that a meta-prompt writes from a task's examples, its description, or
        both: see `ptsys.prompts.meta.written`."""
        self._check_accepting()
        meta = META.check(meta, self.device.config, self.model.name)
        if not examples and description is None:
            raise InvalidInput("there are no examples; send at least one", field="examples")
        return self._written(meta, Shown(examples, description, aggregate), user)

    def _written(
        self, meta: Tree, shown: Shown, user: str
    ) -> concurrent.futures.Future[NDArray[np.float32]]:
        """The same while draining too, as training jobs need it."""
        aggregate = shown.aggregate
        tree = as_tree(meta["tokens"])
        question = self.model.rows.emitting(
            shown.examples, shown.description, jointly=aggregate == "joint"
        )
        own = generator_of(meta)
        parts = self._requests.ask(
            question,
            tree,
            self._layout(tree),
            user,
            generator=None if own is None else Generator.of(own),
        )

        def whole(found: list[list[Any]]) -> NDArray[np.float32]:
            emissions = [Emission(*one) for one in found[0]]
            return written(meta, emissions, question.features["inputs"], aggregate)

        return joined([parts], whole)

    def encoder(self) -> concurrent.futures.Future[Tree]:
        """A generator that is equal to the frozen model's encoder: what one begins as."""
        self._check_accepting()
        future: concurrent.futures.Future[Tree] = concurrent.futures.Future()

        def copy() -> None:
            try:
                future.set_result(self.device.encoder())
            except Exception as error:
                future.set_exception(error)

        self.loop.command(copy)
        return future

    def gradients(
        self,
        inputs: Sequence[Any],
        targets: Sequence[Any],
        prompt: Prompt,
        *,
        user: str = "local",
    ) -> concurrent.futures.Future[GradientsResult]:
        """Loss of the rows (for text the mean over target tokens, nats) and its gradient for the
        prompt. Rows of very different lengths are differentiated apart, and those of a large
        request on several data shards."""
        tree, layout = self._checked(prompt, inputs)
        self._check_count(inputs)
        question = self.model.rows.taught(inputs, targets)
        assert tree is not None
        return self._requests.ask_gradients(question, tree, layout, user)

    def encoded_gradients(
        self,
        inputs: Sequence[Any],
        targets: Sequence[Any],
        prompt: Prompt,
        *,
        user: str = "local",
        longest: Mapping[str, int] | None = None,
    ) -> concurrent.futures.Future[GradientsResult]:
        """`gradients` of rows that are encoded already, as `encode` gives them.

        `longest` are the sizes of the longest rows that such calls will have: calls that agree on
        them are not cut and share compiled shapes whatever rows they bring.
        """
        tree, layout = self._checked(prompt, inputs)
        self._check_count(inputs)
        question = self.model.rows.encoded(inputs, targets, longest)
        assert tree is not None
        return self._requests.ask_gradients(question, tree, layout, user, whole=bool(longest))

    def _check_count(self, inputs: Sequence[Any]) -> None:
        if len(inputs) > self.options.max_rows:
            raise InvalidInput(
                f"{len(inputs)} rows in one request; send at most {self.options.max_rows}",
                field="inputs",
            )

    def _checked(self, prompt: Prompt | None, inputs: Sequence[Any]) -> tuple[Tree | None, Layout]:
        self._check_accepting()
        if not inputs:
            raise InvalidInput("there are no rows; send at least one", field="inputs")
        tree = None if prompt is None else as_tree(prompt)
        if tree is not None:
            tree = kind_of(tree).check(tree, self.device.config, self.model.name)
        return tree, self._layout(tree)

    def _layout(self, tree: Tree | None) -> Layout:
        if tree is None:
            return self.model.no_prompt
        return kind_of(tree).layout(shapes_of(tree))

    def _check_accepting(self) -> None:
        if not self._accepting:
            raise Unavailable("the worker is shutting down; try again")
