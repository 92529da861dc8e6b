"""What an error looks like: RFC 9457 problem details that name the field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

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
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from ptsys.store.faults import is_full, unwritable
from ptsys.types.public_text import public_text
from ptsys.types.text import shown

MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = 5
_MOST_WRONG_FIELDS = 20
_LONGEST_DETAIL, _LONGEST_FIELD = 2000, 200  # letters

_SLUGS = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "slow-body",
    409: "conflict",
    410: "damaged",
    413: "too-large",
    415: "unsupported-media-type",
    421: "misdirected",
    422: "invalid-input",
    429: "quota-exceeded",
    500: "internal",
    503: "unavailable",
    507: "storage-full",
}
_TITLES = {
    401: "No valid API key",
    403: "Not yours to do",
    404: "No such thing, or not yours to see",
    405: "The path does not know this method",
    406: "The answer has no such form",
    408: "The body came too slowly",
    409: "The present state forbids it",
    410: "What is stored is damaged, for good",
    413: "The body is too large",
    415: "The body has another content type than those the path takes",
    421: "No such host here",
    422: "The request is wrong; `field` says where",
    429: "Your share is used up for now",
    500: "The service failed",
    503: "A part of the service is away for now",
    507: "The service's disk is full",
}
_USED_UP = ("storage-used-up", "What you store is as much as you may")
_STATUSES: tuple[tuple[type[PtsysError], int], ...] = (
    (TooLarge, 413),
    (InvalidInput, 422),
    (NotFound, 404),
    (Conflict, 409),
    (Damaged, 410),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (QuotaExceeded, 429),
    (StorageFull, 507),
    (StorageUsedUp, 507),
    (Unavailable, 503),
)


class WrongField(BaseModel):
    """One of several faults."""

    field: str | None = Field(description="Dotted, as `optimizer.learning_rate` or `inputs.3`.")
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="`urn:ptsys:problem:` and the kind of error.")
    title: str
    status: int
    detail: str = Field(description="What is wrong and how to mend it.")
    field: str | None = Field(default=None, description="The first wrong field.")
    errors: list[WrongField] = []
    request_id: str = Field(description="As in the header X-Request-ID.")


class Refused(HTTPException):
    """An error that HTTP alone knows, such as a body of a wrong type."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.field = field
        self.retry_after = retry_after


def problem(
    request_id: str,
    status: int,
    detail: str,
    *,
    field: str | None = None,
    errors: Sequence[WrongField] = (),
    retry_after: float | None = None,
    kind: tuple[str, str] | None = None,
) -> JSONResponse:
    """The answer that tells this error. Whatever of it a user sent can be told: the one place
    where it is escaped. `kind` is slug and title, where the status has others."""
    detail = shown(detail, _LONGEST_DETAIL)
    field = None if field is None else shown(field, _LONGEST_FIELD)
    wrong = list(errors) or ([WrongField(field=field, detail=detail)] if field else [])
    wrong = [
        WrongField(
            field=None if one.field is None else shown(one.field, _LONGEST_FIELD),
            detail=shown(one.detail, _LONGEST_DETAIL),
        )
        for one in wrong
    ]
    usual = (_SLUGS.get(status, "refused"), _TITLES.get(status, "The request was refused"))
    slug, title = kind or usual
    body = Problem(
        type=f"urn:ptsys:problem:{slug}",
        title=title,
        status=status,
        detail=detail,
        field=field,
        errors=wrong,
        request_id=request_id,
    )
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return JSONResponse(body.model_dump(), status, headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These errors, and those that every path has, for a route's `responses`."""
    return {
        status: _documentation(status) for status in sorted({401, 410, 422, 503, 507, *statuses})
    }


def add_handlers(app: FastAPI) -> None:
    """Teach the application to answer errors so."""
    app.add_exception_handler(PtsysError, _on_own)
    app.add_exception_handler(OSError, _on_files)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)


def told(request_id: str, error: Exception, *, whole: bool = False) -> JSONResponse:
    """The answer that tells an error which was raised on purpose; `whole`, with its paths."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    wait: float | None = None
    if isinstance(error, QuotaExceeded):
        wait = error.retry_after
    elif isinstance(error, Unavailable):
        wait = _RETRY_SECONDS
    field = error.field if isinstance(error, InvalidInput) else None
    used_up = isinstance(error, StorageUsedUp)
    return problem(
        request_id,
        status,
        str(error) if whole else public_text(error),
        field=field,
        retry_after=wait,
        kind=_USED_UP if used_up else None,
    )


def _on_own(request: Request, error: Exception) -> Response:
    whole = request.app.state.context.owner is not None
    return told(_id(request), error, whole=whole)


def _on_files(request: Request, error: Exception) -> Response:
    """The service's own files could not be read or written, where nobody foresaw it."""
    assert isinstance(error, OSError)
    if error.filename is None and not is_full(error):
        raise error  # no file's fault
    return _on_own(request, unwritable("what was asked for", error.filename or "", error))


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = error if isinstance(error, Refused) else Refused(error.status_code, "")
    status, detail = error.status_code, str(error.detail)
    if status == 400:  # how FastAPI tells of bytes that are no JSON in UTF-8
        status, detail = 422, "the body cannot be read; send JSON in UTF-8"
    response = problem(
        _id(request), status, detail, field=refused.field, retry_after=refused.retry_after
    )
    response.headers.update(error.headers or {})
    return response


def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = wrong_fields(error.errors(), skip=1)
    first = wrong[0]
    detail = f"{first.field}: {first.detail}" if first.field else first.detail
    return problem(_id(request), 422, detail, field=first.field, errors=wrong)


def wrong_fields(errors: Sequence[Any], *, skip: int = 0) -> list[WrongField]:
    """Pydantic's errors, without the values that were sent: those are the user's alone."""
    return [
        WrongField(
            field=".".join(str(part)[:60] for part in error["loc"][skip:])[:200] or None,
            detail=str(error["msg"]).removeprefix("Value error, ")[:500],
        )
        for error in errors[:_MOST_WRONG_FIELDS]
    ] or [WrongField(field=None, detail="the request is wrong")]


def _id(request: Request) -> str:
    return str(request.scope.get("ptsys.request_id", ""))


def _documentation(status: int) -> dict[str, Any]:
    example = {
        "type": f"urn:ptsys:problem:{_SLUGS[status]}",
        "title": _TITLES[status],
        "status": status,
        "detail": "what is wrong and how to mend it",
        "field": "name" if status == 422 else None,
        "errors": [{"field": "name", "detail": "what is wrong"}] if status == 422 else [],
        "request_id": "3f8a1c0d9b7e4f52",
    }
    known: dict[str, Any] = {
        "description": _TITLES[status],
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        },
    }
    if status in (429, 503, 507):
        known["headers"] = {
            "Retry-After": {
                "description": "Seconds to wait.",
                "schema": {"type": "integer", "minimum": 1},
            }
        }
    return known
