"""The API key of whoever runs the service on their own machine."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ptsys.errors import Unauthenticated, Unavailable
from ptsys.store import trash
from ptsys.store.durable import write_whole

if TYPE_CHECKING:
    from ptsys.jobs.service import Service

_FILE = "api-key"
_NOTE = "made by `ptsys up`"


@dataclasses.dataclass(frozen=True)
class LocalKey:
    """The key, where the user's own copy of it lies, and whether it was just made."""

    path: Path
    secret: str = dataclasses.field(repr=False)
    new: bool


def local_key(service: Service, user: str) -> LocalKey:
    """The admin key beside the data, readable by its owner alone; made if there is none yet, or
    if the one there is unknown, was revoked or belongs to another user. That one goes to the trash:
    it may be the only copy of a key that somebody needs.

    Raises Unavailable if the file cannot be written.
    """
    path = service.settings.root / _FILE
    with contextlib.suppress(OSError, UnicodeDecodeError, Unauthenticated):
        secret = path.read_text().strip()
        if service.keys.authenticate(secret).user == user:
            return LocalKey(path, secret, new=False)
    _, secret = service.keys.create(user, role="admin", note=_NOTE)
    try:
        if path.exists():
            trash.discard(service.settings.root, path, service.clock().date())
        write_whole(path, f"{secret}\n".encode())
    except OSError as error:
        raise Unavailable(f"{path} cannot be written ({error.strerror})") from None
    return LocalKey(path, secret, new=True)
