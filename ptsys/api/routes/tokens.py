"""`/v1/tokens`: how long texts are to a model."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import Field

from ptsys.api.authentication import Caller
from ptsys.api.context import Shared
from ptsys.api.forms import Text
from ptsys.api.problems import documented
from ptsys.errors import InvalidInput
from ptsys.types.model import Value

router = APIRouter(tags=["interactive"])


class TokensBody(Value):
    """Texts to count the tokens of."""

    model: str = Field(default="tiny", description="A frozen model's name.", max_length=100)
    texts: list[Text] = Field(min_length=1, examples=[["a fine film"]])


class Tokens(Value):
    """Each text's tokens, and the most that the model reads and writes; the end of row counts."""

    tokens: list[int]
    max_input_length: int
    max_target_length: int


@router.post("/v1/tokens", responses=documented(408, 413))
def count_tokens(
    body: Annotated[TokensBody, Body(examples=[{"texts": ["a fine film"]}])],
    caller: Caller,
    context: Shared,
) -> Tokens:
    """Count the tokens of some texts, as inputs and as targets, the end of row included.

    To score answers as `ptsys evaluate` and jobs do, answer greedily with `max_tokens` the longest
    target's, rounded up to a power of two (4 at least), or the model's limit if that is less.
    """
    settings = context.settings
    if len(body.texts) > settings.max_request_rows:
        raise InvalidInput(
            f"{len(body.texts)} texts; send at most {settings.max_request_rows} at a time",
            field="texts",
        )
    for place, text in enumerate(body.texts):
        if len(text.encode()) > settings.max_row_bytes:
            raise InvalidInput(
                f"the text has more than {settings.max_row_bytes} bytes; shorten it",
                field=f"texts.{place}",
            )
    limits = context.limits(body.model)
    return Tokens(
        tokens=[len(limits.vocabulary.encode(text)) + 1 for text in body.texts],
        max_input_length=limits.max_input_length,
        max_target_length=limits.max_target_length,
    )
