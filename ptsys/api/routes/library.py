"""What the library as a whole tells: rankings, a map, and how difficult tasks are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.forms import Reference
from ptsys.api.media_types import JSON, wishes
from ptsys.api.problems import Refused, documented
from ptsys.library.difficulty import difficulty
from ptsys.library.map import prompt_map
from ptsys.library.map_html import page
from ptsys.library.map_png import png
from ptsys.library.utility import Rankings
from ptsys.types.library import DEFAULT_KIND, Filters, VectorKind
from ptsys.types.map import ColorBy, PromptMap
from ptsys.types.ranking import (
    MOST_RANKED,
    Difficulty,
    RankedPrompt,
    RankedSubmitter,
    RankedThing,
)
from ptsys.types.text import Text

router = APIRouter(prefix="/v1/prompts", tags=["prompts"])

PNG, HTML = "image/png", "text/html"
_FORMS = {JSON: JSON, PNG: PNG, HTML: HTML, "image/*": PNG, "text/*": HTML}
_FORMS |= {"*/*": JSON, "application/*": JSON}
_PAGE_POLICY = {  # plotly's script stands in the page: it gets an origin of its own, no network
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:"
}
_DRAWN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The map, in the form that `Accept` names.",
        "content": {
            PNG: {"schema": {"type": "string", "format": "binary"}},
            HTML: {"schema": {"type": "string", "description": "A page that needs no network."}},
        },
    }
}

ModelQuery = Annotated[Text | None, Query(max_length=100, description="Only this model's.")]


class PromptRanking(BaseModel):
    """The most useful prompts, best first."""

    by: Literal["prompt"] = "prompt"
    ranking: list[RankedPrompt]


class SubmitterRanking(BaseModel):
    """Those whose prompts are the most useful, best first."""

    by: Literal["submitter"] = "submitter"
    ranking: list[RankedSubmitter]


Ranking = Annotated[PromptRanking | SubmitterRanking, Field(discriminator="by")]


@router.get("/ranking", response_model=Ranking, responses=documented())
def rank_prompts(
    caller: Caller,
    context: Shared,
    by: RankedThing = "prompt",
    model: ModelQuery = None,
    count: Annotated[int, Query(ge=1, le=MOST_RANKED, description="Most places.")] = 10,
) -> PromptRanking | SubmitterRanking:
    """The most useful prompts, or those who share them: by how much they are used, and by what
    those who built on them gained. Only what you may see counts."""
    rankings, filters = Rankings(context.service.database), Filters(model=model)
    if by == "prompt":
        return PromptRanking(ranking=rankings.prompts(caller.user, filters=filters, count=count))
    found = rankings.submitters(caller.user, filters=filters, count=count)
    return SubmitterRanking(ranking=found)


@router.get("/map", response_model=PromptMap, responses={**_DRAWN, **documented(406)})
async def map_prompts(
    request: Request,
    caller: Caller,
    context: Shared,
    model: Annotated[Text | None, Query(max_length=100, description="Whose prompts.")] = None,
    kind: VectorKind = DEFAULT_KIND,
    color_by: Annotated[ColorBy, Query(description="For a picture or a page.")] = "tag",
) -> Response:
    """A map of a model's prompts that you may see, those alike near each other: as coordinates, as
    a picture, or as a page to move about in. One map is made at a time; thousands of prompts take a
    minute."""
    form = _form(request)
    made = await context.drawn(_drawn, context, model, caller.user, kind, color_by, form)
    return Response(made, media_type=form, headers=_PAGE_POLICY if form == HTML else None)


@router.get("/{prompt}/difficulty", responses=documented(404))
def get_difficulty(prompt: Reference, caller: Caller, context: Shared) -> Difficulty:
    """How difficult a prompt's task is, from 0 to 1: by its score, the rows and updates it took,
    and by how prompts nearby do. What you may not see counts for nothing."""
    service = context.service
    found = service.prompts.get(prompt, caller.user)
    return difficulty(service.library, service.datasets, found, caller.user)


def _form(request: Request) -> str:
    wanted = wishes(request.headers.get("accept", "*/*"))
    for wish in wanted or [JSON]:
        if wish in _FORMS:
            return _FORMS[wish]
    raise Refused(406, f"the map comes as {JSON}, {PNG} or {HTML}; ask for one in Accept")


def _drawn(
    context: Context, model: str | None, user: str, kind: VectorKind, color_by: ColorBy, form: str
) -> str | bytes:
    limits = context.shape(model or context.settings.model)
    library = context.service.library
    made = prompt_map(library, limits.model, limits.fingerprint, user, kind=kind)
    if form == PNG:
        return png(made, color_by)
    return page(made, color_by) if form == HTML else made.model_dump_json()
