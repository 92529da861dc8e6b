"""`/v1/predict`: answers of the frozen model with a prompt before the input."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from ptsys.api.authentication import Caller
from ptsys.api.context import Shared
from ptsys.api.disconnects import while_connected
from ptsys.api.problems import documented
from ptsys.api.questions import (
    Answer,
    PredictBody,
    Predictions,
    documented_body,
    header,
    read_question,
)
from ptsys.api.tensors import number

router = APIRouter(tags=["interactive"])

_BODY = documented_body(
    "PredictBody",
    {
        "model": "tiny",
        "prompt": None,
        "inputs": ["a fine film"],
        "decoding": {"labels": ["positive", "negative"]},
    },
)


@router.post(
    "/v1/predict",
    openapi_extra=_BODY,
    responses=documented(404, 408, 413, 415, 429),
)
async def predict(request: Request, caller: Caller, context: Shared) -> Predictions:
    """Answer some rows, or score the labels in `decoding.labels`.

    The prompt is stored, sent along, or none: the bare model. A task-specific prompt is combined
    with its general one, or with that named `general`. Several stored prompts of one task are asked
    in one pass, and their answers made one (`ensemble`). With `examples` the meta-prompt `meta`
    writes the prompt from these first. Nothing of the request is stored or
    logged.
    """
    body, tensor = await read_question(request, context, PredictBody)
    asked = context.ask(caller.user, body.model, "predict", header(body), tensor, rows=body.rows)
    answer, _ = await while_connected(request, asked)
    return Predictions(
        predictions=[_row(row) for row in answer["predictions"]],
        cut_inputs=answer.get("cut_inputs", 0),
        unknown_inputs=answer.get("unknown_inputs", 0),
    )


def _row(row: dict[str, Any]) -> Answer:
    scores = row.get("label_scores")
    return Answer(
        prediction=row["prediction"],
        score=number(row["score"]),
        label_scores=scores and {label: number(score) for label, score in scores.items()},
    )
