"""`/v1/select`: a few examples chosen of many, and why each was."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.disconnects import while_connected
from ptsys.api.json_bodies import documented_json, read_json
from ptsys.api.media_types import JSON, wishes
from ptsys.api.problems import Refused, documented, told
from ptsys.api.selecting import SelectBody, Wanted, steps, wanted
from ptsys.errors import PtsysError
from ptsys.selection.picture import png
from ptsys.types.selection import Selection

router = APIRouter(tags=["interactive"])

PNG, STREAM = "image/png", "text/event-stream"
_FORMS = {JSON: JSON, PNG: PNG, STREAM: STREAM, "image/*": PNG, "text/*": STREAM}
_FORMS |= {"*/*": JSON, "application/*": JSON}
_EXAMPLES: list[dict[str, Any]] = [
    {"dataset": "reviews-train", "method": "kmeans", "count": 16},
    {"dataset": "reviews-train", "method": "margin", "count": 8, "prompt": "reviews"},
    {
        "rows": [
            {"input": "a fine film", "target": "positive"},
            {"input": "a dull film", "target": "negative"},
        ],
        "method": "contrastive",
        "count": 2,
    },
]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What was chosen, in the form that `Accept` names.",
        "content": {
            PNG: {"schema": {"type": "string", "format": "binary"}},
            STREAM: {
                "schema": {
                    "type": "string",
                    "description": "`event: progress` with rows that are read (`done`, of `total`) "
                    "again and again, then `event: selection`, or `event: problem`.",
                },
                "example": 'event: progress\ndata: {"done": 256, "total": 600}\n\n',
            },
        },
    }
}


@router.post(
    "/v1/select",
    response_model=Selection,
    openapi_extra=documented_json("SelectBody", _EXAMPLES),
    responses={**_ANSWERS, **documented(404, 406, 408, 413, 415, 429)},
)
async def select_examples(request: Request, caller: Caller, context: Shared) -> Response:
    """Choose examples of a dataset, or of rows that are sent: as a list with reasons, as a picture
    of the encodings, or as a stream that tells how far it is.

    Rows are read by the frozen model, behind a prompt if one is named, and count as those of
    predictions. The same rows and seed give the same choice. Nothing of the request is stored.
    """
    form = _form(request)
    body = await read_json(request, context, SelectBody)
    if form == PNG:
        body = body.model_copy(update={"places": True})
    known = await context.in_thread(wanted, context, body, caller.user)
    course = steps(context, known, caller.user)
    if form == STREAM:
        first = await while_connected(request, _next(course))  # what is wrong has its status then
        events = _events(request, context, known, first, course)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(events, media_type=STREAM, headers=headers)
    found = await while_connected(request, _last(course))
    if form == PNG:
        return Response(await context.drawn(png, found), media_type=PNG)
    return Response(found.model_dump_json(), media_type=JSON)


async def _next(course: AsyncIterator[int | Selection]) -> int | Selection:
    return await anext(course)


async def _last(course: AsyncIterator[int | Selection]) -> Selection:
    async for found in course:
        if isinstance(found, Selection):
            return found
    raise AssertionError("a choice ends with what was chosen")


async def _events(
    request: Request,
    context: Context,
    known: Wanted,
    first: int | Selection,
    course: AsyncIterator[int | Selection],
) -> AsyncIterator[str]:
    yield _event(first, known)
    try:
        async for found in course:
            yield _event(found, known)
    except PtsysError as error:
        number = str(request.scope.get("ptsys.request_id", ""))
        answer = told(number, error, whole=context.owner is not None)
        yield f"event: problem\ndata: {bytes(answer.body).decode()}\n\n"


def _event(found: int | Selection, known: Wanted) -> str:
    if isinstance(found, Selection):
        return f"event: selection\ndata: {found.model_dump_json()}\n\n"
    return f"event: progress\ndata: {json.dumps({'done': found, 'total': known.total})}\n\n"


def _form(request: Request) -> str:
    for wish in wishes(request.headers.get("accept", "*/*")) or [JSON]:
        if wish in _FORMS:
            return _FORMS[wish]
    raise Refused(406, f"a choice comes as {JSON}, {PNG} or {STREAM}; ask for one in Accept")
