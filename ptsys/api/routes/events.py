"""`/v1/jobs/{job}/events`: what happens to a job, as server-sent events or as a page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.event_feed import Listener
from ptsys.api.forms import event_view
from ptsys.api.media_types import JSON, wishes
from ptsys.api.pages import Page
from ptsys.api.problems import Refused, documented
from ptsys.api.routes.jobs import JobId, seen_by
from ptsys.types.records import Event, JobState

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

STREAM = "text/event-stream"
_PAGE = 500
_LEAVING_SECONDS = 0.5  # so often a stream looks whether this process is to end
_KEEP_ALIVE_SECONDS = 15.0
_RETRY_MS = 2000
_LAST = 2**31 - 1  # the most that a database's integer holds
_EVENTS: dict[str, Any] = {
    "description": "Events numbered from 1. The stream ends with `event: end`.",
    "content": {
        STREAM: {
            "schema": {"type": "string"},
            "example": 'id: 2\nevent: progress\ndata: {"sequence": 2, "job": "job-0e6", '
            '"time": "2026-01-01T00:00:00Z", "kind": "progress", "data": {"step": 10, '
            '"loss": 1.2}}\n\n',
        },
        JSON: {"schema": {"$ref": "#/components/schemas/Page_Event_"}},
    },
}


@router.get(
    "/{job}/events",
    response_class=Response,
    responses={200: _EVENTS, **documented(404, 406, 429)},
)
async def get_events(
    request: Request,
    job: JobId,
    caller: Caller,
    context: Shared,
    after: Annotated[int, Query(ge=0, le=_LAST, description="Only later ones.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of a JSON page.")] = _PAGE,
    last: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=r"^[0-9]{1,9}$",
            description="What an EventSource sends on reconnecting: as `after`.",
        ),
    ] = None,
) -> Response:
    """Follow a job. With `Accept: application/json`, a page of what happened so far instead."""
    after = max(after, int(last or 0))
    user = seen_by(caller)
    if _wanted(request) == JSON:
        return JSONResponse(await _page(context, job, user, after, limit))
    await _call(context.service.get, job, user)  # a 404 must come before the stream begins
    ear = contextlib.ExitStack()
    listener = ear.enter_context(context.feed.listening(job, caller))
    return _Stream(_stream(context, listener, user, after), ear.close)


async def _page(context: Context, job: str, user: str | None, after: int, limit: int) -> Any:
    def found() -> list[Event]:
        events = context.service.events(job, user, after=after, limit=limit)
        return [_shown(context, event) for event in events]

    events = await _call(found)
    following = str(events[-1].sequence) if len(events) == limit else None
    return Page[Event](data=events, next=following).model_dump(mode="json")


class _Stream(StreamingResponse):
    """Events as they come; whatever ends it, nobody listens afterwards."""

    def __init__(self, content: AsyncIterator[str], leave: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type=STREAM, headers=headers)
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


async def _stream(
    context: Context, listener: Listener, user: str | None, after: int
) -> AsyncIterator[str]:
    """The events as they come. Ends when the job does, when the reader goes, when its key is
    revoked, or when this process is to end: the reader then goes on elsewhere."""
    yield f"retry: {_RETRY_MS}\n\n"
    spoke, job = time.monotonic(), listener.job
    state, events = await _call(_look, context, job, user, after)
    while True:
        for event in events:
            after = event.sequence
            data = _shown(context, event).model_dump_json()
            yield f"id: {after}\nevent: {event.kind}\ndata: {data}\n\n"
        if state.final and len(events) < _PAGE:
            yield f'event: end\ndata: {{"state": "{state.value}"}}\n\n'
            return
        if context.leaving.is_set():
            return
        if listener.revoked:
            yield ": the API key was revoked\n\n"
            return
        if events:
            spoke = time.monotonic()
        elif time.monotonic() - spoke > _KEEP_ALIVE_SECONDS:
            spoke = time.monotonic()
            yield ": keep-alive\n\n"
        events = []
        if await listener.wait(after, _LEAVING_SECONDS):
            told = listener.told(after)
            state, events = told or await _call(_look, context, job, user, after)


def _look(context: Context, job: str, user: str | None, after: int) -> tuple[JobState, list[Event]]:
    state = context.service.get(job, user).state  # first: no event follows the final one
    found = context.service.events(job, user, after=after, limit=_PAGE)
    return state, [_shown(context, event) for event in found]


def _shown(context: Context, event: Event) -> Event:
    return event_view(event, whole=context.owner is not None)


async def _call(function: Any, *arguments: Any) -> Any:
    return await anyio.to_thread.run_sync(function, *arguments)


def _wanted(request: Request) -> str:
    for wish in wishes(request.headers.get("accept", "*/*")) or ["*/*"]:
        if wish in ("*/*", "text/*", STREAM):
            return STREAM
        if wish in (JSON, "application/*"):
            return JSON
    raise Refused(406, f"events come as {STREAM} or {JSON}; ask for one in Accept")
