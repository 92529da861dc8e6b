"""`/v1/gradients`: the frozen model's part in a training loop that the user keeps."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from ptsys.api.authentication import Caller
from ptsys.api.context import Shared
from ptsys.api.disconnects import while_connected
from ptsys.api.media_types import JSON, SAFETENSORS, Kind, accepted, content_type
from ptsys.api.problems import Refused, documented
from ptsys.api.questions import (
    KINDS,
    SMALL_BYTES,
    Gradients,
    GradientsBody,
    documented_body,
    header,
    read_question,
)
from ptsys.api.tensors import number, to_rows
from ptsys.prompts.safetensors_format import annotated, decode_tree

router = APIRouter(tags=["interactive"])

_BODY = documented_body(
    "GradientsBody",
    {
        "model": "tiny",
        "prompt": "reviews",
        "inputs": ["a fine film"],
        "targets": ["positive"],
    },
)
_ANSWER: dict[str, Any] = {
    "description": "The loss and its gradient.",
    "content": {
        JSON: {"schema": {"$ref": "#/components/schemas/Gradients"}},
        SAFETENSORS: {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": "One tensor `gradient` [length, d_model] of float32, or of another "
                "kind of prompt one for each of its arrays, by its name; and in the "
                "metadata `response`: the JSON answer without `gradient`.",
            }
        },
    },
}


@router.post(
    "/v1/gradients",
    openapi_extra=_BODY,
    responses={200: _ANSWER, **documented(404, 406, 408, 413, 415, 429)},
    response_class=Response,
)
async def gradients(request: Request, caller: Caller, context: Shared) -> Response:
    """Differentiate the mean loss over all target tokens (nats) of some rows by the prompt.

    The optimizer stays with you: send the prompt's tensor, or name a stored prompt; of a
    task-specific one the gradient is that of its combination with the general one. Nothing of the
    request is stored or logged. `Accept` says in which form the answer comes; without a wish,
    in the form of the request.
    """
    kind = accepted(request, KINDS, default=content_type(request, KINDS))
    body, tensor = await read_question(request, context, GradientsBody)
    asked = context.ask(caller.user, body.model, "gradients", header(body), tensor, rows=body.rows)
    answer, data = await while_connected(request, asked)
    if len(data or b"") <= SMALL_BYTES and kind == SAFETENSORS:
        return _response(answer, data or b"", kind)
    return await context.in_thread(_response, answer, data or b"", kind)


def _response(answer: dict[str, Any], data: bytes, kind: Kind) -> Response:
    told = {
        "loss": number(answer["loss"]),
        "tokens": answer["tokens"],
        "row_losses": [number(loss) for loss in answer["row_losses"]],
        "predictions": answer["predictions"],
        "cut_inputs": answer.get("cut_inputs", 0),
        "unknown_inputs": answer.get("unknown_inputs", 0),
    }
    if kind == SAFETENSORS:
        notes = {"response": json.dumps(told, allow_nan=False)}
        return Response(annotated(data, notes), media_type=SAFETENSORS)
    tree, _ = decode_tree(data)
    if set(tree) != {"gradient"}:
        raise Refused(406, f"this prompt's gradient has several arrays; ask for {SAFETENSORS}")
    gradient = tree["gradient"]
    return JSONResponse(Gradients(**told, gradient=to_rows(gradient)).model_dump())
