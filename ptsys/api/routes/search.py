"""`/v1/prompts/search`: the prompts that are near another, or that some words fit."""

from __future__ import annotations

import time
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.forms import JobView, job_view
from ptsys.api.json_bodies import documented_json, read_json
from ptsys.api.media_types import JSON
from ptsys.api.problems import documented
from ptsys.api.searching import SearchBody, SearchedFor, SearchQuery, SearchResults
from ptsys.api.written_queries import Written, writes, written
from ptsys.errors import Conflict, JobFailed
from ptsys.jobs.queries import query_prompt, trained
from ptsys.types.records import ApiKey, Job, Prompt

router = APIRouter(prefix="/v1/prompts", tags=["prompts"])

_FIRST_PAUSE, _LAST_PAUSE = 0.1, 1.0  # seconds between two looks at a query's job
_RETRY_SECONDS = 5
_EXAMPLES: list[dict[str, Any]] = [
    {"prompt": "reviews", "count": 5},
    {
        "examples": [{"input": "a fine film", "target": "positive"}],
        "min_accuracy": 0.8,
        "text": "sentiment",
    },
]
_UNDER_WAY: dict[int | str, dict[str, Any]] = {
    202: {
        "model": JobView,
        "description": "The prompt to search with is still being trained, by this job; send the "
        "same request again.",
        "headers": {
            "Location": {"description": "The job.", "schema": {"type": "string"}},
            "Retry-After": {
                "description": "Seconds to wait.",
                "schema": {"type": "integer", "minimum": 1},
            },
        },
    }
}


@router.get("/search", responses=documented(404))
def find_prompts(
    query: Annotated[SearchQuery, Query()], caller: Caller, context: Shared
) -> SearchResults:
    """Search the library by a stored prompt, by words, or by both. Only prompts that you may see
    are found; nothing else is counted or told."""
    query.refuse_nothing()
    prompt = None
    if query.prompt is not None:
        prompt = context.service.prompts.get(query.prompt, caller.user)
    return _results(context, query, prompt, caller.user)


@router.post(
    "/search",
    response_model=SearchResults,
    openapi_extra=documented_json("SearchBody", _EXAMPLES),
    responses={**_UNDER_WAY, **documented(404, 408, 409, 413, 415, 429)},
)
async def search_prompts(
    request: Request, caller: Caller, context: Shared
) -> SearchResults | Response:
    """Search the library by a stored prompt, by rows of a task, by words, or by words and one of
    the others.

    For rows a prompt is trained first, by a job that counts among yours; of the same rows it is
    there at once the next time. It is yours alone, tagged `query`, and never found. Or the
    model's own meta-prompt writes one in one pass, which is not kept: if it shall be `written`, and
    for meta-prompts (`prompt_kind` meta) wherever there is one.
    """
    body = await read_json(request, context, SearchBody)
    body.refuse_nothing(body.examples, body.dataset)
    query: Prompt | Job | Written | None
    if body.prompt is not None:
        query = await context.in_thread(context.service.prompts.get, body.prompt, caller.user)
    elif body.examples is None and body.dataset is None:
        query = None
    elif await context.in_thread(writes, context, body):
        query = await written(request, context, body, caller.user)
    else:
        query = await context.in_thread(_query, context, body, caller)
        query = await _waited(context, query)
    if isinstance(query, Job):
        headers = {"Location": f"/v1/jobs/{query.id}", "Retry-After": str(_RETRY_SECONDS)}
        shown = job_view(query, whole=context.owner is not None)
        return Response(shown.model_dump_json(), 202, headers, media_type=JSON)
    return await context.in_thread(_results, context, body, query, caller.user)


def _query(context: Context, body: SearchBody, caller: ApiKey) -> Prompt | Job:
    """The prompt of these rows, or the job that trains it."""
    service, settings, user = context.service, context.settings, caller.user
    rows = body.rows(settings.max_request_rows, settings.max_row_bytes)
    dataset = None
    if rows is None:
        dataset = service.datasets.get(body.dataset or "", user)
        rows = service.datasets.read(dataset.id)
    limits = context.limits(body.model or settings.model)
    return query_prompt(
        service,
        user,
        rows,
        limits,
        dataset=dataset,
        steps=body.steps,
        truncate=body.truncate,
        most_unfinished=settings.max_user_jobs,
        api_key=caller.id or None,
        quota=context.quota,
    )


async def _waited(context: Context, query: Prompt | Job) -> Prompt | Job:
    """The prompt once its job has ended; the job if that takes too long, or nobody is there to do
    it. No thread waits meanwhile. Raises Conflict if the job failed."""
    settings = context.settings
    deadline = time.monotonic() + min(settings.search_seconds, settings.request_seconds)
    pause = _FIRST_PAUSE
    while isinstance(query, Job) and not query.state.final:
        serving = await context.in_thread(context.ready_models)
        if time.monotonic() >= deadline or query.spec.model not in serving:
            return query
        await anyio.sleep(pause)
        pause = min(pause * 1.5, _LAST_PAUSE)
        query = await context.in_thread(context.service.get, query.id, query.owner)
    if isinstance(query, Prompt):
        return query
    try:
        return await context.in_thread(trained, context.service, query)
    except JobFailed as error:
        raise Conflict(str(error)) from None


def _results(
    context: Context, query: SearchQuery, near: Prompt | Written | None, user: str
) -> SearchResults:
    library, filters = context.service.library, query.filters
    if near is None:
        found = library.find(query.text, user, filters=filters, count=query.count)
    else:
        found = library.search(
            near if isinstance(near, Prompt) else near.prompt,
            user,
            fingerprint=near.model_fingerprint,
            metric=query.metric,
            kind=query.kind,
            count=query.count,
            filters=filters,
            text=query.text,
        )
    return SearchResults(
        results=found,
        query=SearchedFor(
            prompt=near.id if isinstance(near, Prompt) else None,
            text=query.text,
            metric=query.metric,
            kind=query.kind,
            count=query.count,
        ),
    )
