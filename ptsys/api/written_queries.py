"""Searching by rows without training: the model's own meta-prompt writes the prompt to search with,
in one pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from ptsys.api.context import Context
from ptsys.api.disconnects import while_connected
from ptsys.api.searching import SearchBody
from ptsys.api.writing import check_examples
from ptsys.errors import InvalidInput
from ptsys.kinds.registry import META
from ptsys.prompts.safetensors_format import decode
from ptsys.store.model_folders import has_meta_prompt, model_folder
from ptsys.types.requests import EmitRequest, TaskExample

_READ = 32
"""Rows that are read, spread over all: more tell little more of what kind of task it is."""


class Written(NamedTuple):
    """A prompt [P, D] that was written to search with, for the model of that fingerprint."""

    prompt: NDArray[np.float32]
    model_fingerprint: str


def writes(context: Context, body: SearchBody) -> bool:
    """Whether the prompt of these rows is to be written. Raises InvalidInput if it has to be and no
    meta-prompt ships with the model."""
    if not body.written and body.prompt_kind != META:
        return False
    folder = model_folder(context.settings.root, _model(context, body))
    there = folder is not None and has_meta_prompt(folder)
    if body.written and not there:
        raise InvalidInput(
            f"no meta-prompt ships with model {_model(context, body)!r}; leave it out, and a "
            "prompt is trained",
            field="written",
        )
    return there


async def written(request: Request, context: Context, body: SearchBody, user: str) -> Written:
    """What is written of these rows, as it compares: by their mean. Raises InvalidInput for rows
    that cannot be read, and without answers; NotFound for a dataset that is not there; Unavailable
    if no worker answers."""
    model = _model(context, body)
    shown = await context.in_thread(_shown, context, body, user)
    asked = EmitRequest(model=model, examples=tuple(shown), aggregate="mean")
    question = context.ask(
        user, model, "emit", asked.model_dump(mode="json"), None, rows=len(shown)
    )
    _, data = await while_connected(request, question)
    array, _ = decode(data or b"")
    shape = await context.in_thread(context.shape, model)
    return Written(array, shape.fingerprint)


def _shown(context: Context, body: SearchBody, user: str) -> list[TaskExample]:
    settings, datasets = context.settings, context.service.datasets
    rows = body.rows(settings.max_request_rows, settings.max_row_bytes)
    field = "examples"
    if rows is None:
        field = "dataset"
        rows = datasets.read(datasets.get(body.dataset or "", user).id)
    told = [
        TaskExample(input=row.input, target=row.target)
        for row in rows
        if row.target is not None and row.target.strip()
    ]
    if not told:
        raise InvalidInput("no row has a target; give some with their answers", field=field)
    shown = told[:: -(-len(told) // _READ)]
    limits = context.limits(_model(context, body))
    check_examples(shown, settings, limits, truncate=body.truncate)
    return shown


def _model(context: Context, body: SearchBody) -> str:
    return body.model or context.settings.model
