"""The one seam through which augmentation asks the library for second prompts."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Collection
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from ptsys.errors import NotFound, PtsysError
from ptsys.store.database import Database
from ptsys.store.prompts import Prompts
from ptsys.store.tables import DatasetRow, PromptRow
from ptsys.store.visibility import visible_to
from ptsys.types.metric import Metric
from ptsys.types.records import Prompt

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A prompt that the user may see and its similarity to a query; `dataset` is the id of what
    it was trained on, if that is there and the user's to see too."""

    prompt: Prompt
    similarity: float
    dataset: str | None = None


class FindsNeighbours(Protocol):
    """Searches the prompts of a frozen model that a user may see."""

    def __call__(
        self,
        query: NDArray[np.float32],
        user: str,
        fingerprint: str,
        *,
        count: int,
        metric: Metric,
        exclude: Collection[str],
    ) -> list[Neighbour]:
        """The `count` prompts nearest to `query` [P, D], best first, without those of the ids in
        `exclude`."""
        ...


class ReadsTensor(Protocol):
    """Gives a stored prompt's tensor as the model reads it, None if it has none to be read."""

    def __call__(self, prompt: Prompt) -> NDArray[np.float32] | None:
        """[P, D]."""
        ...


class SharedStart(Protocol):
    """Gives the one start that all prompts of the model share."""

    def __call__(self, length: int) -> NDArray[np.float32]:
        """[length, D]."""
        ...


class ExactNeighbours:
    """Reads and compares every prompt that the user may see.

    TO BE REPLACED by `ptsys.library.library.Library.search`, which keeps vectors in an index, in
    `workers.second_prompts` alone: the protocol above is all that anybody uses.

    Prompts are compared by the mean of their tokens' unit changes from the shared start, whose
    inner product is SPoT's per-token average similarity (Vu et al. 2022, section 4.1).
    """

    def __init__(self, database: Database, tensor: ReadsTensor, start: SharedStart) -> None:
        self._database = database
        self._tensor = tensor
        self._start = start

    def __call__(
        self,
        query: NDArray[np.float32],
        user: str,
        fingerprint: str,
        *,
        count: int,
        metric: Metric,
        exclude: Collection[str],
    ) -> list[Neighbour]:
        """As `FindsNeighbours` says."""
        wanted = self._vector(query)
        found = []
        for prompt in self._visible(user, fingerprint):
            if prompt.id in exclude or QUERY_TAG in prompt.tags:
                continue
            rows = self._read(prompt)
            if rows is not None:
                score = similarity(wanted, self._vector(rows), metric)
                found.append(Neighbour(prompt, score, prompt.dataset))
        found.sort(key=lambda one: (-one.similarity, one.prompt.id))
        return self._with_datasets(found[:count], user)

    def _visible(self, user: str, fingerprint: str) -> list[Prompt]:
        query = select(PromptRow.id).where(
            PromptRow.model_fingerprint == fingerprint, visible_to(PromptRow, user)
        )
        prompts = Prompts(self._database, "")
        with self._database.reading() as session:
            ids = list(session.scalars(query.order_by(PromptRow.id)))
        found = []
        for identifier in ids:
            with contextlib.suppress(NotFound):  # deleted, or made private, since
                found.append(prompts.get(identifier, user))
        return found

    def _read(self, prompt: Prompt) -> NDArray[np.float32] | None:
        try:
            return self._tensor(prompt)
        except PtsysError as error:
            logger.warning("prompt %s is left out of the search: %s", prompt.id, error)
            return None

    def _vector(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        change = (rows - self._start(len(rows))).astype(np.float64)
        norms = np.linalg.norm(change, axis=1, keepdims=True)
        vector: NDArray[np.float64] = (change / np.where(norms > 0, norms, 1)).mean(axis=0)
        return vector

    def _with_datasets(self, found: list[Neighbour], user: str) -> list[Neighbour]:
        """Those with a dataset that is there: a record also names the owner's deleted one."""
        named = {one.dataset for one in found if one.dataset is not None}
        query = select(DatasetRow.id).where(DatasetRow.id.in_(named), visible_to(DatasetRow, user))
        with self._database.reading() as session:
            there = set(session.scalars(query))
        return [
            dataclasses.replace(one, dataset=one.dataset if one.dataset in there else None)
            for one in found
        ]


QUERY_TAG = "query"
"""The tag of prompts that were made only to search with."""


def similarity(one: NDArray[np.float64], other: NDArray[np.float64], metric: Metric) -> float:
    """How alike two vectors are; greater is more."""
    if metric == "l2":
        return -float(np.linalg.norm(one - other))
    product = float(one @ other)
    if metric == "dot":
        return product
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return product / norms if norms > 0 else 0.0


def prompts_of_dataset(database: Database, dataset: str) -> list[str]:
    """The ids of all prompts that were trained on a dataset: of no use to one who has it."""
    query = select(PromptRow.id).where(PromptRow.dataset == dataset)
    with database.reading() as session:
        return list(session.scalars(query))
