"""The prompt library: what is near a prompt, and what fits some words, as far as the one who asks
may see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator

import numpy as np
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.kinds.registry import META, STORED_KINDS, kind_of
from ptsys.kinds.trees import Tree
from ptsys.library.model_index import Indexed, ModelIndex, Viewer
from ptsys.prompts.tokens import as_tree
from ptsys.store.database import Database
from ptsys.store.prompt_search import ANY, PromptSearch
from ptsys.store.prompt_vectors import PromptVectors
from ptsys.store.prompts import Prompts
from ptsys.types.library import DEFAULT_KIND, Filters, Found, VectorKind, compares
from ptsys.types.metric import Metric
from ptsys.types.records import Dataset, Prompt
from ptsys.types.training import TOKENS

_KINDS = (*STORED_KINDS, META)
_TOGETHER = {TOKENS, META}  # a meta-prompt is compared by the vectors of prompts of soft tokens
_FEW = 20_000  # of so many that fit the filters, the nearest are looked for among them alone
_MORE = 4  # how much more is asked for when too few of what was found may leave
_SAVE_SHARE = 0.05  # of the index, changed since it was saved
_SAVE_SECONDS = 600.0


class Library:
    """Search over stored prompts. Safe to share between threads and processes: each keeps its own
    indexes and learns from the database what others changed."""

    def __init__(self, database: Database, prompts: Prompts, root: epath.PathLike) -> None:
        """Keep indexes under `<root>/library`; nothing is read yet."""
        self._prompts = prompts
        self._root = root
        self._search = PromptSearch(database)
        self._vectors = PromptVectors(database)
        self._indexes: dict[Indexed, ModelIndex] = {}
        self._saved: dict[Indexed, float] = {}
        self._lock = threading.Lock()

    def search(
        self,
        query: Prompt | Tree | NDArray[np.float32],
        user: str,
        *,
        fingerprint: str | None = None,
        metric: Metric = "cosine",
        kind: VectorKind = DEFAULT_KIND,
        count: int = 10,
        exclude: Collection[str] = (),
        filters: Filters = ANY,
        text: str = "",
    ) -> list[Found]:
        """The prompts of its kind nearest to a stored one, which is not among them, or to the
        arrays of one (an array alone is soft tokens [P, D]) of the model of that `fingerprint`;
        nearest first, without those whose ids are in `exclude`. With `filters.prompt_kind` meta,
        the meta-prompts that were trained on prompts like it.

        `filters` and the words of `text`, which all must stand somewhere, say which may be found.
        Raises InvalidInput for a query that does not compare with others, Unavailable if nobody
        knows yet where the model's prompts start.
        """
        if isinstance(query, Prompt):
            _refuse_incomparable(query)
            own = Indexed(query.model_fingerprint, query.kind, kind)
            exclude = {*exclude, query.id}
        else:
            if fingerprint is None:
                raise InvalidInput("say which model the prompt is of", field="fingerprint")
            query = as_tree(query)
            own = Indexed(fingerprint, kind_of(query).name, kind)
        index = self._index(_among(own, filters.prompt_kind))
        index.refresh()
        queries = self._index(own)
        vector = queries.vector(query) if isinstance(query, Prompt) else queries.vector_of(query)
        filters = filters.model_copy(update={"prompt_kind": None})  # the index has no other
        finding = _Finding(self._search, index, user, filters, text)
        return self._results(finding.nearest(vector, metric, count, sorted(exclude)), user)

    def find(self, text: str, user: str, *, filters: Filters = ANY, count: int = 10) -> list[Found]:
        """The prompts that some words fit best; see `PromptSearch.by_text`."""
        _check_kind(filters.prompt_kind)
        return self._results(self._search.by_text(text, user, filters, count), user)

    def vectors(
        self, fingerprint: str, user: str, *, kind: VectorKind = DEFAULT_KIND, most: int
    ) -> tuple[list[tuple[Prompt, NDArray[np.float32]]], int]:
        """The prompts of a model that compare with others of their kind and that the user may see,
        with their vectors, those of each kind of a length [N] of its own, in order of ids: all, or
        of more than `most` a sample; and how many there are before those that do not compare are
        left out. Raises Unavailable if nobody knows where they start."""
        ids, total = self._search.sample(fingerprint, user, most)
        prompts = self._search.several(ids, user, ANY)
        vectors: dict[str, NDArray[np.float32]] = {}
        for prompt_kind in STORED_KINDS:
            comparing = [
                one
                for one in ids
                if one in prompts and prompts[one].kind == prompt_kind and comparable(prompts[one])
            ]
            index = self._index(Indexed(fingerprint, prompt_kind, kind))
            vectors |= index.vectors(comparing)
        pairs = [(prompts[one], vectors[one]) for one in ids if one in vectors]
        return pairs, total if len(ids) < total else len(pairs)

    def datasets(self, prompts: Iterable[Prompt], user: str) -> dict[str, Dataset]:
        """The datasets of these prompts that the user may see, by id."""
        return self._search.datasets(prompts, user)

    def refresh(self, fingerprint: str, kind: VectorKind = DEFAULT_KIND) -> None:
        """Bring the indexes of a model's prompts up to date with the database, and save those of
        which enough has changed: what a worker does now and then. Raises Unavailable."""
        for prompt_kind in _KINDS:
            indexed = Indexed(fingerprint, prompt_kind, kind)
            index = self._index(indexed)
            index.refresh(audit=True)
            since = time.monotonic() - self._saved.get(indexed, -_SAVE_SECONDS)
            enough = index.unsaved > _SAVE_SHARE * len(index)
            if enough or (index.unsaved and since >= _SAVE_SECONDS):
                index.save()
                self._saved[indexed] = time.monotonic()

    def _index(self, indexed: Indexed) -> ModelIndex:
        with self._lock:
            index = self._indexes.get(indexed)
            if index is None:
                index = ModelIndex(indexed, self._vectors, self._prompts, self._root)
                self._indexes[indexed] = index
            return index

    def _results(self, pairs: list[tuple[Prompt, float]], user: str) -> list[Found]:
        datasets = self._search.datasets((prompt for prompt, _ in pairs), user)
        return [
            Found(
                prompt=prompt,
                score=score,
                dataset=datasets.get(prompt.dataset or ""),
                comparable=bool(prompt.initialization),
            )
            for prompt, score in pairs
        ]


class _Finding:
    """One search of an index. What the index finds is asked of the database again before it
    leaves; for what falls out there, the search goes on."""

    def __init__(
        self, search: PromptSearch, index: ModelIndex, user: str, filters: Filters, text: str
    ) -> None:
        self._search = search
        self._index = index
        self._user = user
        self._filters = filters
        self._text = text

    def nearest(
        self, vector: NDArray[np.float32], metric: Metric, count: int, without: list[str]
    ) -> list[tuple[Prompt, float]]:
        viewer = Viewer(self._user, self._search.shared_with(self._user))
        only = self._few()
        pairs: list[tuple[Prompt, float]] = []
        asked, wanted = 0, count
        while True:
            hits = self._index.search(vector, wanted, metric, viewer, without=without, only=only)
            fresh = {hit.id: hit.score for hit in hits[asked:]}
            pairs += self._visible(fresh)
            if len(pairs) >= count or len(hits) < wanted:
                return pairs[:count]
            asked, wanted = len(hits), wanted * _MORE

    def _few(self) -> list[str] | None:
        """The ids of all that fit the filters, if there are filters and not too many fit."""
        if self._filters == ANY and not self._text.strip():
            return None
        return self._search.ids(
            self._index.fingerprint, self._user, self._filters, self._text, _FEW
        )

    def _visible(self, scores: dict[str, float]) -> Iterator[tuple[Prompt, float]]:
        seen = self._search.several(scores, self._user, self._filters, self._text)
        lost = [one for one in scores if one not in seen]
        if lost:
            self._index.drop(sorted(self._search.gone(lost)))
        for one, score in scores.items():
            if one in seen:
                yield seen[one], score


def comparable(prompt: Prompt) -> bool:
    """Whether it began where others did, or may have."""
    return compares(prompt.kind, prompt.initialization)


def _among(query: Indexed, wanted: str | None) -> Indexed:
    """The index to search with such a query for prompts of the kind that is wanted. Raises
    InvalidInput for one that does not compare with the query's."""
    _check_kind(wanted)
    if wanted is None or {wanted, query.prompt_kind} <= _TOGETHER or wanted == query.prompt_kind:
        return query._replace(prompt_kind=wanted or query.prompt_kind)
    raise InvalidInput(
        f"a prompt of the kind {query.prompt_kind!r} does not compare with those of the kind "
        f"{wanted!r}; leave prompt_kind out",
        field="prompt_kind",
    )


def _check_kind(wanted: str | None) -> None:
    if wanted is not None and wanted not in _KINDS:
        raise InvalidInput(
            f"there is no kind {wanted!r}; choose {', '.join(_KINDS)}", field="prompt_kind"
        )


def _refuse_incomparable(query: Prompt) -> None:
    if not comparable(query):
        start = query.initialization["kind"]
        raise InvalidInput(
            f"prompt {query.name!r} began from {start!r}, not where others did, so it does not "
            "compare; train one with the shared initialization",
            field="prompt",
        )
