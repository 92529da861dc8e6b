"""`/v1/meta-prompts`: what makes a frozen model write prompts, and the prompts it writes."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.disconnects import while_connected
from ptsys.api.json_bodies import documented_json, read_json
from ptsys.api.media_types import JSON, SAFETENSORS, Kind, accepted
from ptsys.api.pages import Before, Limit, Page, page
from ptsys.api.problems import documented
from ptsys.api.tensors import to_rows
from ptsys.api.writing import MetaPromptView, WriteBody, WrittenPrompt
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import model_names
from ptsys.kinds.registry import META
from ptsys.prompts.orbax_form import write_tree
from ptsys.prompts.safetensors_format import decode
from ptsys.store.model_folders import has_meta_prompt, model_folder
from ptsys.store.prompts import refuse_taken_name
from ptsys.types.records import Parent, Prompt
from ptsys.types.requests import GENERIC, EmitRequest
from ptsys.types.storage import ONE
from ptsys.types.text import Text

router = APIRouter(prefix="/v1/meta-prompts", tags=["meta-prompts"])

_OFFERED: tuple[Kind, ...] = (SAFETENSORS, JSON)
_EXAMPLES: list[dict[str, Any]] = [
    {"examples": [{"input": "cat", "target": "cats"}, {"input": "box", "target": "boxes"}]},
    {"description": "Write the plural of the word.", "aggregate": "mean", "name": "plurals"},
]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The prompt, not kept: one tensor `prompt` [length, d_model], float32.",
        "content": {
            SAFETENSORS: {"schema": {"type": "string", "format": "binary"}},
            JSON: {"schema": {"$ref": "#/components/schemas/WrittenPrompt"}},
        },
    },
    201: {
        "description": "The prompt, kept under its `name`.",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Prompt"}}},
    },
}


@router.get("", responses=documented())
def list_meta_prompts(
    caller: Caller,
    context: Shared,
    model: Annotated[Text | None, Query(max_length=100, description="Only this model's.")] = None,
    limit: Limit = 100,
    before: Before = None,
) -> Page[MetaPromptView]:
    """Those that ship with models, then the stored ones you may see, newest first."""

    def found(count: int, last: str | None) -> list[Prompt]:
        prompts = context.service.prompts
        return prompts.list(caller.user, model=model, kind=META, limit=count, before=last)

    stored = page(found, lambda prompt: prompt.id, limit, before)
    shipped = [] if before is not None else _shipped(context, model)
    return Page(data=[*shipped, *map(_view, stored.data)], next=stored.next)


@router.post(
    "/{meta}/generate",
    openapi_extra=documented_json("WriteBody", _EXAMPLES),
    responses={**_ANSWERS, **documented(404, 406, 408, 409, 413, 415, 429)},
    response_class=Response,
)
async def generate_prompt(
    request: Request,
    caller: Caller,
    context: Shared,
    meta: Annotated[
        Text,
        Path(max_length=100, description="An id, a name of your own, or `generic`."),
    ],
) -> Response:
    """Write a prompt for a task in one pass of the frozen model's encoder, which reads each
    example alone behind the meta-prompt.

    With a `name` the prompt is kept under it as any other is; else its tensor comes back, in the
    form that `Accept` asks for, without a wish as safetensors. Each example counts as a row.
    """
    kind = accepted(request, _OFFERED, default=SAFETENSORS)
    body, user = await read_json(request, context, WriteBody), caller.user
    parent, asked = await context.in_thread(_prepared, context, body, meta, user)
    told, data = await while_connected(
        request,
        context.ask(user, asked.model, "emit", asked.model_dump(mode="json"), None, rows=body.rows),
    )
    if body.name is not None:
        array, _ = decode(data or b"")
        stored = await context.in_thread(_kept, context, body, asked, parent, array, user)
        head = {"Location": f"/v1/prompts/{stored.id}"}
        return JSONResponse(stored.model_dump(mode="json"), 201, headers=head)
    if kind == JSON:
        array, _ = decode(data or b"")
        notes = {name: told.get(name, 0) for name in ("cut_inputs", "unknown_inputs")}
        return JSONResponse(WrittenPrompt(tensor=to_rows(array), **notes).model_dump())
    return Response(data, media_type=SAFETENSORS)


def _shipped(context: Context, model: str | None) -> list[MetaPromptView]:
    found = []
    for name in model_names(context.settings.root):
        folder = model_folder(context.settings.root, name)
        if model in (None, name) and folder is not None and has_meta_prompt(folder):
            found.append(
                MetaPromptView(
                    id=GENERIC,
                    name=GENERIC,
                    model=name,
                    model_fingerprint=context.shape(name).fingerprint,
                    owner=None,
                    visibility="public",
                )
            )
    return found


def _view(prompt: Prompt) -> MetaPromptView:
    return MetaPromptView(
        id=prompt.id,
        name=prompt.name,
        model=prompt.model,
        model_fingerprint=prompt.model_fingerprint,
        owner=prompt.owner,
        visibility=prompt.visibility,
    )


def _prepared(
    context: Context, body: WriteBody, meta: str, user: str
) -> tuple[Prompt | None, EmitRequest]:
    """The stored meta-prompt, if it is one, and the question to a worker. Raises InvalidInput
    naming the field, NotFound, and Conflict for a name that is taken."""
    service = context.service
    parent = None if meta == GENERIC else service.prompts.get(meta, user)
    if parent is not None and parent.kind != META:
        raise InvalidInput(
            f"{parent.name!r} is a prompt, not a meta-prompt; GET /v1/meta-prompts lists those",
            field="meta",
        )
    if parent is not None and body.model not in (None, parent.model):
        raise InvalidInput(
            f"meta-prompt {parent.name!r} belongs to model {parent.model!r}; leave model out",
            field="model",
        )
    model = parent.model if parent is not None else body.model or context.settings.model
    body.check(context.settings, context.limits(model))
    if body.name is not None:
        with service.database.reading() as session:
            refuse_taken_name(session, user, body.name)
        service.storage.refuse_more(user, context.quota, ONE)
    asked = EmitRequest(
        model=model,
        meta=GENERIC if parent is None else parent.id,
        examples=tuple(body.examples),
        description=body.description,
        aggregate=body.aggregate,
    )
    return parent, asked


def _kept(
    context: Context,
    body: WriteBody,
    asked: EmitRequest,
    parent: Prompt | None,
    array: NDArray[np.float32],
    user: str,
) -> Prompt:
    """Tensor first, then the record: a record never lacks its tensor."""
    prompts, shape = context.service.prompts, context.shape(asked.model)
    record = Prompt(
        id=prompts.new_id(),
        name=body.name or "",
        owner=user,
        visibility=body.visibility,
        shared_with=tuple(sorted(set(body.shared_with))),
        model=asked.model,
        model_fingerprint=shape.fingerprint,
        length=len(array),
        d_model=shape.d_model,
        created=context.service.clock(),
        initialization={
            "kind": META,
            "meta_prompt": asked.meta,
            "aggregate": body.aggregate,
            "examples": len(body.examples),
        },
        description=body.description,
        parents=() if parent is None else (Parent(prompt=parent.id, role="meta"),),
        bytes=array.nbytes,
    )
    write_tree(prompts.tensor_path(record.id), {"prompt": array})
    return prompts.add(record, quota=context.quota)
