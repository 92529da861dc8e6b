"""Every error ptsys raises on purpose, under one root.

PtsysError
├── InvalidInput        the caller's data or arguments are wrong; names the field and the fix
│   └── TooLarge        so large that it will never fit
├── NotFound            no such model, prompt, dataset or job (or not the caller's to see)
├── Conflict            the name is taken, or the state forbids it
├── Damaged             what is stored is damaged for good: to be made or brought in again
├── Unavailable         no worker, queue or database answered in time
│   ├── StorageFull         the service's disk is full
│   └── WrongDeployment     database and data folder do not belong together; says how to go on
├── Unauthenticated     no API key came with the request, or one that is unknown or revoked
├── Forbidden           the caller is known, and may not do this
├── StorageUsedUp       what the caller stores is as much as is allowed, or more
├── QuotaExceeded       the caller's share is used up for now; says when to come back
├── JobFailed           a job ended in failure; its one-line reason is the message
├── JobCancelled        a job was cancelled
└── LeaseLost           this worker no longer owns the job it was running
"""

from __future__ import annotations


class PtsysError(Exception):
    """Root of all errors raised by ptsys on purpose.

    `public` is what users of the service are told in place of a message that speaks of its insides:
    its folders, its database.
    """

    public: str | None = None


class InvalidInput(PtsysError):
    """The caller's data is wrong. `field` names what, the message says why and how to mend it."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class TooLarge(InvalidInput):
    """The caller's data is larger than anything that would be kept."""


class NotFound(PtsysError):
    """No such thing, or not the caller's to see."""


class Conflict(PtsysError):
    """The name is taken or the present state forbids the request."""


class Damaged(PtsysError):
    """What is stored is damaged or gone, for good: asking again changes nothing."""


class Unavailable(PtsysError):
    """A part of the service did not answer in time."""


class StorageFull(Unavailable):
    """The service's disk is full; what was asked for was not kept."""


class WrongDeployment(Unavailable):
    """Database and data folder do not belong together, so nothing may be done with either."""

    public = "the service's database and its data folder do not belong together; tell its operator"


class Unauthenticated(PtsysError):
    """No API key came with the request, or one that is unknown or revoked."""


class Forbidden(PtsysError):
    """The caller is known, and may not do this."""


class StorageUsedUp(PtsysError):
    """What the caller stores is as much as is allowed, or more: something has to go first."""


class QuotaExceeded(PtsysError):
    """The caller's share is used up for now; `retry_after` says for how many seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class JobFailed(PtsysError):
    """A job ended in failure; the message is its one-line reason."""


class JobCancelled(PtsysError):
    """A job was cancelled before it ended."""


class LeaseLost(PtsysError):
    """Another worker owns the job now; this one must stop and write nothing."""


class RowsWarning(UserWarning):
    """Something of a call's rows is not read; it is done all the same."""
