"""`/v1/datasets/generate`: a dataset made of a prompt's answers, to train later prompts on."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.disconnects import while_connected
from ptsys.api.generating import GenerateBody, wanted_inputs
from ptsys.api.json_bodies import documented_json, read_json
from ptsys.api.problems import documented
from ptsys.data.answered import answered, description
from ptsys.errors import Unavailable
from ptsys.types.generation import Generated
from ptsys.types.records import Prompt
from ptsys.types.requests import Prediction, PredictRequest
from ptsys.types.storage import ONE

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_AT_ONCE = 256  # rows of one question to a worker
_EXAMPLES: list[dict[str, Any]] = [
    {"name": "made", "prompt": "reviews", "inputs": ["a fine film", "dull"], "min_score": -0.5},
    {"name": "made", "prompt": "reviews", "dataset": "unlabelled"},
]


@router.post(
    "/generate",
    status_code=201,
    openapi_extra=documented_json("GenerateBody", _EXAMPLES),
    responses=documented(404, 408, 409, 413, 415, 429),
)
async def generate_dataset(
    request: Request,
    response: Response,
    caller: Caller,
    context: Shared,
) -> Generated:
    """Answer inputs with a stored prompt, and keep the answers as a dataset of yours.

    Answers that are empty, or less certain than `min_score`, are left out and counted; if none is
    left that is an error. The dataset tells which prompt made it to those who may see that prompt.
    The rows count as those of predictions.
    """
    body, user = await read_json(request, context, GenerateBody), caller.user
    prompt, inputs = await context.in_thread(_prepared, context, body, user)
    asked = _answers(context, body, prompt, inputs, user)
    answers = await while_connected(request, asked)
    made = await context.in_thread(_kept, context, body, prompt, inputs, answers, user)
    response.headers["Location"] = f"/v1/datasets/{made.dataset.id}"
    return made


def _prepared(context: Context, body: GenerateBody, user: str) -> tuple[Prompt, list[str]]:
    service = context.service
    prompt = service.prompts.get(body.prompt, user)
    if body.general is not None or prompt.general is not None:
        service.prompts.general_of(prompt, user, body.general)
    service.datasets.refuse_taken(body.name, user)
    service.storage.refuse_more(user, context.quota, ONE)
    inputs = wanted_inputs(context, body, user)
    context.limits(prompt.model).check_inputs(
        inputs,
        truncate=body.truncate,
        field="dataset" if body.inputs is None else "inputs",
        by_place=body.inputs is not None,
    )
    return prompt, inputs


async def _answers(
    context: Context, body: GenerateBody, prompt: Prompt, inputs: list[str], user: str
) -> list[Prediction]:
    """All answers in order. Raises Unavailable when the time of a request is over."""
    deadline = time.monotonic() + context.settings.request_seconds
    found: list[Prediction] = []
    most = min(_AT_ONCE, context.settings.max_request_rows)
    for start in range(0, len(inputs), most):
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"after {context.settings.request_seconds:g} s {len(found)} of {len(inputs)} "
                "inputs are answered; send fewer at a time"
            )
        asked = PredictRequest(
            model=prompt.model,
            prompt=prompt.id,
            general=body.general,
            inputs=tuple(inputs[start : start + most]),
            decoding=body.decoding,
        )
        told, _ = await context.ask(
            user,
            prompt.model,
            "predict",
            asked.model_dump(mode="json"),
            None,
            rows=len(asked.inputs),
        )
        found += [Prediction.model_validate(row) for row in told["predictions"]]
    return found


def _kept(
    context: Context,
    body: GenerateBody,
    prompt: Prompt,
    inputs: list[str],
    answers: list[Prediction],
    user: str,
) -> Generated:
    vocabulary = context.limits(prompt.model).vocabulary
    rows, left_out = answered(inputs, answers, vocabulary, body.min_score)
    stored = context.service.datasets.add(
        body.name,
        user,
        rows,
        description=body.description or description(len(inputs), left_out, body.min_score),
        visibility=body.visibility,
        shared_with=body.shared_with,
        generated_by=prompt.id,
        quota=context.quota,
    )
    return Generated(dataset=stored, asked=len(inputs), left_out=left_out)
