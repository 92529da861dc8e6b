"""What the file system's refusals mean: for good, for now, or no room. Users hear what it was about
and never where it lies; the operator reads that in the log."""

from __future__ import annotations

import errno
import logging
import os

from etils import epath

from ptsys.errors import Damaged, PtsysError, StorageFull, Unavailable

logger = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_PASSING = (
    _FULL
    | _FORBIDDEN
    | {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.EBUSY,
        errno.EINTR,
        errno.ENOTCONN,
    }
)
_PASSING_WORDS = (  # of TensorStore, which raises ValueError for all
    "RESOURCE_EXHAUSTED",
    "PERMISSION_DENIED",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    *(os.strerror(number) for number in sorted(_PASSING)),
)


def unwritable(what: str, path: epath.PathLike, error: BaseException) -> Unavailable:
    """The error that says that `what` could not be kept at `path`."""
    logger.error("%s cannot be written: %s", path, _first_line(error))
    if is_full(error):
        return StorageFull(
            f"{what} was not kept: the service's disk is full; try again when its operator has "
            "made room"
        )
    if getattr(error, "errno", None) in _FORBIDDEN:
        return Unavailable(f"{what} was not kept: the service may not write its data folder")
    return Unavailable(f"{what} was not kept: the service's data folder cannot be written")


def unreadable(what: str, path: epath.PathLike, error: BaseException, remedy: str) -> PtsysError:
    """The error that says that `what`, kept at `path`, cannot be read: Damaged, with the `remedy`,
    unless the same files may well be read later."""
    logger.error("%s cannot be read: %s", path, _first_line(error))
    if is_passing(error):
        return Unavailable(f"{what} cannot be read at present; try again soon")
    return Damaged(f"{what} is damaged; {remedy}")


def is_full(error: BaseException) -> bool:
    """Whether a disk, or somebody's share of it, is full."""
    number = getattr(error, "errno", None)
    return number in _FULL or (
        number is None and any(os.strerror(full) in str(error) for full in _FULL)
    )


def is_passing(error: BaseException) -> bool:
    """Whether the fault lies with the machine as it is now, and says nothing about the file."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _PASSING
    if isinstance(error, MemoryError):
        return True
    return any(word in str(error) for word in _PASSING_WORDS)


def _first_line(error: BaseException) -> str:
    if isinstance(error, TypeError):  # it may quote what the file holds
        return type(error).__name__
    return str(error).partition("\n")[0][:500]
