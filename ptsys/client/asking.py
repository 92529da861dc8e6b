"""Predictions and gradients: how a request is put, and its answer read."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

from ptsys.client.connection import Connection, decoded, value
from ptsys.client.prompts import SAFETENSORS, prompt_tree
from ptsys.client.references import reference
from ptsys.client.rows import batches
from ptsys.errors import InvalidInput, Unavailable
from ptsys.types.example import Example
from ptsys.types.input_notes import InputNotes
from ptsys.types.records import Prompt
from ptsys.types.requests import GENERIC, Decoding, Ensemble, Prediction
from ptsys.types.scoring import scoring

if TYPE_CHECKING:  # who asks for no arrays does not wait for numpy
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

General = str | Prompt
"""A stored general prompt: its name, id, "owner/name" or record."""

PromptLike: TypeAlias = "str | Prompt | ArrayLike | Mapping[str, ArrayLike]"
"""A stored prompt's name, id, "owner/name" or record; or the prompt itself [length, d_model], of
another kind than soft tokens its arrays by name."""


Members = Sequence[str | Prompt]
"""Stored prompts of one task, whose answers are made one: an ensemble."""


@dataclasses.dataclass(frozen=True)
class Gradients:
    """What the frozen model says of a prompt on some rows.

    `loss` is the mean over all `tokens` target tokens (nats) and `gradient` [length, d_model] is
    its gradient, of a prompt of several arrays a dictionary of theirs by name; `row_losses` are
    each row's mean over its own tokens, and `predictions` the likeliest token at each place of its
    target, given the target before it. `notes` counts what was not read of the inputs.
    """

    loss: float
    tokens: int
    gradient: Any
    row_losses: tuple[float, ...]
    predictions: tuple[str, ...]
    notes: InputNotes = InputNotes()


def gradients(
    connection: Connection,
    prompt: PromptLike,
    model: str | None,
    rows: Sequence[Example],
    *,
    general: General | None,
    truncate: bool,
) -> Gradients:
    """The gradient of one request's rows."""
    from ptsys.prompts.safetensors_format import decode_tree

    request: dict[str, Any] = {
        "inputs": [row.input for row in rows],
        "targets": [row.target for row in rows],
        "truncate": truncate,
        **_with_general(general),
    }
    body = _body(request, prompt, model)
    answer = connection.ask("POST", "/v1/gradients", **body, **_accepting(body, SAFETENSORS))
    tree, notes = decode_tree(answer.content)
    try:
        told = json.loads(notes["response"])
        return Gradients(
            loss=_number(told["loss"]),
            tokens=int(told["tokens"]),
            gradient=_gradient(tree),
            row_losses=tuple(_number(x) for x in told["row_losses"]),
            predictions=tuple(told["predictions"]),
            notes=_notes(told, len(rows)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(
            f"the service's answer lacks what belongs to a gradient ({error!r}); run one version "
            "of ptsys on both sides"
        ) from None


def joined(parts: Sequence[Gradients]) -> Gradients:
    """The gradient of all rows of several requests: each part counts by its tokens."""
    if len(parts) == 1:
        return parts[0]
    tokens = sum(part.tokens for part in parts)
    shares = [part.tokens / tokens for part in parts]
    if isinstance(parts[0].gradient, dict):
        gradient: Any = {
            name: _mean([part.gradient[name] for part in parts], shares)
            for name in parts[0].gradient
        }
    else:
        gradient = _mean([part.gradient for part in parts], shares)
    return Gradients(
        loss=sum(part.loss * part.tokens for part in parts) / tokens,
        tokens=tokens,
        gradient=gradient,
        row_losses=tuple(x for part in parts for x in part.row_losses),
        predictions=tuple(x for part in parts for x in part.predictions),
        notes=sum((part.notes for part in parts), InputNotes()),
    )


def _gradient(tree: Mapping[str, NDArray[Any]]) -> Any:
    """One array, or several by name."""
    import numpy as np

    arrays = {name: array.astype(np.float32) for name, array in tree.items()}
    return arrays["gradient"] if set(arrays) == {"gradient"} else arrays


def _mean(arrays: Sequence[NDArray[np.float32]], shares: Sequence[float]) -> NDArray[np.float32]:
    import numpy as np

    total = sum(x.astype(np.float64) * share for x, share in zip(arrays, shares, strict=True))
    return np.asarray(total, np.float32)


def predict(
    connection: Connection,
    prompt: PromptLike | Members | None,
    model: str | None,
    inputs: Sequence[str],
    decoding: Decoding,
    *,
    general: General | None,
    ensemble: Ensemble,
    truncate: bool,
    examples: Sequence[Example] | None = None,
    meta: str | Prompt = GENERIC,
) -> tuple[list[Prediction], InputNotes]:
    """The answers to one request's inputs, and what was not read of these; with `examples` under
    the prompt that the meta-prompt writes from them."""
    request: dict[str, Any] = {
        "inputs": list(inputs),
        "decoding": decoding.model_dump(mode="json"),
        "truncate": truncate,
        **_with_general(general),
    }
    if examples is not None:
        shown = [{"input": row.input, "target": row.target} for row in examples]
        request |= {"examples": shown, "meta": reference(meta)}
        model = meta.model if model is None and isinstance(meta, Prompt) else model
    if is_ensemble(prompt):
        request |= {"prompts": [reference(one) for one in prompt], "ensemble": ensemble}
        models = [one.model for one in prompt if isinstance(one, Prompt)]
        body = _body(request, None, model or next(iter(models), None))
    else:
        body = _body(request, cast("PromptLike | None", prompt), model)
    answer = connection.ask("POST", "/v1/predict", **body, **_accepting(body, "application/json"))
    told = decoded(answer)
    rows = told.get("predictions")
    if not isinstance(rows, list) or len(rows) != len(inputs):
        raise Unavailable("the service did not answer every row; run one version on both sides")
    return [value(Prediction, row) for row in rows], _notes(told, len(inputs))


def scoring_of(
    connection: Connection,
    prompt: PromptLike | Members | None,
    model: str | None,
    targets: Sequence[str],
    most: int,
) -> Decoding:
    """How to answer rows with these targets to score the answers, as jobs do; the service counts
    the targets' tokens, `most` texts at a time."""
    members = prompt if is_ensemble(prompt) else [prompt]
    known = (one.model for one in members if isinstance(one, Prompt))
    named = model or next(known, None)
    body: dict[str, Any] = {} if named is None else {"model": named}
    longest, limit = 1, 1
    for part in batches(dict.fromkeys(targets), most):
        told = decoded(connection.ask("POST", "/v1/tokens", json=body | {"texts": part}))
        try:
            longest = max(longest, *map(int, told["tokens"]))
            limit = int(told["max_target_length"])
        except (KeyError, TypeError, ValueError):
            raise Unavailable(
                "the service did not count the targets' tokens; run one version on both sides"
            ) from None
    return scoring(longest, limit)


def is_ensemble(prompt: PromptLike | Members | None) -> TypeGuard[Members]:
    """Whether these are several stored prompts, not one of numbers."""
    return isinstance(prompt, list | tuple) and any(isinstance(x, str | Prompt) for x in prompt)


def _with_general(general: General | None) -> dict[str, str]:
    return {} if general is None else {"general": reference(general)}


def _body(request: dict[str, Any], prompt: PromptLike | None, model: str | None) -> dict[str, Any]:
    """A request's content: JSON, or safetensors where it carries a prompt."""
    if isinstance(prompt, Prompt):
        if model not in (None, prompt.model):
            raise InvalidInput(
                f"prompt {prompt.name!r} belongs to model {prompt.model!r}, not {model!r}",
                field="model",
            )
        request, prompt = request | {"model": prompt.model}, prompt.id
    elif model is not None:
        request = request | {"model": model}
    if prompt is None:
        return {"json": request}
    if isinstance(prompt, str):
        return {"json": request | {"prompt": prompt}}
    from ptsys.prompts.safetensors_format import encode_tree

    text = json.dumps(request, ensure_ascii=True, separators=(",", ":"))
    return {"content": encode_tree(prompt_tree(prompt), {"request": text})}


def _accepting(body: dict[str, Any], accept: str) -> dict[str, Any]:
    headers = {"Accept": accept}
    if "content" in body:
        headers["Content-Type"] = SAFETENSORS
    return {"headers": headers}


def _notes(told: Mapping[str, Any], rows: int) -> InputNotes:
    return InputNotes(
        rows=rows, cut=told.get("cut_inputs") or 0, unknown=told.get("unknown_inputs") or 0
    )


def _number(told: Any) -> float:
    """A loss as it was told: null is one that is not finite."""
    return math.nan if told is None else float(told)
