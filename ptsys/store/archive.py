"""A backup's file: a tar with a header first, and last a manifest of sizes and SHA-256.

What the manifest does not name counts for nothing: a backup that was cut off has none.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ptsys.errors import InvalidInput
from ptsys.store.durable import make_folder

HEADER, MANIFEST = "ptsys-backup.json", "manifest.json"
FORMAT = 1
_CHUNK = 2**20
_NAME = re.compile(r"(database|datasets|prompts|jobs|models)(/[^/\0]+)+")


class Writer:
    """A backup on its way."""

    def __init__(self, file: IO[bytes], header: dict[str, Any]) -> None:
        """Begin it with a header."""
        self._tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)
        self._files: dict[str, tuple[int, str]] = {}
        self._add_text(HEADER, {"format": FORMAT, **header})

    @property
    def size(self) -> int:
        """Bytes of all files so far."""
        return sum(size for size, _ in self._files.values())

    def add(self, name: str, path: Path) -> None:
        """Add a file that does not change. Raises FileNotFoundError, then nothing was added."""
        with path.open("rb") as file:
            info = tarfile.TarInfo(name)
            info.size, info.mode = os.fstat(file.fileno()).st_size, 0o600
            hashing = _Hashing(file)
            self._tar.addfile(info, hashing)
        self._files[name] = (info.size, hashing.sha256.hexdigest())

    def add_folder(self, name: str, folder: Path, stays: Callable[[], bool] = lambda: True) -> bool:
        """Add all files of a folder; False, and none of them counts, if it goes meanwhile. Files
        go one by one, and what is left looks like a folder: `stays` says, once all are copied,
        whether nobody has begun to remove it."""
        added = []
        try:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            for path in files:
                inner = f"{name}/{path.relative_to(folder).as_posix()}"
                self.add(inner, path)
                added.append(inner)
            same = files == sorted(path for path in folder.rglob("*") if path.is_file())
            if files and same and stays():
                return True
        except FileNotFoundError:
            pass
        for inner in added:
            del self._files[inner]
        return False

    def finish(self, **told: Any) -> None:
        """End it with the manifest."""
        self._add_text(MANIFEST, {"files": self._files, **told})
        self._tar.close()

    def _add_text(self, name: str, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o600
        self._tar.addfile(info, io.BytesIO(content))


def read_archive(
    path: Path, into: Path | None, check: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and manifest of a backup, whose files are written below `into` if that is given.
    `check` looks at the header before anything is written.

    Raises InvalidInput if it is none, damaged or cut off.
    """
    found: dict[str, tuple[int, str]] = {}
    manifest: dict[str, Any] | None = None
    header: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                file = tar.extractfile(info)
                if file is None:
                    raise ValueError(f"{info.name} is no file")
                if not header:
                    header = _header(info.name, file)
                    check(header)
                elif info.name == MANIFEST:
                    manifest = json.load(file)
                else:
                    found[info.name] = _copied(info.name, file, into)
        files = {name: tuple(told) for name, told in (manifest or {})["files"].items()}
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {path}", field="file") from None
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
        raise InvalidInput(
            f"{path} is damaged, cut off or no backup ({error})", field="file"
        ) from (None)
    wrong = [name for name, told in files.items() if found.get(name) != told]
    if wrong:
        raise InvalidInput(
            f"{path} is damaged: {len(wrong)} of {len(files)} files are not as they were written, "
            f"{wrong[0]} among them; take another backup",
            field="file",
        )
    for name in found.keys() - files.keys():
        if into is not None:
            (into / name).unlink()
    return header, manifest or {}


def _header(name: str, file: IO[bytes]) -> dict[str, Any]:
    if name != HEADER:
        raise ValueError("it begins with another file")
    header: dict[str, Any] = json.load(file)
    if header.get("format") != FORMAT:
        raise ValueError("it is of another format; upgrade ptsys")
    return header


def _copied(name: str, file: IO[bytes], into: Path | None) -> tuple[int, str]:
    if not _NAME.fullmatch(name) or ".." in name.split("/"):
        raise ValueError(f"it holds {name!r}")
    hashing = _Hashing(file)
    if into is None:
        while hashing.read(_CHUNK):
            pass
    else:
        target = into / name
        make_folder(target.parent)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            while chunk := hashing.read(_CHUNK):
                out.write(chunk)
    return hashing.size, hashing.sha256.hexdigest()


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """Some bytes."""
        chunk = self._file.read(size)
        self.sha256.update(chunk)
        self.size += len(chunk)
        return chunk
