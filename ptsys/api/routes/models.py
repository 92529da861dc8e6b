"""`/v1/models`: the frozen models that prompts can be made for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.forms import ModelView
from ptsys.api.pages import Page
from ptsys.api.problems import documented
from ptsys.errors import InvalidInput, NotFound
from ptsys.jobs.limits import model_names
from ptsys.store.models import BUILTIN
from ptsys.types.text import Text

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", responses=documented())
def list_models(caller: Caller, context: Shared) -> Page[ModelView]:
    """All models, by name."""
    ready = context.ready_models()
    names = model_names(context.settings.root)
    return Page(data=[_view(context, name, ready) for name in names])


@router.get("/{model}", responses=documented(404))
def get_model(
    model: Annotated[Text, Path(max_length=100)], caller: Caller, context: Shared
) -> ModelView:
    """What prompts for this model look like, and whether it is served now."""
    try:
        return _view(context, model, context.ready_models())
    except InvalidInput:
        raise NotFound(f"there is no model {model!r}; GET /v1/models lists them") from None


def _view(context: Context, name: str, ready: list[str]) -> ModelView:
    limits = context.limits(name)
    return ModelView(
        name=name,
        fingerprint=limits.fingerprint,
        d_model=limits.d_model,
        max_input_length=limits.max_input_length,
        max_target_length=limits.max_target_length,
        builtin=name == BUILTIN,
        default=name == context.settings.model,
        ready=name in ready,
    )
