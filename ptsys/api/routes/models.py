"""`/v1/models`: the frozen models that prompts can be made for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query

from ptsys.api.authentication import Admin, Caller
from ptsys.api.context import Context, Shared
from ptsys.api.forms import ModelView
from ptsys.api.pages import Page
from ptsys.api.problems import documented
from ptsys.errors import InvalidInput, NotFound
from ptsys.jobs import model_changes
from ptsys.jobs.limits import model_names
from ptsys.jobs.presence import Presence
from ptsys.store.models import BUILTIN
from ptsys.types.text import Text

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", responses=documented())
def list_models(caller: Caller, context: Shared) -> Page[ModelView]:
    """All models, by name."""
    present = context.seen()
    found = []
    for name in model_names(context.settings.root):
        with contextlib.suppress(InvalidInput):  # damaged: its own path says so
            found.append(_view(context, name, present))
    return Page(data=found)


@router.get("/{model}", responses=documented(404))
def get_model(
    model: Annotated[Text, Path(max_length=100)], caller: Caller, context: Shared
) -> ModelView:
    """What prompts for this model look like, and whether it is served now."""
    try:
        return _view(context, model, context.seen())
    except InvalidInput:
        if model in model_names(context.settings.root):
            raise
        raise _unknown(model) from None


@router.delete("/{model}", status_code=204, responses=documented(403, 404, 409))
def delete_model(
    model: Annotated[Text, Path(max_length=100)],
    caller: Admin,
    context: Shared,
    keep_prompts: Annotated[
        bool,
        Query(
            description="Also where prompts belong to it: they stay, and serve again once the same "
            "weights are back under this name."
        ),
    ] = False,
) -> None:
    """Delete an imported model, for good. Refused while a worker serves it, a job of it has not
    ended, or prompts belong to it. For admins."""
    if model not in model_names(context.settings.root):
        raise _unknown(model)
    model_changes.delete_model(context.service, model, keep_prompts=keep_prompts)


def _unknown(model: str) -> NotFound:
    return NotFound(f"there is no model {model!r}; GET /v1/models lists them")


def _view(context: Context, name: str, present: Sequence[Presence]) -> ModelView:
    limits = context.shape(name)
    workers = [worker for worker in present if worker.model == name]
    return ModelView(
        name=name,
        fingerprint=limits.fingerprint,
        d_model=limits.d_model,
        max_input_length=limits.max_input_length,
        max_target_length=limits.max_target_length,
        builtin=name == BUILTIN,
        default=name == context.settings.model,
        ready=any(worker.ready for worker in workers),
        workers=len(workers),
        compiles=[one for worker in workers for one in worker.compiles],
        parameters=limits.parameters,
        vocab_size=limits.vocab_size,
        source=limits.source if context.owner is not None else None,
        vocabulary=limits.has_vocabulary,
    )
