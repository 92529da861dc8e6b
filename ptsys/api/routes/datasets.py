"""`/v1/datasets`: examples that training jobs read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from ptsys.api.authentication import Caller
from ptsys.api.context import Shared
from ptsys.api.forms import (
    Called,
    NameQuery,
    OwnerQuery,
    Reference,
    SharesQuery,
    Sharing,
    VisibilityQuery,
)
from ptsys.api.media_types import media_type
from ptsys.api.pages import Before, Limit, Page, page
from ptsys.api.problems import Refused, documented
from ptsys.api.storing import refuse_declared
from ptsys.data.examples import read_examples
from ptsys.errors import InvalidInput
from ptsys.types.example import Example
from ptsys.types.records import Dataset
from ptsys.types.text import Text

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

LONGEST_LINE = 4 * 2**20  # bytes: far more than any model reads of a row
JSONL = "application/x-ndjson"
_KINDS = (JSONL, "application/jsonl", "application/x-jsonlines")
_EXAMPLE = (
    '{"input": "a fine film", "target": "positive"}\n{"input": "dull", "target": "negative"}\n'
)
_LINES = {"schema": {"type": "string", "description": "JSON lines."}, "example": _EXAMPLE}
ROWS_BODY = {JSONL: _LINES}


@router.post(
    "",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {JSONL: _LINES}}},
    responses=documented(408, 409, 413, 415),
)
async def add_dataset(
    request: Request,
    response: Response,
    caller: Caller,
    context: Shared,
    name: NameQuery,
    description: Annotated[Text | None, Query(max_length=2000)] = None,
    visibility: VisibilityQuery = "private",
    shared_with: SharesQuery = [],  # noqa: B006  # FastAPI copies it
) -> Dataset:
    """Store rows, one `{"input": …, "target": …}` a line. A dataset never changes afterwards.

    A row without a target trains by span corruption: pieces of its input are what is asked for.
    """
    check_kind(request)
    await refuse_declared(request, context, caller.user)
    data = await request.body()

    def add() -> Dataset:
        return context.service.datasets.add(
            name,
            caller.user,
            rows_in(data),
            description=description,
            visibility=visibility,
            shared_with=shared_with,
            quota=context.quota,
        )

    stored = await context.stored(len(data), add)
    response.headers["Location"] = f"/v1/datasets/{stored.id}"
    return stored


@router.get("", responses=documented())
def list_datasets(
    caller: Caller,
    context: Shared,
    owner: OwnerQuery = None,
    name: Called = None,
    limit: Limit = 100,
    before: Before = None,
) -> Page[Dataset]:
    """The datasets you may see, newest first."""

    def found(count: int, last: str | None) -> list[Dataset]:
        return context.service.datasets.list(
            caller.user, owner=owner, name=name, limit=count, before=last
        )

    return page(found, lambda dataset: dataset.id, limit, before)


@router.get("/{dataset}", responses=documented(404))
def get_dataset(dataset: Reference, caller: Caller, context: Shared) -> Dataset:
    """What is known of a dataset."""
    return context.service.datasets.get(dataset, caller.user)


@router.get(
    "/{dataset}/rows",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The rows, one a line.", "content": {JSONL: _LINES}},
        **documented(404),
    },
)
def get_rows(dataset: Reference, caller: Caller, context: Shared) -> StreamingResponse:
    """The rows of a dataset."""
    found = context.service.datasets.get(dataset, caller.user)
    rows = context.service.datasets.read(found.id)
    return StreamingResponse(_lines(rows), media_type=JSONL)


@router.patch("/{dataset}", responses=documented(404, 408, 413))
def share_dataset(dataset: Reference, changes: Sharing, caller: Caller, context: Shared) -> Dataset:
    """Change who may see a dataset of yours."""
    changed = context.service.datasets.share(
        dataset, caller.user, visibility=changes.visibility, shared_with=changes.shared_with
    )
    context.service.settle()
    return changed


@router.delete("/{dataset}", status_code=204, responses=documented(404, 409))
def delete_dataset(dataset: Reference, caller: Caller, context: Shared) -> None:
    """Delete a dataset of yours; refused while an unfinished job of yours needs it. Those of others
    end, and say why."""
    context.service.datasets.delete(dataset, caller.user)
    context.service.settle()


def check_kind(request: Request) -> None:
    """Raise Refused for a body that is no rows."""
    if media_type(request) not in _KINDS:
        raise Refused(415, f"send the rows as {JSONL}, and say so in Content-Type")


def rows_in(data: bytes) -> list[Example]:
    """The rows in a body. Raises InvalidInput with the number of the first wrong line."""
    return read_examples(_short_lines(data), require_target=False)


def _short_lines(data: bytes) -> Iterator[bytes]:
    """The lines one at a time, none of which takes long to parse."""
    for number, line in enumerate(io.BytesIO(data), start=1):
        if len(line) > LONGEST_LINE:
            raise InvalidInput(f"line {number} has more than {LONGEST_LINE} bytes; shorten the row")
        yield line


def _lines(rows: list[Example], size: int = 1000) -> Iterator[str]:
    for start in range(0, len(rows), size):
        yield "".join(row.to_json() + "\n" for row in rows[start : start + size])
