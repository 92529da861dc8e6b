"""One index of the library in this process: the vectors of one kind of one model's prompts, and
who may see them."""

from __future__ import annotations

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


class ModelIndex:
    """Vectors with their owners and visibilities, aligned by slot. Safe to share between
    threads."""

    def __init__(
        self,
        fingerprint: str,
        kind: VectorKind,
        vectors: PromptVectors,
        prompts: Prompts,
        root: epath.PathLike,
    ) -> None:
        """Nothing is read yet: `refresh`. Raises Unavailable if nobody knows where the model's
        prompts start."""
        self.fingerprint = fingerprint
        self._kind = kind
        self._vectors = vectors
        self._prompts = prompts
        self._start = read_start(root, fingerprint)
        self._folder = library_folder(root, fingerprint) / kind
        self._refreshing = threading.Lock()
        self._writing = threading.Lock()
        self._index = VectorIndex(self._start.shape[1])
        self._viewers = _Viewers.none()
        self._codes: dict[str, int] = {}  # users, as `_viewers` has them
        self._looked: datetime.datetime | None = None
        self._recent: dict[str, datetime.datetime] = {}  # what the overlap shows again
        self._unreadable: set[str] = set()
        self._audited = 0.0
        self.unsaved = 0

    def __len__(self) -> int:
        return len(self._index)

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
            listed = list(self._vectors.changed(self.fingerprint, since))
            self._take([one for one in listed if self._recent.get(one.id) != one.changed])
            if whole:
                self._drop_others({one.id for one in listed if one.indexed})
                self._audited = now
            self._looked = looked
            edge = looked - _OVERLAP
            self._recent = {one.id: one.changed for one in listed if one.changed > edge}

    def drop(self, ids: Sequence[str]) -> None:
        """Forget prompts that are gone."""
        with self._writing:
            slots = self._index.slots(ids)
            known = slots[slots >= 0]
            if len(known):
                noted = known[known < len(self._viewers.owners)]
                self._viewers.owners[noted] = _NOBODY  # before another prompt gets the slot
                self._viewers.visibilities[noted] = _PRIVATE
                self._index.delete(ids)
                self.unsaved += len(known)

    def save(self) -> None:
        """Write the index, so that the next process need not make it again; if that is
        impossible, it will have to."""
        saved = self.unsaved
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._index.save(self._folder)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._folder, error)
        else:
            self.unsaved -= saved

    def _load(self) -> None:
        """Begin with the index that was saved. Who may see what is always asked anew."""
        if not self._folder.exists():
            return
        try:
            index = VectorIndex.load(self._folder)
            if index.dimension != self._start.shape[1]:
                raise InvalidInput("it is of another model")
        except InvalidInput as error:
            logger.warning("%s is made anew: %s", self._folder, error)
            return
        self._index = index

    def _take(self, listed: Sequence[Listed]) -> None:
        """Bring these up to date."""
        self.drop([one.id for one in listed if not one.indexed])
        wanted = [one for one in listed if one.indexed]
        known = self._index.slots([one.id for one in wanted]) >= 0
        new = [one.id for one, there in zip(wanted, known, strict=True) if not there]
        vectors = self.vectors(new)
        with self._writing:
            if vectors:
                self._index.upsert(list(vectors), np.stack(list(vectors.values())))
                self.unsaved += len(vectors)
            self._note(wanted)

    def _note(self, listed: Sequence[Listed]) -> None:
        """Write down owners and visibilities; of what has no slot nothing."""
        self._viewers = self._viewers.grown(self._index.capacity)
        slots = self._index.slots([one.id for one in listed])
        there = slots >= 0
        owners = [self._codes.setdefault(one.owner, len(self._codes)) for one in listed]
        seen = [_VISIBILITIES.index(one.visibility) for one in listed]
        self._viewers.owners[slots[there]] = np.array(owners, np.int32)[there]
        self._viewers.visibilities[slots[there]] = np.array(seen, np.int8)[there]

    def _drop_others(self, kept: Collection[str]) -> None:
        ids = (self._index.id_at(slot) for slot in range(self._index.capacity))
        gone = [one for one in ids if one is not None and one not in kept]
        if gone:
            self.drop(gone)

    # ---- vectors --------------------------------------------------------------------------

    def vector(self, prompt: Prompt) -> NDArray[np.float32]:
        """A prompt's vector [D], whether it is indexed or not. Raises NotFound, Unavailable or
        InvalidInput if it cannot be read or does not compare."""
        stored = self._vectors.read([prompt.id], self._kind)
        return stored[prompt.id] if stored else self._computed(prompt)

    def vector_of(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vector [D] of a tensor [P, D]. Raises InvalidInput if it does not compare."""
        return prompt_vector(tensor, self._start, self._kind)

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Stored vectors, or computed and then stored; without those that cannot be had."""
        found = {
            one: vector
            for one, vector in self._vectors.read(ids, self._kind).items()
            if vector.shape == self._start.shape[1:]
        }
        missing = [one for one in ids if one not in found]
        for start in range(0, len(missing), _COMPUTED_AT_ONCE):
            made: dict[str, NDArray[np.float32]] = {}
            for one in missing[start : start + _COMPUTED_AT_ONCE]:
                try:
                    made[one] = self._computed(self._prompts.read(one))
                except PtsysError as error:
                    self._leave_out(one, error)
            self._vectors.write(made, self._kind)
            found |= made
        return found

    def _computed(self, prompt: Prompt) -> NDArray[np.float32]:
        tensor = whole_prompt(self._prompts, prompt)
        return prompt_vector(tensor, start_of(prompt, self._start), self._kind)

    def _leave_out(self, identifier: str, error: PtsysError) -> None:
        if identifier not in self._unreadable:
            self._unreadable.add(identifier)
            logger.warning("prompt %s is left out of the library's index: %s", identifier, error)

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
        """The nearest prompts to `query` [D] that the viewer may see, best first."""
        with self._index.steady():
            allowed = self._allowed(viewer)
            if only is not None:
                chosen = np.zeros_like(allowed)
                chosen[self._noted(only, len(allowed))] = True
                allowed &= chosen
            allowed[self._noted(without, len(allowed))] = False
            return self._index.search(query[None], count, metric, allowed=allowed)[0]

    def _allowed(self, viewer: Viewer) -> NDArray[np.bool_]:
        owners, visibilities = self._viewers
        allowed = np.asarray(visibilities == _PUBLIC)
        code = self._codes.get(viewer.user)
        if code is not None:
            allowed |= owners == code
        shared = self._noted(viewer.shared, len(allowed))
        allowed[shared[visibilities[shared] == _SHARED]] = True
        return allowed

    def _noted(self, ids: Sequence[str], count: int) -> NDArray[np.int64]:
        """The slots of these ids, of those that are there and below `count`."""
        slots = self._index.slots(ids)
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
