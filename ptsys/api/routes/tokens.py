"""`/v1/tokens`: how long texts are to a model."""

from __future__ import annotations

from fastapi import APIRouter, Request

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.counting import Tokens, TokensBody
from ptsys.api.json_bodies import documented_json, read_json
from ptsys.api.problems import documented

router = APIRouter(tags=["interactive"])


@router.post(
    "/v1/tokens",
    openapi_extra=documented_json("TokensBody", [{"texts": ["a fine film"]}]),
    responses=documented(408, 413, 415),
)
async def count_tokens(request: Request, caller: Caller, context: Shared) -> Tokens:
    """Count the tokens of some texts, as inputs or as targets, the end of row included.

    To score answers as `ptsys evaluate` and jobs do, answer greedily with `max_tokens` the longest
    target's, rounded up to a power of two (4 at least), or the model's limit if that is less.
    """
    body = await read_json(request, context, TokensBody)
    return await context.in_thread(_counted, context, body)


def _counted(context: Context, body: TokensBody) -> Tokens:
    body.check(context.settings)
    return Tokens.of(body.texts, context.limits(body.model))
