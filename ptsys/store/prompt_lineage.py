"""Which prompts were made from which, and who shared them, as far as one user may see it.

Every query holds the condition of who may see what, of both ends of a tie: what somebody may not
see adds to nothing that they are told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select

from ptsys.store.database import Database
from ptsys.store.prompt_search import PromptSearch
from ptsys.store.tables import PromptParentRow, PromptRow
from ptsys.types.library import Filters

_AT_ONCE = 500  # ids in one query


class Tie(NamedTuple):
    """`child` was made from `parent`; a role of `query` says that it was searched for with it."""

    parent: str
    child: str
    role: str
    weight: float | None


class Member(NamedTuple):
    """What counts of a prompt. `requests` are those it answered; the accuracies are None where
    none is recorded, `plain_accuracy` being that of the rows alone, before any help."""

    id: str
    owner: str
    requests: int
    accuracy: float | None
    plain_accuracy: float | None


class Sharer(NamedTuple):
    """One who owns prompts, how many, and the requests these answered."""

    owner: str
    prompts: int
    requests: int


class PromptLineage:
    """The ties between stored prompts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._search = PromptSearch(database)

    def ties(self, user: str, filters: Filters) -> list[Tie]:
        """All ties between prompts that the user may find."""
        seen = select(PromptRow.id).where(self._search.allowed(user, filters))
        query = (
            select(
                PromptParentRow.parent,
                PromptParentRow.prompt,
                PromptParentRow.role,
                PromptParentRow.weight,
            )
            .where(PromptParentRow.parent.in_(seen), PromptParentRow.prompt.in_(seen))
            .order_by(PromptParentRow.prompt, PromptParentRow.place)
        )
        with self._database.reading() as session:
            return [Tie(*row) for row in session.execute(query)]

    def members(self, ids: Sequence[str], user: str) -> dict[str, Member]:
        """Those of these prompts that the user may find, by id."""
        found: dict[str, Member] = {}
        with self._database.reading() as session:
            for start in range(0, len(ids), _AT_ONCE):
                part = PromptRow.id.in_(ids[start : start + _AT_ONCE])
                for row in session.execute(_MEMBERS.where(part, self._search.allowed(user))):
                    found[row.id] = _member(row)
        return found

    def most_asked(self, user: str, filters: Filters, count: int) -> dict[str, Member]:
        """The prompts that answered most requests, by id; the newest of equal ones."""
        query = _MEMBERS.where(self._search.allowed(user, filters))
        query = query.order_by(PromptRow.uses.desc(), PromptRow.id.desc()).limit(count)
        with self._database.reading() as session:
            return {row.id: _member(row) for row in session.execute(query)}

    def sharers(self, user: str, filters: Filters) -> list[Sharer]:
        """All who own prompts that the user may find."""
        query = (
            select(PromptRow.owner, func.count(), func.sum(PromptRow.uses))
            .where(self._search.allowed(user, filters))
            .group_by(PromptRow.owner)
        )
        with self._database.reading() as session:
            return [Sharer(row[0], row[1], int(row[2])) for row in session.execute(query)]


_MEMBERS = select(PromptRow.id, PromptRow.owner, PromptRow.uses, PromptRow.scores)


def _member(row: Row[Any]) -> Member:
    return Member(
        row.id,
        row.owner,
        row.uses,
        finite_score(row.scores, "accuracy"),
        finite_score(row.scores, "plain_accuracy"),
    )


def finite_score(scores: Mapping[str, Any], name: str) -> float | None:
    """That score as a number; None if there is none, or it is not finite."""
    value = scores.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
