"""The rows of pretraining: generated tasks under instructions or learned prompts, and span
corruption of text, in a few fixed shapes. A pool of rows is a pure function of its seed."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ptsys.data.span_corruption import corrupt
from ptsys.data.vocabulary import EOS, Vocabulary
from ptsys.generated import GeneratedTask

Kind = Literal["shared", "bank", "promptless"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Which prompt a row has: the shared one, one that tells its task, or none."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """A batch shape: up to so many tokens of inputs and of targets."""

    inputs: int
    targets: int


SHAPES = (Shape(16, 8), Shape(32, 8), Shape(64, 16), Shape(96, 32))


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
    span_tokens: int = 80


@dataclasses.dataclass(frozen=True)
class RowPool:
    """N rows of one shape: right-padded ids, each row's kind (its place in `KINDS`), and the
    numbers of the traits in its prompt, padded with numbers that are out of range."""

    inputs: NDArray[np.int16]
    targets: NDArray[np.int16]
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
        text: NDArray[np.integer],
    ) -> None:
        self._config = config
        self._vocabulary = vocabulary
        self._bank = bank
        self._instructed = instructed
        self._text = text
        self._traits = numbered_traits([task.traits for task in bank])
        self.traits = trait_count(self._traits)
        self._most = max(map(len, self._traits))

    def pools(self, seed: object, count: int) -> dict[Shape, RowPool]:
        """`count` rows by shape, without those that no shape has room for."""
        rng = random.Random(f"rows/{seed}")
        groups: dict[Shape, list[Row]] = {}
        for _ in range(count):
            row = self._row(rng)
            shape = next((s for s in SHAPES if fits(row, s)), None)
            if shape is not None:
                groups.setdefault(shape, []).append(row)
        return {shape: self._padded(rows, shape) for shape, rows in groups.items()}

    def _padded(self, rows: Sequence[Row], shape: Shape) -> RowPool:
        """Right-pad rows to their shape."""
        inputs = np.zeros((len(rows), shape.inputs), np.int16)
        targets = np.zeros((len(rows), shape.targets), np.int16)
        traits = np.full((len(rows), self._most), self.traits, np.int32)
        for i, row in enumerate(rows):
            inputs[i, : len(row.inputs)] = row.inputs
            targets[i, : len(row.targets)] = row.targets
            traits[i, : len(row.traits)] = row.traits
        kinds = np.array([KINDS.index(row.kind) for row in rows], np.int32)
        return RowPool(inputs, targets, kinds, traits)

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


def trait_count(traits: Sequence[Sequence[int]]) -> int:
    """How many different numbers these tasks' traits have; the first that stands for none."""
    return 1 + max(max(numbers) for numbers in traits)


def numbered_traits(traits: Sequence[Sequence[str]]) -> list[tuple[int, ...]]:
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
