"""How long shapes took to compile, kept beside JAX's compilation cache, across processes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

FILE = "times.jsonl"
_MOST_BYTES = 2**20
_SHOWN = 20  # of a kind, the last ones


class CompileTimes:
    """Seconds by shape, of one sort of model: `model` tells those of equal programs.

    What JAX reads from its cache is not kept: it says nothing of how long compiling takes.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    def before(self, kind: str, shape: str) -> tuple[float, float] | None:
        """The least and most seconds that this shape took before; if it never was compiled, that
        others of its kind took. None if there were none."""
        of_kind = [line for line in _lines(_file()) if line.get("kind") == f"{self._model} {kind}"]
        same = [line for line in of_kind if line.get("shape") == shape]
        found = [float(line["seconds"]) for line in (same or of_kind)[-_SHOWN:]]
        return (min(found), max(found)) if found else None

    def add(self, kind: str, shape: str, seconds: float) -> None:
        """Remember it. What cannot be written is left out."""
        path = _file()
        if path is None:
            return
        line = {"kind": f"{self._model} {kind}", "shape": shape, "seconds": round(seconds, 2)}
        try:
            if path.exists() and path.stat().st_size > _MOST_BYTES:
                path.unlink()  # an estimate's source, no record: it begins anew
            with open(path, "ab") as file:
                os.write(file.fileno(), json.dumps(line).encode() + b"\n")  # whole, among others'
        except OSError:
            return


class CacheHits:
    """Whether JAX read programs from its cache, told by thread."""

    def __init__(self) -> None:
        self._seen = threading.local()
        jax.monitoring.register_event_listener(self._on_event)

    def forget(self) -> None:
        """Count from now on, in this thread."""
        self._seen.hit = False

    @property
    def hit(self) -> bool:
        """It did, in this thread."""
        return bool(getattr(self._seen, "hit", False))

    def _on_event(self, event: str, **_told: Any) -> None:
        if event == "/jax/compilation_cache/cache_hits":
            self._seen.hit = True


def _file() -> Path | None:
    folder: str | None = getattr(jax.config, "jax_compilation_cache_dir", None)
    return None if not folder else Path(folder) / FILE


def _lines(path: Path | None) -> Iterator[dict[str, Any]]:
    try:
        text = "" if path is None else path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            told = json.loads(line)
            float(told["seconds"])
        except (ValueError, TypeError, KeyError):
            continue  # torn
        yield told
