"""`/v1/datasets/check`: whether a model can read and write some rows, before they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.problems import documented
from ptsys.api.routes.datasets import ROWS_BODY, check_kind, rows_in
from ptsys.jobs.limits import ModelLimits
from ptsys.types.example import Example
from ptsys.types.fit import RowsFit, RowsUse
from ptsys.types.records import ApiKey
from ptsys.types.text import Text

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post(
    "/check",
    openapi_extra={"requestBody": {"content": ROWS_BODY}},
    responses=documented(404, 408, 413, 415),
)
async def check_rows(
    request: Request,
    caller: Caller,
    context: Shared,
    model: Annotated[
        Text | None, Query(max_length=100, description="Which is to read them.")
    ] = None,
    use: Annotated[RowsUse, Query(description="What they are for.")] = "train",
    dataset: Annotated[
        Text | None,
        Query(max_length=300, description="A stored one, in place of rows that are sent."),
    ] = None,
    max_input_length: Annotated[
        int | None, Query(ge=1, description="Tokens that a job reads of an input at most.")
    ] = None,
    truncate: Annotated[
        bool, Query(description="Cut inputs that are too long, instead of refusing them.")
    ] = False,
) -> RowsFit:
    """Check rows against a model, as a job or a prediction with them would, and keep nothing.

    Rows that do not fit are an error that names the first of them; what would not be read of the
    others is counted.
    """
    data: bytes | None = None
    if dataset is None:
        check_kind(request)
        data = await request.body()

    def checked() -> RowsFit:
        limits = context.limits(model or context.settings.model).reading(max_input_length)
        rows = _stored(context, dataset or "", caller) if data is None else rows_in(data)
        return _fit(rows, limits, use, truncate=truncate)

    return await context.stored(0 if data is None else len(data), checked)


def _stored(context: Context, dataset: str, caller: ApiKey) -> list[Example]:
    return context.service.datasets.read(context.service.datasets.get(dataset, caller.user).id)


def _fit(rows: Sequence[Example], limits: ModelLimits, use: RowsUse, *, truncate: bool) -> RowsFit:
    inputs = [row.input for row in rows]
    targets = [row.target for row in rows if row.target is not None and use != "answer"]
    if use == "answer":
        limits.check_inputs(inputs, truncate=truncate, field="input")
        notes = limits.notes(inputs)
    else:
        check = limits.check if use == "score" else limits.check_training
        check(rows, truncate=truncate)
        notes = limits.training_notes(rows)
    return RowsFit(
        rows=len(rows),
        without_target=sum(row.target is None for row in rows),
        cut_inputs=notes.cut,
        unknown_inputs=notes.unknown,
        read_tokens=limits.max_input_length,
        target_tokens=limits.target_tokens(targets) if targets else 0,
        max_target_length=limits.max_target_length,
    )
