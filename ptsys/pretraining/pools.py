"""What a pretraining run draws from: chunks of rows and tasks, made ahead by other processes.

A chunk is a pure function of the run's seed and the chunk's number, and which chunk a step draws
from is a function of the step, so a killed run resumes with the same rows.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptsys.data.vocabulary import SentencePieceVocabulary
from ptsys.generated import sample_tasks
from ptsys.pretraining.episodes import (
    EpisodeConfig,
    EpisodePool,
    Episodes,
    EpisodeShape,
    Source,
)
from ptsys.pretraining.mixture import Mixture, MixtureConfig, RowPool, Shape, numbered_traits

RowKey = Shape
TaskKey = tuple[Source, EpisodeShape]


@dataclasses.dataclass(frozen=True)
class PoolConfig:
    """How much is drawn at a time: a chunk of `rows` rows and `tasks` tasks for episodes, made in
    `pieces` by `processes` (0: one for each core but one), is drawn from for `steps` steps."""

    rows: int = 8000
    tasks: int = 400
    pieces: int = 1
    processes: int = 1
    steps: int = 250


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that a process needs to make a piece of a chunk."""

    seed: int
    bank_tasks: int
    instructed_tasks: int
    mixture: MixtureConfig
    episodes: EpisodeConfig
    vocabulary: Path
    sentinels: int
    text: Path


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Rows and tasks by shape."""

    rows: Mapping[RowKey, RowPool]
    tasks: Mapping[TaskKey, EpisodePool]


class Maker:
    """Makes pieces of chunks."""

    def __init__(self, recipe: Recipe) -> None:
        bank = sample_tasks(recipe.seed, recipe.bank_tasks)
        instructed = sample_tasks(recipe.seed + 1, recipe.instructed_tasks)
        vocabulary = SentencePieceVocabulary(recipe.vocabulary, recipe.sentinels)
        text = np.load(recipe.text, mmap_mode="r")
        self.recipe = recipe
        self.mixture = Mixture(recipe.mixture, vocabulary, bank, instructed, text)
        traits = numbered_traits([task.traits for task in bank])
        self.episodes = Episodes(recipe.episodes, vocabulary, bank, traits, text)

    def piece(self, chunk: int, piece: int, rows: int, tasks: int) -> Chunk:
        """One piece of a chunk."""
        seed = (self.recipe.seed, chunk, piece)
        return Chunk(self.mixture.pools(seed, rows), self.episodes.pools(seed, tasks))


_maker: Maker | None = None


def _start(recipe: Recipe) -> None:
    global _maker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _maker = Maker(recipe)


def _end_with_parent() -> None:
    """A run that is killed leaves no process behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def _piece(chunk: int, piece: int, rows: int, tasks: int) -> Chunk:
    assert _maker is not None
    return _maker.piece(chunk, piece, rows, tasks)


class Pools:
    """Chunks in order, the next being made while one is drawn from. Close it."""

    def __init__(self, recipe: Recipe, config: PoolConfig) -> None:
        self._config = config
        count = config.processes or max(1, (os.cpu_count() or 2) - 1)
        self._executor = concurrent.futures.ProcessPoolExecutor(
            count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(recipe,),
        )

    def chunks(self, first: int) -> Iterator[Chunk]:
        """Chunk `first` and all that follow."""
        coming = [self._ask(first), self._ask(first + 1)]
        while True:
            chunk = _together([piece.result() for piece in coming.pop(0)])
            first += 1
            coming.append(self._ask(first + 1))
            yield chunk

    def close(self) -> None:
        """End the processes."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _ask(self, chunk: int) -> list[concurrent.futures.Future[Chunk]]:
        config = self._config
        rows, tasks = config.rows // config.pieces, config.tasks // config.pieces
        return [
            self._executor.submit(_piece, chunk, piece, rows, tasks)
            for piece in range(config.pieces)
        ]


def _together(pieces: Sequence[Chunk]) -> Chunk:
    return Chunk(
        _joined([piece.rows for piece in pieces]), _joined([piece.tasks for piece in pieces])
    )


def _joined(parts: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Pools of the same key, one after another, field by field."""
    keys = dict.fromkeys(key for part in parts for key in part)
    found = {}
    for key in keys:
        pools = [part[key] for part in parts if key in part]
        fields = [field.name for field in dataclasses.fields(pools[0])]
        found[key] = dataclasses.replace(
            pools[0], **{name: np.concatenate([getattr(p, name) for p in pools]) for name in fields}
        )
    return found
