"""The prompts' vectors, and what an index of them has yet to learn."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from ptsys.store.database import Database
from ptsys.store.tables import PromptRow, PromptVectorRow
from ptsys.types.library import QUERY_TAG, VectorKind, compares

_AT_ONCE = 500  # vectors in one query
_LISTED_AT_ONCE = 5000


class Listed(NamedTuple):
    """What an index knows of a prompt beside its vector. `indexed` says whether it belongs there:
    not what was trained to search with, nor what began elsewhere than other prompts."""

    id: str
    owner: str
    visibility: str
    indexed: bool
    changed: datetime.datetime


class PromptVectors:
    """The table of vectors, whoever owns the prompts: for the service itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        postgres = database.engine.dialect.name == "postgresql"
        self._insert = postgresql.insert if postgres else sqlite.insert

    def changed(
        self, fingerprint: str, prompt_kind: str, since: datetime.datetime | None
    ) -> Iterator[Listed]:
        """The prompts of one kind of a model that were added since then, or whose tags or viewers
        changed; all of them where no moment is given."""
        query = select(
            PromptRow.id,
            PromptRow.owner,
            PromptRow.visibility,
            PromptRow.tags,
            PromptRow.initialization,
            PromptRow.changed,
        ).where(PromptRow.model_fingerprint == fingerprint, PromptRow.kind == prompt_kind)
        if since is not None:
            query = query.where(PromptRow.changed > since)
        with self._database.reading() as session:
            for row in session.execute(query.execution_options(yield_per=_LISTED_AT_ONCE)):
                indexed = compares(prompt_kind, row.initialization) and QUERY_TAG not in row.tags
                yield Listed(row.id, row.owner, row.visibility, indexed, row.changed)

    def read(self, ids: Sequence[str], kind: VectorKind) -> dict[str, NDArray[np.float32]]:
        """The vectors [D] of these prompts, by id; those that were stored."""
        found: dict[str, NDArray[np.float32]] = {}
        with self._database.reading() as session:
            for start in range(0, len(ids), _AT_ONCE):
                query = select(PromptVectorRow.prompt, PromptVectorRow.vector).where(
                    PromptVectorRow.kind == kind,
                    PromptVectorRow.prompt.in_(ids[start : start + _AT_ONCE]),
                )
                for row in session.execute(query):
                    found[row.prompt] = np.frombuffer(row.vector, "<f4").astype(np.float32)
        return found

    def write(self, vectors: Mapping[str, NDArray[np.float32]], kind: VectorKind) -> None:
        """Store these vectors; those that are there already stay, of prompts that are gone
        nothing is kept."""
        rows: list[dict[str, object]] = [
            {"prompt": prompt, "kind": kind, "vector": vector.astype("<f4").tobytes()}
            for prompt, vector in sorted(vectors.items())
        ]
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            if not self._add(part):
                for row in part:  # one of the prompts was deleted
                    self._add([row])

    def _add(self, rows: list[dict[str, object]]) -> bool:
        statement: Insert = self._insert(PromptVectorRow).on_conflict_do_nothing()
        try:
            with self._database.session() as session:
                session.execute(statement, rows)
        except IntegrityError:
            return False
        return True
