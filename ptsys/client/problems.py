"""The service's problem details (RFC 9457) as the errors of `ptsys.errors`."""

from __future__ import annotations

from typing import Any

import httpx

from ptsys.client.retries import retry_after
from ptsys.errors import (
    Conflict,
    Damaged,
    Forbidden,
    InvalidInput,
    NotFound,
    PtsysError,
    QuotaExceeded,
    StorageFull,
    StorageUsedUp,
    Unauthenticated,
    Unavailable,
)

_KINDS: dict[int, type[PtsysError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Damaged,
    429: QuotaExceeded,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: StorageFull,
}
_INPUT = (400, 413, 415, 422)
_USED_UP = "urn:ptsys:problem:storage-used-up"
_SHOWN = 200  # characters of an answer that is no problem


def error_of(response: httpx.Response) -> PtsysError:
    """The error that an answer of status 400 or more tells of.

    `InvalidInput.field` names the first wrong field and `QuotaExceeded.retry_after` the seconds
    to wait; a note tells the request's id, by which the operator finds it in the log.
    """
    problem = _problem(response)
    message = _message(response, problem)
    error = _made(response, problem, message)
    number = problem.get("request_id") or response.headers.get("X-Request-ID")
    if number:
        error.add_note(f"request {number}")
    return error


def _made(response: httpx.Response, problem: dict[str, Any], message: str) -> PtsysError:
    status = response.status_code
    if status == 507 and problem.get("type") == _USED_UP:
        return StorageUsedUp(message)
    if status in _INPUT:
        field = problem.get("field")
        return InvalidInput(message, field=field if isinstance(field, str) else None)
    if status == 429:
        seconds = retry_after(response)
        return QuotaExceeded(message, retry_after=1.0 if seconds is None else seconds)
    return _KINDS.get(status, PtsysError)(message)


def _problem(response: httpx.Response) -> dict[str, Any]:
    """The answer's problem, or nothing if it is of another kind, as a proxy's error page."""
    if "json" not in response.headers.get("Content-Type", ""):
        return {}
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _message(response: httpx.Response, problem: dict[str, Any]) -> str:
    for key in ("detail", "title"):
        text = problem.get(key)
        if isinstance(text, str) and text:
            return text
    page = " ".join(response.text.split())[:_SHOWN]
    said = f": {page}" if page else ""
    return f"{response.url.host} answered {response.status_code} {response.reason_phrase}{said}"
