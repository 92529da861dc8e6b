"""Asking workers about many rows: a prompt from wherever it is, and batches on their way."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from ptsys.cli.deployment import Deployment
from ptsys.cli.failures import naming
from ptsys.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from ptsys.jobs.asking import BlockingAsker
    from ptsys.types.example import Example
    from ptsys.types.requests import (
        Decoding,
        Ensemble,
        GradientsRequest,
        Prediction,
        PredictRequest,
    )

T = TypeVar("T")

BATCH_ROWS = 64
IN_FLIGHT = 4
TIMEOUT = 180.0
"""Seconds to wait for one batch: its shape may have to be compiled first."""

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
    """Who asks whom with what: a model, and a stored prompt's id or a tensor (safetensors), or
    neither for the bare model; of a task-specific prompt also its general one's id, where it is
    not its own. Or the ids of several stored prompts, an ensemble."""

    user: str
    model: str
    prompt: str | None = None
    general: str | None = None
    prompts: tuple[str, ...] = ()
    ensemble: Ensemble = "vote"
    tensor: bytes | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class Gradients:
    """The mean loss over all target tokens (nats), and its gradient [length, d_model]."""

    loss: float
    tokens: int
    gradient: Any


def find(where: Deployment, reference: str, model: str | None, general: str | None = None) -> Asked:
    """The prompt that was named: stored, in a file, or none; if it is a task-specific one, with
    its general prompt or that named `general`.

    Raises NotFound if there is neither, InvalidInput if it does not belong to `model` or goes
    with no general prompt.
    """
    if reference == BARE:
        _refuse_general(general)
        return Asked(where.user, model or where.settings.model)
    other: str | None = None
    with where.service() as service:
        try:
            prompt = service.prompts.get(reference, where.user)
        except NotFound:
            prompt = None
        if prompt is not None and (general is not None or prompt.general is not None):
            found = service.prompts.general_of(prompt, where.user, general)
            other = None if general is None else found.id
    if prompt is None:
        _refuse_general(general)
        return _in_file(where, reference, model or where.settings.model)
    if model is not None and prompt.model != model:
        raise InvalidInput(
            f"prompt {reference!r} belongs to model {prompt.model!r}; leave --model out",
            field="model",
        )
    return Asked(where.user, prompt.model, prompt.id, other)


def find_several(
    where: Deployment,
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
        return find(where, first, model, general)
    if general is not None:
        raise InvalidInput("it goes with one prompt, not with several", field="general")
    if ensemble == "mean" and not decoding.labels:
        raise InvalidInput("the mean of scores needs labels to score; or vote", field="labels")
    with where.service() as service:
        found = [service.prompts.get(reference, where.user) for reference in references]
    models = sorted({prompt.model for prompt in found})
    if len(models) > 1 or model not in (None, models[0]):
        raise InvalidInput(
            f"these prompts belong to {', '.join(models)}; ask prompts of one model", field="model"
        )
    return Asked(
        where.user, models[0], prompts=tuple(prompt.id for prompt in found), ensemble=ensemble
    )


def _refuse_general(general: str | None) -> None:
    if general is not None:
        raise InvalidInput("it goes with a stored task-specific prompt", field="general")


def _in_file(where: Deployment, reference: str, model: str) -> Asked:
    from ptsys.jobs.limits import read_limits
    from ptsys.prompts.formats import check_prompt, read_prompt
    from ptsys.prompts.safetensors_format import encode

    if not Path(reference).expanduser().exists():
        raise NotFound(
            f"no stored prompt and no file is called {reference!r}; `ptsys prompts list` shows "
            "your prompts"
        )
    limits = read_limits(where.settings.root, model)
    with naming(reference, "prompt"):
        array = check_prompt(read_prompt(reference), limits.d_model, model=model)
    return Asked(where.user, model, tensor=encode(array))


def predict(
    asker: BlockingAsker,
    asked: Asked,
    inputs: Iterable[str],
    decoding: Decoding,
    *,
    timeout: float = TIMEOUT,
) -> Iterator[list[Prediction]]:
    """The answers, a batch at a time, in order; several batches are on their way at once."""
    from ptsys.types.requests import Prediction, PredictRequest

    def ask(batch: tuple[str, ...]) -> list[Prediction]:
        request = PredictRequest(
            model=asked.model,
            prompt=asked.prompt,
            general=asked.general,
            prompts=asked.prompts,
            ensemble=asked.ensemble,
            inputs=batch,
            decoding=decoding,
        )
        header, _ = asker.call(
            asked.model, "predict", _header(asked, request), asked.tensor, timeout=timeout
        )
        return [Prediction.model_validate(row) for row in header["predictions"]]

    return _ordered(ask, batches(inputs))


def gradients(
    asker: BlockingAsker,
    asked: Asked,
    rows: Sequence[Example],
    *,
    timeout: float = TIMEOUT,
) -> Iterator[Gradients]:
    """The gradient of each batch, in order; `joined` makes one of them."""
    from ptsys.prompts.safetensors_format import decode
    from ptsys.types.requests import GradientsRequest

    def ask(batch: tuple[Example, ...]) -> Gradients:
        request = GradientsRequest(
            model=asked.model,
            prompt=asked.prompt,
            general=asked.general,
            inputs=tuple(row.input for row in batch),
            targets=tuple(row.target or "" for row in batch),
        )
        header, tensors = asker.call(
            asked.model, "gradients", _header(asked, request), asked.tensor, timeout=timeout
        )
        array, _ = decode(tensors or b"", tensor="gradient")
        return Gradients(float(header["loss"]), int(header["tokens"]), array)

    return _ordered(ask, batches(rows))


def joined(parts: Sequence[Gradients]) -> Gradients:
    """The gradient of all rows: each part counts by its tokens."""
    tokens = sum(part.tokens for part in parts)
    return Gradients(
        loss=sum(part.loss * part.tokens for part in parts) / tokens,
        tokens=tokens,
        gradient=sum(part.gradient * (part.tokens / tokens) for part in parts),
    )


def batches(items: Iterable[T], size: int = BATCH_ROWS) -> Iterator[tuple[T, ...]]:
    """The items in tuples of `size`; the last may be shorter."""
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch


def _header(asked: Asked, request: PredictRequest | GradientsRequest) -> dict[str, Any]:
    return request.model_dump(mode="json") | {"user": asked.user}


def _ordered(ask: Callable[[tuple[Any, ...]], T], parts: Iterable[tuple[Any, ...]]) -> Iterator[T]:
    """The answers in order, with a few questions under way; the first error ends it."""
    pool = concurrent.futures.ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="ask")
    waiting: collections.deque[concurrent.futures.Future[T]] = collections.deque()
    try:
        for part in parts:
            waiting.append(pool.submit(ask, part))
            if len(waiting) > IN_FLIGHT:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
