"""The pretraining stream: generated tasks under instructions or learned prompts, and span
corruption of text, as batches of a few fixed shapes.

The stream is cut into chunks; a chunk is a pure function of (seed, number), so a killed run
resumes at the same batch.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ptsys.data.generated import GeneratedTask
from ptsys.data.span_corruption import corrupt
from ptsys.data.vocabulary import EOS, Vocabulary

Kind = Literal["shared", "bank", "promptless"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Which prompt a row has: the shared one, one that tells its task, or none."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """A batch shape: `rows` of up to `inputs` and `targets` tokens."""

    inputs: int
    targets: int
    rows: int


# About 1,500 positions each: larger batches leave a CPU's cache and cost more a row (measured).
SHAPES = (
    Shape(16, 8, 64),
    Shape(32, 8, 48),
    Shape(64, 8, 28),
    Shape(48, 24, 28),
    Shape(96, 32, 16),
)


@dataclasses.dataclass(frozen=True)
class MixtureConfig:
    """Shares of the kinds of rows; what is left is span corruption. `copy_share` rows ask for a
    short piece of text again, word for word: dense supervision of copying.

    `bank_share` rows carry a learned prompt and no instruction: the sum of what is learned of all
    their task's traits, or for `family_share` of them of its family alone;
    `instruction_share` rows carry the instruction in text, most of them behind the shared prompt.
    """

    bank_share: float = 0.45
    family_share: float = 0.2
    instruction_share: float = 0.39
    copy_share: float = 0.06
    promptless_share: float = 0.25
    chunk_rows: int = 4000
    span_tokens: int = 80


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch: right-padded ids, each row's kind (its place in `KINDS`), and the numbers of the
    traits in its prompt, padded with numbers that are out of range."""

    inputs: NDArray[np.int32]
    targets: NDArray[np.int32]
    kind: NDArray[np.int32]
    traits: NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Row:
    """One row before padding."""

    inputs: list[int]
    targets: list[int]
    kind: Kind
    traits: Sequence[int] = ()


class Mixture:
    """The stream over a bank of tasks, a wider set of instructed tasks, and a token stream."""

    def __init__(
        self,
        config: MixtureConfig,
        vocabulary: Vocabulary,
        bank: Sequence[GeneratedTask],
        instructed: Sequence[GeneratedTask],
        text: NDArray[np.int32],
    ) -> None:
        self._config = config
        self._vocabulary = vocabulary
        self._bank = bank
        self._instructed = instructed
        self._text = text
        self._traits = _numbered([task.traits for task in bank])
        self.traits = 1 + max(max(numbers) for numbers in self._traits)
        self._most = max(map(len, self._traits))

    def batches(self, seed: int, chunk: int) -> Iterator[Batch]:
        """The batches of one chunk, in their order."""
        rng = random.Random(f"{seed}/{chunk}")
        groups: dict[Shape, list[Row]] = {shape: [] for shape in SHAPES}
        for _ in range(self._config.chunk_rows):
            row = self._row(rng)
            fitting = [s for s in SHAPES if fits(row, s)]
            if fitting:
                groups[fitting[0]].append(row)
        batches = [
            self._padded(rows[i : i + shape.rows], shape)
            for shape, rows in groups.items()
            for i in range(0, len(rows) - shape.rows + 1, shape.rows)
        ]
        rng.shuffle(batches)
        return iter(batches)

    def _padded(self, rows: Sequence[Row], shape: Shape) -> Batch:
        """Right-pad rows to their shape."""
        inputs = np.zeros((shape.rows, shape.inputs), np.int32)
        targets = np.zeros((shape.rows, shape.targets), np.int32)
        traits = np.full((shape.rows, self._most), self.traits, np.int32)
        for i, row in enumerate(rows):
            inputs[i, : len(row.inputs)] = row.inputs
            targets[i, : len(row.targets)] = row.targets
            traits[i, : len(row.traits)] = row.traits
        kinds = np.array([KINDS.index(row.kind) for row in rows], np.int32)
        return Batch(inputs, targets, kinds, traits)

    def _row(self, rng: random.Random) -> Row:
        place = rng.random()
        if place < self._config.bank_share:
            index = rng.randrange(len(self._bank))
            source, target = self._bank[index].draw(rng)
            traits = self._traits[index]
            if rng.random() < self._config.family_share:
                traits = traits[:1]
            return self._encoded(source, target, "bank", traits)
        if place < self._config.bank_share + self._config.instruction_share:
            task = rng.choice(self._instructed)
            source, target = task.draw(rng)
            chance = rng.random()
            kind: Kind = "promptless" if chance < self._config.promptless_share else "shared"
            return self._encoded(f"{rng.choice(task.instructions)} {source}", target, kind)
        if rng.random() < self._copy_of_rest:
            return self._copy(rng)
        return self._span(rng)

    @property
    def _copy_of_rest(self) -> float:
        config = self._config
        return config.copy_share / max(1 - config.bank_share - config.instruction_share, 1e-9)

    def _copy(self, rng: random.Random) -> Row:
        start = rng.randrange(max(1, len(self._text) - 7))
        piece = self._text[start : start + rng.randint(2, 6)].tolist()
        head = self._vocabulary.encode(rng.choice(("copy", "repeat", "say again", "copy this:")))
        return Row([*head, *piece, EOS], [*piece, EOS], "promptless")

    def _encoded(self, source: str, target: str, kind: Kind, traits: Sequence[int] = ()) -> Row:
        encode = self._vocabulary.encode
        return Row([*encode(source), EOS], [*encode(target), EOS], kind, traits)

    def _span(self, rng: random.Random) -> Row:
        width = self._config.span_tokens
        start = rng.randrange(max(1, len(self._text) - width))
        piece = self._text[start : start + width].tolist()
        inputs, targets = corrupt(
            piece,
            np.random.default_rng(rng.getrandbits(63)),
            sentinel_ids=self._vocabulary.sentinels(),
        )
        return Row([*inputs, EOS], [*targets, EOS], "shared")


def fits(row: Row, shape: Shape) -> bool:
    """Whether a row can travel in a shape without being cut."""
    return len(row.inputs) <= shape.inputs and len(row.targets) <= shape.targets


def _numbered(traits: Sequence[Sequence[str]]) -> list[tuple[int, ...]]:
    """The traits of every task as numbers, its first first; those of one task alone are one, and
    those of the same tasks too."""
    holders: dict[str, list[int]] = {}
    for number, names in enumerate(traits):
        for name in names:
            holders.setdefault(name, []).append(number)
    numbers: dict[tuple[int, ...], int] = {}
    for tasks in holders.values():
        numbers.setdefault(tuple(tasks), len(numbers))
    return [
        tuple(dict.fromkeys(numbers[tuple(holders[name])] for name in names)) for names in traits
    ]
