"""The API key of whoever runs the service on their own machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ptsys.errors import Unauthenticated, Unavailable

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
    if the one there was revoked or belongs to another user.

    Raises Unavailable if the file cannot be written.
    """
    path = service.settings.root / _FILE
    with contextlib.suppress(OSError, UnicodeDecodeError, Unauthenticated):
        secret = path.read_text().strip()
        if service.keys.authenticate(secret).user == user:
            return LocalKey(path, secret, new=False)
    _, secret = service.keys.create(user, role="admin", note=_NOTE)
    draft = path.with_name(f".{_FILE}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{secret}\n")
        draft.replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written ({error.strerror})") from None
    return LocalKey(path, secret, new=True)
