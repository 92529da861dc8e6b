"""`ptsys doctor` on files: settings, the data directory, its disk, and models."""

from __future__ import annotations

import difflib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from ptsys.cli.examination import Finding, note, ok, wrong
from ptsys.config import Settings
from ptsys.errors import PtsysError

_ELSEWHERE = ("PTSYS_URL", "PTSYS_API_KEY")
_LEAST_BYTES, _FEW_BYTES = 2**30, 10 * 2**30
_SLOW_SYNC = 0.1  # seconds
_NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "fuse.gcsfuse",
    "fuse.s3fs",
    "fuse.sshfs",
    "9p",
    "lustre",
)


def examine_settings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that nobody reads."""
    known = {f"PTSYS_{name.upper()}" for name in Settings.model_fields} | set(_ELSEWHERE)
    strange = sorted(n for n in environment if n.startswith("PTSYS_") and n not in known)
    strange = [name for name in strange if not name.startswith("PTSYS_TEST_")]
    for name in strange:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "docs/reference/settings.md lists them"
        yield wrong("settings", f"{name} is set, and nothing reads it", hint)
    if not strange:
        told = sum(name.startswith("PTSYS_") for name in environment)
        yield ok("settings", f"{told} variables are set, all of them known")


def examine_root(settings: Settings) -> Iterator[Finding]:
    """The data directory: there, ours alone, writable, synced, with room."""
    root, about = settings.root, "data directory"
    if not root.is_dir():
        yield wrong(about, f"{root} is not there", "PTSYS_DATA_DIR, or `ptsys up` makes it")
        return
    found = root.stat()
    if found.st_uid != os.geteuid():
        mend = f"chown -R it to user {os.geteuid()}, or run as the user that the service runs as"
        yield note(about, f"{root} belongs to user {found.st_uid}", mend)
    if found.st_mode & 0o077:
        mode = oct(found.st_mode & 0o777)[2:]
        yield wrong(
            "permissions", f"others may look into {root} (mode {mode})", f"chmod 700 {root}"
        )
    else:
        yield ok("permissions", f"{root} is its owner's alone")
    try:
        seconds = _write_and_sync(root)
    except OSError as error:
        yield wrong(
            about, f"{root} cannot be written ({error.strerror})", "its owner, mount or room"
        )
    else:
        told = f"{root} is written and synced in {1000 * seconds:.0f} ms"
        slow = "a faster disk: every stored dataset and prompt waits for it"
        yield ok(about, told) if seconds < _SLOW_SYNC else note(about, told, slow)
    yield _room(root)
    yield from _file_system(settings)


def _write_and_sync(root: Path) -> float:
    """Write a file, sync, name and remove it; how long that took (seconds). Raises OSError."""
    draft, place = (root / f".doctor-{uuid.uuid4().hex}{end}" for end in (".draft", ""))
    since = time.perf_counter()
    try:
        with draft.open("wb") as file:
            file.write(os.urandom(65536))
            file.flush()
            os.fsync(file.fileno())
        content = draft.read_bytes()
        os.replace(draft, place)
        folder = os.open(root, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        if place.read_bytes() != content:
            raise OSError(0, "what was read is not what was written")
        return time.perf_counter() - since
    finally:
        draft.unlink(missing_ok=True)
        place.unlink(missing_ok=True)


def _room(root: Path) -> Finding:
    usage = shutil.disk_usage(root)
    told = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.0f} GiB are free"
    mend = "a larger volume; `ptsys datasets list` and `ptsys prompts list` tell what may go"
    if usage.free < _LEAST_BYTES:
        return wrong("disk", told, mend)
    return note("disk", told, mend) if usage.free < _FEW_BYTES else ok("disk", told)


def _file_system(settings: Settings) -> Iterator[Finding]:
    kind = file_system(settings.root)
    if kind not in _NETWORK:
        return
    if settings.database_url is None:
        yield wrong(
            "file system",
            f"{settings.root} lies on {kind}, and the database is SQLite in it",
            "PostgreSQL: PTSYS_DATABASE_URL. SQLite needs a local disk",
        )
    else:
        yield note("file system", f"{settings.root} lies on {kind}, which all hosts may share")


def file_system(path: Path, mounts: str | None = None) -> str:
    """The kind of file system on which that path lies, as `ext4`; empty if unknown."""
    try:
        lines = (mounts or Path("/proc/mounts").read_text()).splitlines()
    except OSError:
        return ""
    whole = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        _, place, this, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        inside = whole == place or whole.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best, kind = place, this
    return kind


def examine_models(settings: Settings) -> Iterator[Finding]:
    """The models' folders, and the one that is served."""
    from ptsys.jobs.limits import model_names, read_limits

    good = []
    for name in model_names(settings.root):
        try:
            read_limits(settings.root, name)
        except PtsysError as error:
            yield wrong("models", str(error), f"`ptsys models import … --name {name}` once more")
        else:
            good.append(name)
    if settings.model in good:
        yield ok("models", f"{', '.join(good)}; {settings.model} is served")
    else:
        mend = "`ptsys models import`, or PTSYS_MODEL names one that is there"
        yield wrong("models", f"{settings.model!r} is to be served, and is not there", mend)
