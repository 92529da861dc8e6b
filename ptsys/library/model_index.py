"""One index of the library in this process: the vectors of one model's prompts of one kind, and who
may see them."""

from __future__ import annotations

import collections
import datetime
import logging
import threading
import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import InvalidInput, PtsysError
from ptsys.kinds.registry import META, prompt_kind, writes_prompts
from ptsys.kinds.trees import Tree
from ptsys.library.domain import domain_vector
from ptsys.library.index import VectorIndex
from ptsys.library.ranking import Hit
from ptsys.library.starts import library_folder, read_start
from ptsys.library.tensors import start_of, whole_prompt
from ptsys.library.vectors import prompt_vector
from ptsys.store.clock import utc_now
from ptsys.store.prompt_vectors import Listed, PromptVectors
from ptsys.store.prompts import Prompts
from ptsys.types.library import VectorKind
from ptsys.types.metric import Metric
from ptsys.types.records import Prompt

logger = logging.getLogger(__name__)

_OVERLAP = datetime.timedelta(seconds=120)
"""What changed so long before the last look is looked at again: clocks differ, and a transaction
becomes visible later than the moment it writes."""

_AUDIT_SECONDS = 3600.0  # between two looks at all prompts
_COMPUTED_AT_ONCE = 256
_VISIBILITIES = ("private", "shared", "public")
_PRIVATE, _SHARED, _PUBLIC = range(3)
_NOBODY = -1


class Viewer(NamedTuple):
    """Who searches, and the ids of what others share with them by name."""

    user: str
    shared: Sequence[str]


class Indexed(NamedTuple):
    """What an index holds: the prompts of one kind of the model of that fingerprint, and which
    vector of each. None but these compare."""

    fingerprint: str
    prompt_kind: str
    vector: VectorKind


class ModelIndex:
    """Vectors with their owners and visibilities, aligned by slot. Safe to share between
    threads."""

    def __init__(
        self,
        indexed: Indexed,
        vectors: PromptVectors,
        prompts: Prompts,
        root: epath.PathLike,
    ) -> None:
        """Nothing is read yet: `refresh`. Raises Unavailable if nobody knows where the model's
        prompts start, InvalidInput for a kind that there is not."""
        self.fingerprint = indexed.fingerprint
        self._indexed = indexed
        meta = indexed.prompt_kind == META  # which keeps its vectors itself
        self._kind = None if meta else prompt_kind(indexed.prompt_kind)
        self._vectors = vectors
        self._prompts = prompts
        self._start = read_start(root, self.fingerprint)
        folder = library_folder(root, self.fingerprint)
        self._folder = folder / indexed.prompt_kind / indexed.vector
        self._refreshing = threading.Lock()
        self._writing = threading.Lock()
        self._index: VectorIndex | None = None  # as long as there is no vector, whose length counts
        self._viewers = _Viewers.none()
        self._codes: dict[str, int] = {}  # users, as `_viewers` has them
        self._looked: datetime.datetime | None = None
        self._recent: dict[str, datetime.datetime] = {}  # what the overlap shows again
        self._unreadable: set[str] = set()
        self._audited = 0.0
        self.unsaved = 0

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    # ---- up to date -----------------------------------------------------------------------

    def refresh(self, *, audit: bool = False) -> None:
        """Learn what changed in the database since the last time, at first everything. With
        `audit`, look at everything again when that was long ago, which takes seconds for a
        million prompts, so that nothing stays missed. Raises Unavailable."""
        with self._refreshing:
            if self._looked is None:
                self._load()
            now, looked = time.monotonic(), utc_now()
            whole = self._looked is None or (audit and now - self._audited > _AUDIT_SECONDS)
            since = None if whole or self._looked is None else self._looked - _OVERLAP
            listed = list(self._vectors.changed(self.fingerprint, self._indexed.prompt_kind, since))
            self._take([one for one in listed if self._recent.get(one.id) != one.changed])
            if whole:
                self._drop_others({one.id for one in listed if one.indexed})
                self._audited = now
            self._looked = looked
            edge = looked - _OVERLAP
            self._recent = {one.id: one.changed for one in listed if one.changed > edge}

    def drop(self, ids: Sequence[str]) -> None:
        """Forget prompts that are gone."""
        index = self._index
        if index is None:
            return
        with self._writing:
            slots = index.slots(ids)
            known = slots[slots >= 0]
            if len(known):
                noted = known[known < len(self._viewers.owners)]
                self._viewers.owners[noted] = _NOBODY  # before another prompt gets the slot
                self._viewers.visibilities[noted] = _PRIVATE
                index.delete(ids)
                self.unsaved += len(known)

    def save(self) -> None:
        """Write the index, so that the next process need not make it again; if that is
        impossible, it will have to."""
        index, saved = self._index, self.unsaved
        if index is None:
            return
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            index.save(self._folder)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._folder, error)
        else:
            self.unsaved -= saved

    def _load(self) -> None:
        """Begin with the index that was saved. Who may see what is always asked anew."""
        if not self._folder.exists():
            return
        try:
            self._index = VectorIndex.load(self._folder)
        except InvalidInput as error:
            logger.warning("%s is made anew: %s", self._folder, error)

    def _take(self, listed: Sequence[Listed]) -> None:
        """Bring these up to date."""
        self.drop([one.id for one in listed if not one.indexed])
        wanted = [one for one in listed if one.indexed]
        new = [one.id for one in wanted]
        if self._index is not None:
            known = self._index.slots(new) >= 0
            new = [one for one, there in zip(new, known, strict=True) if not there]
        vectors = self.vectors(new)
        with self._writing:
            if vectors:
                whole = np.stack(list(vectors.values()))
                if self._index is None:
                    self._index = VectorIndex(whole.shape[1])
                self._index.upsert(list(vectors), whole)
                self.unsaved += len(vectors)
            if self._index is not None:
                self._note(self._index, wanted)

    def _note(self, index: VectorIndex, listed: Sequence[Listed]) -> None:
        """Write down owners and visibilities; of what has no slot nothing."""
        self._viewers = self._viewers.grown(index.capacity)
        slots = index.slots([one.id for one in listed])
        there = slots >= 0
        owners = [self._codes.setdefault(one.owner, len(self._codes)) for one in listed]
        seen = [_VISIBILITIES.index(one.visibility) for one in listed]
        self._viewers.owners[slots[there]] = np.array(owners, np.int32)[there]
        self._viewers.visibilities[slots[there]] = np.array(seen, np.int8)[there]

    def _drop_others(self, kept: Collection[str]) -> None:
        index = self._index
        if index is None:
            return
        ids = (index.id_at(slot) for slot in range(index.capacity))
        gone = [one for one in ids if one is not None and one not in kept]
        if gone:
            self.drop(gone)

    # ---- vectors --------------------------------------------------------------------------

    def vector(self, prompt: Prompt) -> NDArray[np.float32]:
        """A prompt's vector [N], whether it is indexed or not. Raises NotFound, Unavailable or
        InvalidInput if it cannot be read or does not compare."""
        stored = self._vectors.read([prompt.id], self._indexed.vector)
        return stored[prompt.id] if stored else self._computed(prompt)

    def vector_of(self, tree: Tree) -> NDArray[np.float32]:
        """The vector [N] of a prompt's arrays. Raises InvalidInput if they do not compare."""
        return self._made(tree, self._start)

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Stored vectors, or computed and then stored; without those that cannot be had. All are of
        one length."""
        found = self._alike(self._vectors.read(ids, self._indexed.vector))
        missing = [one for one in ids if one not in found]
        for start in range(0, len(missing), _COMPUTED_AT_ONCE):
            made: dict[str, NDArray[np.float32]] = {}
            for one in missing[start : start + _COMPUTED_AT_ONCE]:
                try:
                    made[one] = self._computed(self._prompts.read(one))
                except PtsysError as error:
                    self._leave_out(one, error)
            self._vectors.write(made, self._indexed.vector)
            found |= made
        return self._alike(found)

    def _alike(self, vectors: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Those as long as what is in the index; before there is any, as most of them."""
        counts = collections.Counter(map(len, vectors.values()))
        if self._index is not None:
            length = self._index.dimension
        else:
            length = counts.most_common(1)[0][0] if counts else 0
        return {one: vector for one, vector in vectors.items() if len(vector) == length}

    def _computed(self, prompt: Prompt) -> NDArray[np.float32]:
        if self._kind is None:
            return self._fitting(domain_vector(self._prompts, prompt, self._indexed.vector))
        tree = whole_prompt(self._prompts, prompt)
        return self._made(tree, start_of(prompt, self._start))

    def _made(self, tree: Tree, start: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._kind is None:
            raise writes_prompts("prompt")
        return self._fitting(prompt_vector(self._kind.compared(tree, start), self._indexed.vector))

    def _fitting(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._index is not None and len(vector) != self._index.dimension:
            raise InvalidInput(
                "this prompt is wider or narrower than the others of its kind; search with one of "
                "this model",
                field="prompt",
            )
        return vector

    def _leave_out(self, identifier: str, error: PtsysError) -> None:
        if identifier not in self._unreadable:
            self._unreadable.add(identifier)
            level = logging.DEBUG if self._kind is None else logging.WARNING  # many have no domain
            logger.log(level, "prompt %s is left out of the library's index: %s", identifier, error)

    # ---- searching ------------------------------------------------------------------------

    def search(
        self,
        query: NDArray[np.float32],
        count: int,
        metric: Metric,
        viewer: Viewer,
        *,
        without: Sequence[str] = (),
        only: Sequence[str] | None = None,
    ) -> list[Hit]:
        """The nearest prompts to `query` [N] that the viewer may see, best first."""
        index = self._index
        if index is None:
            return []
        with index.steady():
            allowed = self._allowed(index, viewer)
            if only is not None:
                chosen = np.zeros_like(allowed)
                chosen[_noted(index, only, len(allowed))] = True
                allowed &= chosen
            allowed[_noted(index, without, len(allowed))] = False
            return index.search(query[None], count, metric, allowed=allowed)[0]

    def _allowed(self, index: VectorIndex, viewer: Viewer) -> NDArray[np.bool_]:
        owners, visibilities = self._viewers
        allowed = np.asarray(visibilities == _PUBLIC)
        code = self._codes.get(viewer.user)
        if code is not None:
            allowed |= owners == code
        shared = _noted(index, viewer.shared, len(allowed))
        allowed[shared[visibilities[shared] == _SHARED]] = True
        return allowed


def _noted(index: VectorIndex, ids: Sequence[str], count: int) -> NDArray[np.int64]:
    """The slots of these ids, of those that are there and below `count`."""
    slots = index.slots(ids)
    return slots[(slots >= 0) & (slots < count)]


class _Viewers(NamedTuple):
    """Who may see what is in a slot: the owner's code, and the place in `_VISIBILITIES`. Grown
    ones replace it whole, so that both have one length."""

    owners: NDArray[np.int32]
    visibilities: NDArray[np.int8]

    @classmethod
    def none(cls) -> _Viewers:
        return cls(np.zeros(0, np.int32), np.zeros(0, np.int8))

    def grown(self, length: int) -> _Viewers:
        more = length - len(self.owners)
        if more <= 0:
            return self
        return _Viewers(
            np.concatenate([self.owners, np.full(more, _NOBODY, np.int32)]),
            np.concatenate([self.visibilities, np.full(more, _PRIVATE, np.int8)]),
        )
