"""What compilers told, remembered under everything that it depends on."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import uuid
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from ptsys.plan.case import Case
from ptsys.plan.compiling import Compiled

_PACKAGE = Path(__file__).resolve().parents[1]
_DECIDING = (  # files that a program, and what is read out of it, are made of
    *(f"{room}/**/*.py" for room in ("kinds", "models", "prompts", "passes", "sharding")),
    *(f"plan/{name}.py" for name in ("buffers", "case", "collectives", "compiler", "hlo", "step")),
)


class Cache:
    """Answers in a folder, one file each, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def through(self, compile_: Callable[[Case], Compiled], case: Case) -> Compiled:
        """What is known of the case, else what `compile_` tells of it."""
        path = self._folder / f"{_key(case)}.json"
        try:
            return Compiled.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):  # none, or of another version
            pass
        found = compile_(case)
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        part.write_text(json.dumps(found.to_dict()), encoding="utf-8")
        os.replace(part, path)
        return found


def deciding_files() -> list[Path]:
    """The files whose text an answer depends on."""
    return sorted({path for pattern in _DECIDING for path in _PACKAGE.glob(pattern)})


def _key(case: Case) -> str:
    told = json.dumps([case.to_dict(), _versions()], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


@functools.cache
def _versions() -> dict[str, str]:
    """Of the compiler and of our own code, the latter by its text."""
    digest = hashlib.sha256()
    for file in deciding_files():
        digest.update(str(file.relative_to(_PACKAGE)).encode() + b"\0" + file.read_bytes())
    return {"code": digest.hexdigest()} | {name: version(name) for name in ("jax", "libtpu")}
