"""Which tasks a meta-prompt learns from in each step, which of their rows are shown and which are
asked: all of it a function of the step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.data.shown_examples import LABEL
from ptsys.engine.trainings import Episode
from ptsys.prompts import meta_kind
from ptsys.prompts.distance import TERMS
from ptsys.types.meta_training import MetaOptions

_STREAM = 0x6D657461  # a random stream of its own
_DESCRIBED, _ALONE = 0.4, 0.2  # chances that a description is read, and that nothing else is


@dataclasses.dataclass(frozen=True)
class ShownTask:
    """A task that is learned from: of each row the ids as they are shown, what lays those that are
    drawn into one row, if that is wanted, the description's ids, and the prompt that was tuned on
    it, so long as what is written ends with [Q, D]."""

    rows: Sequence[Sequence[int]]
    together: Callable[[Sequence[Sequence[int]]], Sequence[int]] | None
    description: Sequence[int] | None = None
    teacher: NDArray[np.float32] | None = None


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """One task of a step: the rows that are shown, whether its description is, the rows asked."""

    task: int
    shown: NDArray[np.int64]
    described: bool
    asked: NDArray[np.int64]


class EpisodeOrder:
    """See `ptsys.engine.trainings.Episodes`. Rows are counted over all tasks, one after another."""

    def __init__(
        self, options: MetaOptions, tasks: Sequence[ShownTask], start: NDArray[np.float32]
    ) -> None:
        """`start` [Q, D] is what prompts end with before anything is learned."""
        self._options = options
        self._tasks = tasks
        self._offsets = np.cumsum([0, *(len(task.rows) for task in tasks)])
        self.readings = min(options.tasks_per_step, len(tasks))
        described = any(task.description is not None for task in tasks)
        self.examples = described + (1 if options.aggregate == "joint" else options.examples)
        lengths = [_longest(task, options.examples) for task in tasks]
        lengths += [len(task.description) for task in tasks if task.description is not None]
        self.longest = max(lengths)
        self._size = self.longest
        self._last: tuple[int, list[_Drawn]] = (-1, [])
        self._taught = _Teachers(options, tasks, start) if taught(options, tasks) else None

    def padded(self, size: int) -> EpisodeOrder:
        """The same with examples of so many ids."""
        self._size = size
        return self

    @property
    def taught(self) -> bool:
        """What is written is compared with tuned prompts."""
        return self._taught is not None

    def indices(self, step: int) -> NDArray[np.int64]:
        """The rows that are asked; of regression one that does not count."""
        if self._options.needs_prompts:
            return np.zeros((1,), np.int64)
        drawn = self._drawn(step)
        return np.concatenate([self._offsets[one.task] + one.asked for one in drawn])

    def episode(self, step: int) -> Episode:
        """See `Episodes`."""
        drawn = self._drawn(step)
        examples = np.zeros((self.readings, self.examples, self._size), np.int32)
        for place, one in enumerate(drawn):
            task = self._tasks[one.task]
            ids = [task.rows[row] for row in one.shown]
            if task.together is not None and ids:
                ids = [task.together(ids)]
            if one.described and task.description is not None:
                ids.append(task.description)
            for number, row in enumerate(ids):
                examples[place, number, : len(row)] = row
        context: dict[str, NDArray[Any]] = {meta_kind.EXAMPLES: examples}
        if self._taught is not None:
            context |= self._taught.context([one.task for one in drawn])
        if self._options.needs_prompts:
            return Episode(context, np.full((1,), self.readings, np.int32))
        counts = [len(one.asked) for one in drawn]
        return Episode(context, np.repeat(np.arange(self.readings, dtype=np.int32), counts))

    def _drawn(self, step: int) -> list[_Drawn]:
        """The tasks of a step, drawn once for its rows and its episode."""
        if self._last[0] != step:
            self._last = (step, self._draws(step))
        return self._last[1]

    def _draws(self, step: int) -> list[_Drawn]:
        options, random = self._options, np.random.default_rng([self._options.seed, _STREAM, step])
        tasks = random.permutation(len(self._tasks))[: self.readings]
        share, more = divmod(options.batch_size, self.readings)
        return [
            self._draw(random, int(task), share + (place < more))
            for place, task in enumerate(tasks)
        ]

    def _draw(self, random: np.random.Generator, task: int, asked: int) -> _Drawn:
        """As many examples as are drawn log-uniformly, and other rows to ask, again and again where
        there are too few."""
        count = len(self._tasks[task].rows)
        order = random.permutation(count)
        most = max(min(self._options.examples, count - 1), 1)
        shown = int(np.exp(random.random() * np.log(most + 0.999)))
        chance, has = random.random(), self._tasks[task].description is not None
        described, alone = has and chance < _DESCRIBED, has and chance < _ALONE
        rest = order[shown:] if count > shown else order
        return _Drawn(task, order[: 0 if alone else shown], described, np.resize(rest, asked))


def _longest(task: ShownTask, examples: int) -> int:
    """What no row that is shown is longer than."""
    lengths = sorted(map(len, task.rows))
    return lengths[-1] if task.together is None else LABEL + sum(lengths[-examples:])


def taught(options: MetaOptions, tasks: Sequence[ShownTask]) -> bool:
    """Whether what is written is compared with tuned prompts."""
    return options.compares_prompts and any(task.teacher is not None for task in tasks)


class _Teachers:
    """The tuned prompts, as `ptsys.prompts.meta_kind.Writing.penalty` wants them: their centre is
    what prompts end with at the start, their scale the mean square of their changes from it."""

    def __init__(
        self, options: MetaOptions, tasks: Sequence[ShownTask], start: NDArray[np.float32]
    ) -> None:
        self._prompts = [task.teacher for task in tasks]
        self._start = start
        changes = [prompt - start for prompt in self._prompts if prompt is not None]
        square = float(np.mean(np.square(changes), dtype=np.float64))
        self._scale = np.float32(1 / np.sqrt(max(square, 1e-12)))
        weight = 1.0 if options.needs_prompts else options.teacher_weight
        self._pull = np.zeros((len(TERMS),), np.float32)
        self._pull[TERMS.index(options.loss)] = weight
        if options.loss == "cosine":
            self._pull[TERMS.index("length")] = weight * options.length_weight

    def context(self, tasks: Sequence[int]) -> dict[str, NDArray[Any]]:
        own = [self._prompts[task] for task in tasks]
        known = np.array([prompt is not None for prompt in own], np.float32)
        return {
            meta_kind.TEACHER: np.stack([self._start if x is None else x for x in own]),
            meta_kind.CENTRE: np.stack([self._start] * len(own)),
            meta_kind.SCALE: np.full((len(own),), self._scale),
            meta_kind.PULL: known[:, None] * self._pull,
        }
