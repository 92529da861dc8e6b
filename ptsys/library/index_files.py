"""An index in a folder: one safetensors file, which appears whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.library.rows import Rows, checked

FILE = "vectors.safetensors"
_FORM = "ptsys vector index 1"


@dataclasses.dataclass(frozen=True)
class Saved:
    """What is written of an index."""

    ids: list[str]
    slots: NDArray[np.int64]
    vectors: NDArray[np.float32]
    capacity: int

    @classmethod
    def of(cls, rows: Rows) -> Saved:
        """A copy of the vectors there are."""
        slots = rows.live()
        ids = [rows.ids[slot] or "" for slot in slots.tolist()]
        return cls(ids, slots, rows.vectors[slots], rows.capacity)

    def rows(self) -> Rows:
        """The vectors in the slots they had."""
        rows = Rows(self.vectors.shape[1], self.capacity)
        rows.restore(self.ids, self.slots, self.vectors)
        return rows

    def write(self, folder: epath.Path) -> None:
        """Write beside, then rename over what was there."""
        tensors: dict[str, NDArray[Any]] = {
            "vectors": np.ascontiguousarray(self.vectors),
            "slots": self.slots,
            "ids": np.frombuffer(json.dumps(self.ids).encode(), np.uint8),
            "capacity": np.array([self.capacity], np.int64),
        }
        notes = {"form": _FORM, "check": str(_check(tensors))}
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{FILE}.{uuid.uuid4().hex}.part"
        try:
            part.write_bytes(safetensors.numpy.save(tensors, notes))
            part.replace(folder / FILE)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, folder: epath.Path) -> Saved:
        """Read and check. Raises InvalidInput where anything is missing or wrong."""
        try:
            content = (folder / FILE).read_bytes()
            length = int.from_bytes(content[:8], "little")
            notes = json.loads(content[8 : 8 + length]).get("__metadata__", {})
            if notes.get("form") != _FORM:
                raise ValueError("of another form")
            tensors = safetensors.numpy.load(content)
            if str(_check(tensors)) != notes.get("check"):
                raise ValueError("damaged")
            return cls._of(tensors)
        except FileNotFoundError:
            raise InvalidInput(
                f"{folder} holds no vector index; build it", field="folder"
            ) from None
        except (
            ValueError,
            KeyError,
            OSError,
            AttributeError,
            safetensors.SafetensorError,
        ) as error:
            raise InvalidInput(
                f"the vector index in {folder} cannot be read ({error}); build it anew",
                field="folder",
            ) from None

    @classmethod
    def _of(cls, tensors: Mapping[str, NDArray[Any]]) -> Saved:
        ids = json.loads(tensors["ids"].tobytes())
        slots, vectors = tensors["slots"], tensors["vectors"]
        [capacity] = tensors["capacity"].tolist()
        whole = len(ids) == len(slots) == len(vectors) == len(set(ids)) == len(np.unique(slots))
        if not whole or slots.min(initial=0) < 0 or slots.max(initial=-1) >= capacity:
            raise ValueError("its parts do not fit each other")
        return cls(ids, slots, checked(vectors, vectors.shape[1], "vectors"), capacity)


def _check(tensors: Mapping[str, NDArray[Any]]) -> int:
    """A checksum of all contents."""
    found = 0
    for name in sorted(tensors):
        found = zlib.crc32(np.ascontiguousarray(tensors[name]).data, found)
    return found
