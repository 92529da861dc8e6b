"""Finding stored prompts by their words and by what is recorded of them.

Every query holds the condition of who may see what, so that nothing else ever leaves it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Float,
    TableValuedAlias,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.orm import QueryableAttribute

from ptsys.store.database import Database
from ptsys.store.datasets import dataset_value
from ptsys.store.prompts import prompt_values
from ptsys.store.tables import DatasetRow, PromptRow, ShareRow
from ptsys.store.visibility import visible_to
from ptsys.types.library import QUERY_TAG, Filters
from ptsys.types.records import Dataset, Prompt

T = TypeVar("T")

ANY = Filters()
"""Filters that let everything pass."""

_AT_ONCE = 500  # ids in one query
_LISTED_AT_ONCE = 5000
_SEED = 0
_MOST_WORDS = 20
# How much it counts where a word was found, beside that it was: name, tag or task, description,
# dataset. Together always less than one word more.
_NAME, _TAG, _DESCRIPTION, _DATASET = 0.9, 0.6, 0.3, 0.0
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")  # see `ptsys.store.columns.portable_json`


class PromptSearch:
    """Which stored prompts a user may find."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._postgres = database.engine.dialect.name == "postgresql"

    def by_text(
        self, text: str, user: str, filters: Filters, count: int
    ) -> list[tuple[Prompt, float]]:
        """The prompts in whose name, tags, task, description or dataset a word stands, and how
        well the words fit: so many as were found, and a fraction for where. Best first; of equal
        ones the most used.

        A dataset's words count for those who may see it.
        """
        words = _words(text)
        if not words:
            return []
        score = sum((self._fit(word, user, len(words)) for word in words), start=_number(0))
        found = or_(*(self._anywhere(word, user) for word in words))
        query = (
            select(PromptRow, score.label("score"))
            .where(self.allowed(user, filters), found)
            .order_by(score.desc(), PromptRow.uses.desc(), PromptRow.id.desc())
            .limit(count)
        )
        with self._database.reading() as session:
            rows = session.execute(query).all()
            prompts = prompt_values(session, [row[0] for row in rows], user)
        return [(prompt, float(row[1])) for prompt, row in zip(prompts, rows, strict=True)]

    def several(
        self, ids: Iterable[str], user: str, filters: Filters, text: str = ""
    ) -> dict[str, Prompt]:
        """Those of these prompts that the user may find, by id."""
        prompts: dict[str, Prompt] = {}
        condition = self.allowed(user, filters) & self._all_words(text, user)
        with self._database.reading() as session:
            for part in _portions(list(ids)):
                rows = session.scalars(
                    select(PromptRow).where(PromptRow.id.in_(part), condition)
                ).all()
                prompts |= {prompt.id: prompt for prompt in prompt_values(session, rows, user)}
        return prompts

    def ids(
        self, fingerprint: str, user: str, filters: Filters, text: str, most: int
    ) -> list[str] | None:
        """The ids of all prompts of that model which the user may find; None if they are more
        than `most`."""
        query = select(PromptRow.id).where(
            PromptRow.model_fingerprint == fingerprint,
            self.allowed(user, filters),
            self._all_words(text, user),
        )
        with self._database.reading() as session:
            ids = list(session.scalars(query.limit(most + 1)))
        return None if len(ids) > most else ids

    def sample(self, fingerprint: str, user: str, most: int) -> tuple[list[str], int]:
        """The ids of all prompts of that model which the user may find, or of `most` of them, each
        as likely as any other but the same every time; and how many there are in all."""
        query = (
            select(PromptRow.id)
            .where(PromptRow.model_fingerprint == fingerprint, self.allowed(user))
            .order_by(PromptRow.id)
        )
        draw, kept, total = random.Random(_SEED), list[str](), 0
        with self._database.reading() as session:
            for one in session.scalars(query.execution_options(yield_per=_LISTED_AT_ONCE)):
                total += 1
                place = len(kept) if len(kept) < most else draw.randrange(total)  # a reservoir
                kept[place : place + 1] = [one] if place < most else []
        return sorted(kept), total

    def shared_with(self, user: str) -> list[str]:
        """The ids of all that is shared with this user by name."""
        with self._database.reading() as session:
            return list(session.scalars(select(ShareRow.resource).where(ShareRow.user == user)))

    def gone(self, ids: Sequence[str]) -> set[str]:
        """Those of these ids that no prompt has any more."""
        left = set(ids)
        with self._database.reading() as session:
            for part in _portions(list(ids)):
                left -= set(session.scalars(select(PromptRow.id).where(PromptRow.id.in_(part))))
        return left

    def datasets(self, prompts: Iterable[Prompt], user: str) -> dict[str, Dataset]:
        """The datasets of these prompts that the user may see, by id."""
        named = sorted({prompt.dataset for prompt in prompts if prompt.dataset is not None})
        datasets: dict[str, Dataset] = {}
        with self._database.reading() as session:
            for part in _portions(named):
                query = select(DatasetRow).where(
                    DatasetRow.id.in_(part), visible_to(DatasetRow, user)
                )
                for row in session.scalars(query):
                    datasets[row.id] = dataset_value(session, row, user)
        return datasets

    # ---- conditions -----------------------------------------------------------------------

    def allowed(self, user: str, filters: Filters = ANY) -> ColumnElement[bool]:
        """What the user may find: visible, not a query's prompt, and as the filters want it."""
        wanted = [visible_to(PromptRow, user), ~self._has_tag(QUERY_TAG)]
        wanted += [self._has_tag(tag) for tag in filters.tags]
        for column, value in (
            (PromptRow.model, filters.model),
            (PromptRow.owner, filters.owner),
            (PromptRow.visibility, filters.visibility),
            (PromptRow.kind, filters.prompt_kind),
        ):
            if value is not None:
                wanted.append(column == value)
        if filters.licence is not None:
            wanted.append(func.lower(PromptRow.licence) == filters.licence.lower())
        if filters.min_accuracy is not None:
            accuracy = PromptRow.scores["accuracy"]
            wanted.append(accuracy.as_string().not_in(_NOT_FINITE))
            wanted.append(accuracy.as_float() >= filters.min_accuracy)
        if filters.created_after is not None:
            wanted.append(PromptRow.created > filters.created_after)
        return and_(*wanted)

    def _all_words(self, text: str, user: str) -> ColumnElement[bool]:
        return and_(true(), *(self._anywhere(word, user) for word in _words(text)))

    def _anywhere(self, word: str, user: str) -> ColumnElement[bool]:
        return or_(*(condition for condition, _ in self._places(word, user)))

    def _fit(self, word: str, user: str, words: int) -> ColumnElement[float]:
        """1 and a fraction where the word stands somewhere, else 0."""
        ranks = [(found, _number(1 + rank / words)) for found, rank in self._places(word, user)]
        return case(*ranks, else_=_number(0))

    def _places(self, word: str, user: str) -> list[tuple[ColumnElement[bool], float]]:
        """The condition that the word stands there, and the place's rank; best first."""
        items = self._tags()
        tag = exists().select_from(items).where(_holds(items.c.value, word))
        dataset = exists().where(
            DatasetRow.id == PromptRow.dataset,
            visible_to(DatasetRow, user),
            or_(_holds(DatasetRow.name, word), _holds(DatasetRow.description, word)),
        )
        return [
            (_holds(PromptRow.name, word), _NAME),
            (or_(tag, _holds(PromptRow.task, word)), _TAG),
            (_holds(PromptRow.description, word), _DESCRIPTION),
            (dataset, _DATASET),
        ]

    def _has_tag(self, tag: str) -> ColumnElement[bool]:
        items = self._tags()
        return exists().select_from(items).where(items.c.value == tag)

    def _tags(self) -> TableValuedAlias:
        """The tags of a prompt as a table of one column, `value`."""
        unnest = func.json_array_elements_text if self._postgres else func.json_each
        return unnest(PromptRow.tags).table_valued("value")


def _holds(column: ColumnElement[Any] | QueryableAttribute[Any], word: str) -> ColumnElement[bool]:
    return func.coalesce(func.lower(column), "").contains(word, autoescape=True)


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(text.lower().split()))[:_MOST_WORDS]


def _number(value: float) -> ColumnElement[float]:
    return literal(float(value), Float)


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))
