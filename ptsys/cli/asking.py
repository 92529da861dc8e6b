"""Which prompt a command asks: stored, in a file, several, or none; and who answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ptsys.cli.deployment import TIMEOUT, Deployment
from ptsys.cli.failures import naming
from ptsys.errors import InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from ptsys.client import Client
    from ptsys.types.records import Prompt
    from ptsys.types.requests import Decoding, Ensemble

__all__ = ["TIMEOUT"]

Also = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PROMPT",
        help="Ask this stored prompt of the same task too, and make one answer of all. Repeatable.",
        show_default=False,
    ),
]
How = Annotated[
    Literal["vote", "mean"],
    typer.Option(
        "--ensemble",
        help="With --also: the answer most prompts give, or the label of the best mean score.",
    ),
]
General = Annotated[
    str | None,
    typer.Option(
        metavar="PROMPT",
        help="Of a task's prompt: combine it with this general one.",
        show_default="its own",
    ),
]

BARE = "-"
PROMPT_HELP = (
    "A stored prompt's name or id, a file (.npy, .safetensors, a PEFT folder), or - for the bare "
    "model."
)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked: a model, with a stored prompt, several, an array [length, d_model], or None
    for the bare model; of a task-specific prompt also its general one, where that is not its own.
    """

    model: str
    prompt: Any = None
    general: Prompt | None = None
    ensemble: Ensemble = "vote"

    @property
    def way(self) -> dict[str, Any]:
        """The same as arguments of the client."""
        return {"model": self.model, "general": self.general}


def find(
    where: Deployment,
    client: Client,
    reference: str,
    model: str | None,
    general: str | None = None,
) -> Asked:
    """The prompt that was named: stored, in a file, or none; if it is a task-specific one, with
    its general prompt or that named `general`.

    Raises NotFound if there is neither, InvalidInput if it does not belong to `model`.
    """
    if reference == BARE:
        _refuse_general(general)
        return Asked(model or where.model(client))
    try:
        prompt = client.prompts.get(reference)
    except (NotFound, InvalidInput):  # no thing can have that name, but a file
        _refuse_general(general)
        return _in_file(client, reference, model or where.model(client))
    if model is not None and prompt.model != model:
        raise InvalidInput(
            f"prompt {reference!r} belongs to model {prompt.model!r}; leave --model out",
            field="model",
        )
    return Asked(prompt.model, prompt, None if general is None else client.prompts.get(general))


def find_several(
    where: Deployment,
    client: Client,
    references: Sequence[str],
    ensemble: Ensemble,
    decoding: Decoding,
    model: str | None,
    general: str | None = None,
) -> Asked:
    """The prompts that were named: one as `find` does, or several stored ones of one model.

    Raises NotFound, InvalidInput naming what is wrong.
    """
    first, *others = references
    if not others:
        return find(where, client, first, model, general)
    if general is not None:
        raise InvalidInput("it goes with one prompt, not with several", field="general")
    if ensemble == "mean" and not decoding.labels:
        raise InvalidInput("the mean of scores needs labels to score; or vote", field="labels")
    found = [client.prompts.get(reference) for reference in references]
    models = sorted({prompt.model for prompt in found})
    if len(models) > 1 or model not in (None, models[0]):
        raise InvalidInput(
            f"these prompts belong to {', '.join(models)}; ask prompts of one model", field="model"
        )
    return Asked(models[0], found, ensemble=ensemble)


def check_served(where: Deployment, client: Client, model: str) -> None:
    """Raise Unavailable, saying what to do, at once where no worker serves the model or is about
    to."""
    if not client.models.get(model).workers:
        raise Unavailable(f"no worker serves model {model!r}; {where.start_line(model)}")


def _refuse_general(general: str | None) -> None:
    if general is not None:
        raise InvalidInput("it goes with a stored task-specific prompt", field="general")


def _in_file(client: Client, reference: str, model: str) -> Asked:
    from ptsys.prompts.check import check_prompt
    from ptsys.prompts.formats import read_prompt

    if not Path(reference).expanduser().exists():
        raise NotFound(
            f"no stored prompt and no file is called {reference!r}; `ptsys prompts list` shows "
            "your prompts"
        )
    width = client.models.get(model).d_model
    with naming(reference, "prompt"):
        return Asked(model, check_prompt(read_prompt(reference), width, model=model))
