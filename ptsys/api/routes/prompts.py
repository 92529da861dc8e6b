"""`/v1/prompts`: the stored prompts, their tensors, and who may see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from ptsys.api.archives import zipped, zipped_orbax
from ptsys.api.authentication import Caller
from ptsys.api.context import SMALL_BODY, Context, Shared
from ptsys.api.forms import (
    Called,
    ContactQuery,
    DescriptionQuery,
    LicenceQuery,
    NameQuery,
    OwnerQuery,
    PromptChanges,
    Reference,
    SharesQuery,
    VisibilityQuery,
)
from ptsys.api.media_types import JSON, NPY, ORBAX, PEFT, SAFETENSORS, Kind, accepted, content_type
from ptsys.api.pages import Before, Limit, Page, page
from ptsys.api.problems import Refused, documented
from ptsys.api.tensors import noted_tree, structure_bytes, to_rows
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import ModelShape
from ptsys.kinds.registry import META, stored_kind
from ptsys.kinds.trees import Tree
from ptsys.prompts import npy_format, peft_format, safetensors_format
from ptsys.prompts.check import check_prompt
from ptsys.prompts.meta import generator_of
from ptsys.prompts.meta_about import NOTE, AboutMetaPrompt
from ptsys.prompts.orbax_form import read_orbax, read_part, read_tree, write_tree
from ptsys.store.prompts import refuse_taken_name
from ptsys.types.records import Prompt
from ptsys.types.text import Text
from ptsys.types.training import Tag

router = APIRouter(prefix="/v1/prompts", tags=["prompts"])

_KINDS: tuple[Kind, ...] = (SAFETENSORS, NPY, JSON, PEFT)
_OFFERED: tuple[Kind, ...] = (*_KINDS, ORBAX)
_SUFFIXES = {SAFETENSORS: "safetensors", NPY: "npy", PEFT: "peft.zip", ORBAX: "orbax.zip"}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_CONTENT: dict[str, Any] = {
    PEFT: _BINARY,
    SAFETENSORS: _BINARY,
    NPY: _BINARY,
    JSON: {
        "schema": {
            "type": "object",
            "additionalProperties": False,
            "required": ["tensor"],
            "properties": {
                "tensor": {
                    "type": "array",
                    "description": "[length, d_model]",
                    "items": {"type": "array", "items": {"type": "number"}},
                }
            },
        }
    },
}
_TENSOR: dict[str, Any] = {
    "description": "The tensor `prompt` [length, d_model], float32; of another kind of prompt all "
    "of its arrays, as safetensors, a PEFT adapter or an Orbax checkpoint.",
    "content": {**_CONTENT, ORBAX: _BINARY},
}


@router.post(
    "",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": _CONTENT}},
    responses=documented(408, 409, 413, 415),
)
async def add_prompt(
    request: Request,
    response: Response,
    caller: Caller,
    context: Shared,
    name: NameQuery,
    model: Annotated[Text, Query(max_length=100, description="The model it fits.")] = "tiny",
    visibility: VisibilityQuery = "private",
    shared_with: SharesQuery = [],  # noqa: B006  # FastAPI copies it
    tags: Annotated[list[Tag], Query(max_length=100)] = [],  # noqa: B006
    description: DescriptionQuery = None,
    licence: LicenceQuery = None,
    contact: ContactQuery = None,
) -> Prompt:
    """Keep a prompt of your own. Its width must be the model's `d_model`. One of another kind than
    soft tokens comes as safetensors, a tensor an array; of a meta-prompt the header's
    `meta_prompt`, as GET gives it, tells its model, its training and its tasks. A PEFT adapter of
    prompt tuning, or of prefix tuning, comes as the zip file of its folder."""
    kind = content_type(request, _KINDS)
    data = await request.body()
    if kind == PEFT or structure_bytes(data, kind) > SMALL_BODY:
        _, tensor = await context.readers.read("prompt", data, kind)
        data, kind = tensor or b"", SAFETENSORS

    def keep() -> Prompt:
        limits = context.shape(model)
        tree, notes = noted_tree(data, kind)
        if kind == JSON:
            tree = {
                "prompt": check_prompt(tree["prompt"], limits.d_model, model=model, field="tensor")
            }
        made_of = stored_kind(tree)
        about = _about(notes, limits) if made_of.name == META else None
        check = made_of.kept if made_of.name == META else made_of.check
        tree = check(tree, limits, model)
        record = Prompt(
            id=context.service.prompts.new_id(),
            name=name,
            owner=caller.user,
            visibility=visibility,
            shared_with=tuple(sorted(set(shared_with))),
            model=model,
            model_fingerprint=limits.fingerprint,
            kind=made_of.name,
            length=len(tree["tokens"]) if made_of.name == META else max(map(len, tree.values())),
            d_model=limits.d_model,
            created=context.service.clock(),
            hyperparameters=({} if about is None else about.settings)
            | ({"generator": "own"} if generator_of(tree) else {}),
            tags=tuple(sorted(set(tags))),
            description=description or None,
            licence=licence or None,
            contact=contact or None,
            bytes=sum(array.nbytes for array in tree.values()),
        )
        return _keep(context, record, tree)

    stored = await context.stored(len(data), keep)
    response.headers["Location"] = f"/v1/prompts/{stored.id}"
    return stored


@router.get("", responses=documented())
def list_prompts(
    caller: Caller,
    context: Shared,
    model: Annotated[Text | None, Query(max_length=100, description="Only this model's.")] = None,
    owner: OwnerQuery = None,
    name: Called = None,
    general: Annotated[
        Text | None, Query(max_length=100, description="Only those that stand on it: an id.")
    ] = None,
    limit: Limit = 100,
    before: Before = None,
) -> Page[Prompt]:
    """The prompts you may see, newest first."""

    def found(count: int, last: str | None) -> list[Prompt]:
        return context.service.prompts.list(
            caller.user,
            model=model,
            owner=owner,
            name=name,
            general=general,
            limit=count,
            before=last,
        )

    return page(found, lambda prompt: prompt.id, limit, before)


@router.get("/{prompt}", responses=documented(404))
def get_prompt(prompt: Reference, caller: Caller, context: Shared) -> Prompt:
    """What is known of a prompt: model, data, options of its training, scores."""
    return context.service.prompts.get(prompt, caller.user)


@router.get(
    "/{prompt}/tensor",
    response_class=Response,
    responses={200: _TENSOR, **documented(404, 406)},
)
def get_tensor(
    request: Request,
    prompt: Reference,
    caller: Caller,
    context: Shared,
    combined: Annotated[
        bool,
        Query(description="Of a task-specific prompt: what the model reads, not its own part."),
    ] = False,
    general: Annotated[
        Text | None,
        Query(max_length=300, description="Combined with this general prompt, not its own."),
    ] = None,
) -> Response:
    """The tensor itself. `Accept` says in which form; without a wish, as safetensors. A PEFT
    adapter and an Orbax checkpoint are folders, and come as zip files.

    A task-specific prompt comes as it is stored, its own tokens alone, unless it is to be
    `combined`. A prompt that is not task-specific is the same either way.
    """
    kind = accepted(request, _OFFERED, default=SAFETENSORS)
    found = context.service.prompts.get(prompt, caller.user)
    if found.combination is None and general is None:
        return _tensor(found, read_tree(context.service.prompts.tensor_path(found.id)), kind)
    if general is not None or combined:
        array = _combined(context, found, caller.user, general)
    elif not found.length:
        raise InvalidInput(
            f"prompt {found.name!r} is an affine map and has no tokens of its own; ask for it "
            "combined",
            field="combined",
        )
    else:
        array = read_orbax(context.service.prompts.tensor_path(found.id))
    return _tensor(found, {"prompt": array}, kind)


@router.patch("/{prompt}", responses=documented(404, 408, 409, 413))
def change_prompt(
    prompt: Reference, changes: PromptChanges, caller: Caller, context: Shared
) -> Prompt:
    """Change what is told of a prompt, or who may see it. Its tensor never changes."""
    changed = context.service.prompts.update(
        prompt,
        caller.user,
        name=changes.name,
        visibility=changes.visibility,
        shared_with=changes.shared_with,
        tags=changes.tags,
        description=changes.description,
        licence=changes.licence,
        contact=changes.contact,
    )
    context.service.settle()
    return changed


@router.delete("/{prompt}", status_code=204, responses=documented(404, 409))
def delete_prompt(prompt: Reference, caller: Caller, context: Shared) -> None:
    """Delete a prompt of yours, for good. A general one only after its task-specific ones, and none
    while an unfinished job of yours needs it; those of others end, and say why."""
    context.service.prompts.delete(prompt, caller.user)
    context.service.settle()


def _about(notes: Mapping[str, str], limits: ModelShape) -> AboutMetaPrompt | None:
    """What a meta-prompt's file tells of it. Raises InvalidInput for one of another model."""
    if NOTE not in notes:
        return None
    about = AboutMetaPrompt.read(notes[NOTE])
    about.check(limits.fingerprint, limits.model)
    return about


def _keep(context: Context, record: Prompt, tree: Tree) -> Prompt:
    """Tensor first, then the record: a record never lacks its tensor."""
    prompts = context.service.prompts
    with context.service.database.reading() as session:
        refuse_taken_name(session, record.owner, record.name)
    tensor = prompts.tensor_path(record.id)
    write_tree(tensor, tree)
    return prompts.add(record, quota=context.quota)


def _combined(
    context: Context, prompt: Prompt, user: str, other: str | None
) -> NDArray[np.float32]:
    prompts = context.service.prompts
    general = prompts.general_of(prompt, user, other)
    assert prompt.combination is not None
    part = read_part(prompts.tensor_path(prompt.id), prompt.combination, prompt.length)
    rows = read_orbax(prompts.tensor_path(general.id))
    try:
        return part.with_general(rows, prompt.combination)
    except InvalidInput as error:
        raise InvalidInput(f"the two do not fit: {error}", field="general") from None


def _tensor(prompt: Prompt, tree: Tree, kind: Kind) -> Response:
    if kind in (JSON, NPY) and set(tree) != {"prompt"}:
        raise Refused(
            406,
            f"this prompt is of the kind {prompt.kind!r} and has several arrays; ask for "
            f"{SAFETENSORS}, {PEFT} or {ORBAX}",
        )
    if kind == JSON:
        return JSONResponse({"tensor": to_rows(tree["prompt"])})
    if kind == NPY:
        data = npy_format.encode(tree["prompt"])
    elif kind == PEFT:
        data = zipped(peft_format.encode_tree(prompt.kind, tree))
    elif kind == ORBAX:
        data = zipped_orbax(tree)
    else:
        notes = {
            "name": prompt.name,
            "model": prompt.model,
            "model_fingerprint": prompt.model_fingerprint,
            "steps": str(prompt.steps),
        }
        if prompt.kind == META:
            notes[NOTE] = AboutMetaPrompt.of(prompt).text
        data = safetensors_format.encode_tree(tree, notes)
    suffix = _SUFFIXES[kind]
    shown = {"Content-Disposition": f'attachment; filename="{prompt.name}.{suffix}"'}
    return Response(data, media_type=kind, headers=shown)
