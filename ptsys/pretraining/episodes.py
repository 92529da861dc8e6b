"""Episodes: rows of one task, some to be read and others to be answered from what was read.

How an example is laid out for a model that reads it alone: `ptsys.data.shown_examples`.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ptsys.data.shown_examples import ARROW, BESIDE, shown_description, shown_example
from ptsys.data.vocabulary import EOS, Vocabulary
from ptsys.generated import FAMILIES, WEIGHTS, GeneratedTask
from ptsys.generated.lookup import random_labels, relabelled, sample_lookup
from ptsys.pretraining.mixture import trait_count

Source = Literal["bank", "fresh"]


@dataclasses.dataclass(frozen=True)
class EpisodeShape:
    """`examples` at most are read and `queries` answered; inputs and targets have so many tokens
    at most."""

    inputs: int
    targets: int
    examples: int
    queries: int

    @property
    def reading(self) -> int:
        """Tokens of an example as it is read."""
        return BESIDE + self.inputs

    @property
    def rows(self) -> int:
        """Rows that an episode is drawn from."""
        return self.examples + self.queries


EPISODES = (
    EpisodeShape(16, 8, 32, 16),
    EpisodeShape(40, 8, 16, 8),
    EpisodeShape(80, 16, 8, 8),
)


@dataclasses.dataclass(frozen=True)
class EpisodeConfig:
    """What episodes are made of.

    `bank_share` of the tasks are the bank's, whose prompts can teach. Of the others `lookup_share`
    have answers that only examples tell, `text_share` tell passages of text apart, and the rest
    are generated, `relabel_share` of those with labels under labels drawn anew.
    """

    bank_share: float = 0.4
    lookup_share: float = 0.25
    text_share: float = 0.1
    relabel_share: float = 0.4


@dataclasses.dataclass(frozen=True)
class EpisodePool:
    """N tasks of one shape with R rows each: `reading` [N, R, shape.reading] and the same rows as
    `inputs` [N, R, L] and `targets` [N, R, T]; `rows` [N] of them are real. `traits` [N, M] are the
    bank task's, out of range for others; `description` [N, shape.reading] is zero where none
    fits."""

    reading: NDArray[np.int16]
    inputs: NDArray[np.int16]
    targets: NDArray[np.int16]
    rows: NDArray[np.int32]
    traits: NDArray[np.int32]
    description: NDArray[np.int16]


@dataclasses.dataclass(frozen=True)
class _Task:
    rows: list[tuple[list[int], list[int]]]
    traits: Sequence[int]
    description: list[int]


def read_example(
    source: Sequence[int], label: Sequence[int], arrow: Sequence[int], width: int
) -> NDArray[np.int16]:
    """Ids of one example as the generator reads it, [width]: label, arrow, input, end."""
    return _padded(shown_example(source, label, arrow, width), width)


def read_description(text: Sequence[int], width: int) -> NDArray[np.int16]:
    """Ids of a task's description as the generator reads it, [width]: no label, no arrow."""
    return _padded(shown_description(text, width), width)


class Episodes:
    """Pools of tasks, each a pure function of a seed."""

    def __init__(
        self,
        config: EpisodeConfig,
        vocabulary: Vocabulary,
        bank: Sequence[GeneratedTask],
        traits: Sequence[Sequence[int]],
        text: NDArray[np.integer],
    ) -> None:
        self._config = config
        self._vocabulary = vocabulary
        self._bank = bank
        self._traits = traits
        self.traits = trait_count(traits)
        self._most = max(map(len, traits))
        self._text = text
        self._arrow = vocabulary.encode(ARROW)
        self._names = [name for name in FAMILIES if name != "in_context"]
        self._weights = [WEIGHTS[name] for name in self._names]

    def pools(self, seed: object, tasks: int) -> dict[tuple[Source, EpisodeShape], EpisodePool]:
        """`tasks` tasks that are long enough to draw episodes from, by where they come from and
        what shape their rows have."""
        rng = random.Random(f"episodes/{seed}")
        groups: dict[tuple[Source, EpisodeShape], list[_Task]] = {}
        for _ in range(tasks):
            source: Source = "bank" if rng.random() < self._config.bank_share else "fresh"
            found = self._bank_task(rng) if source == "bank" else self._fresh_task(rng)
            for shape in EPISODES:
                kept = [
                    row
                    for row in found.rows
                    if len(row[0]) < shape.inputs and len(row[1]) < shape.targets
                ]
                if len(kept) >= max(0.8 * len(found.rows), shape.queries + 2):
                    task = dataclasses.replace(found, rows=kept[: shape.rows])
                    groups.setdefault((source, shape), []).append(task)
                    break
        return {key: self._pool(key[1], found) for key, found in groups.items()}

    def _pool(self, shape: EpisodeShape, tasks: Sequence[_Task]) -> EpisodePool:
        count, rows = len(tasks), shape.rows
        reading = np.zeros((count, rows, shape.reading), np.int16)
        inputs = np.zeros((count, rows, shape.inputs), np.int16)
        targets = np.zeros((count, rows, shape.targets), np.int16)
        description = np.zeros((count, shape.reading), np.int16)
        traits = np.full((count, self._most), self.traits, np.int32)
        for i, task in enumerate(tasks):
            for j, (source, target) in enumerate(task.rows):
                reading[i, j] = read_example(source, target, self._arrow, shape.reading)
                inputs[i, j, : len(source) + 1] = [*source, EOS]
                targets[i, j, : len(target) + 1] = [*target, EOS]
            traits[i, : len(task.traits)] = task.traits
            if task.description:
                description[i] = read_description(task.description, shape.reading)
        real = np.array([len(task.rows) for task in tasks], np.int32)
        return EpisodePool(reading, inputs, targets, real, traits, description)

    def _bank_task(self, rng: random.Random) -> _Task:
        index = rng.randrange(len(self._bank))
        task = self._bank[index]
        return self._encoded(
            list(_rows(task, rng)), self._traits[index], rng.choice(task.instructions)
        )

    def _fresh_task(self, rng: random.Random) -> _Task:
        chance = rng.random()
        if chance < self._config.lookup_share:
            return self._encoded(list(_rows(sample_lookup(rng), rng)))
        if chance < self._config.lookup_share + self._config.text_share:
            return self._passages(rng)
        task = FAMILIES[rng.choices(self._names, self._weights)[0]](rng)
        rows = list(_rows(task, rng))
        if rng.random() < self._config.relabel_share:
            new = relabelled(rows, rng)
            if new is not None:
                return self._encoded(new)
        return self._encoded(rows, (), rng.choice(task.instructions))

    def _passages(self, rng: random.Random) -> _Task:
        """Pieces of a few passages of text; the label tells which passage a piece is from."""
        classes = rng.choice((2, 2, 3, 4, 5))
        length = rng.choice((12, 24, 38))
        labels = [self._vocabulary.encode(label) for label in random_labels(rng, classes)]
        window = 40 * length
        starts = [rng.randrange(max(1, len(self._text) - window)) for _ in labels]
        rows: dict[tuple[int, ...], list[int]] = {}
        for _ in range(EPISODES[0].rows):
            at = rng.randrange(classes)
            start = starts[at] + rng.randrange(window - length)
            rows.setdefault(tuple(self._text[start : start + length].tolist()), labels[at])
        return _Task([(list(piece), label) for piece, label in rows.items()], (), [])

    def _encoded(
        self, rows: Sequence[tuple[str, str]], traits: Sequence[int] = (), description: str = ""
    ) -> _Task:
        encode = self._vocabulary.encode
        return _Task(
            [(encode(source), encode(target)) for source, target in rows],
            traits,
            encode(description) if description else [],
        )


def _padded(ids: Sequence[int], width: int) -> NDArray[np.int16]:
    row = np.zeros(width, np.int16)
    row[: len(ids)] = ids
    return row


def _rows(task: GeneratedTask, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Rows of a task with different inputs, as many as an episode takes or as there are."""
    found: dict[str, str] = {}
    for _ in range(2 * EPISODES[0].rows):
        source, target = task.draw(rng)
        found.setdefault(source, target)
        if len(found) == EPISODES[0].rows:
            break
    return iter(found.items())
