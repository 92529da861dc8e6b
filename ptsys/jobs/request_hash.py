"""By what a submission that is sent again is known: a hash of what it asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from ptsys.types.model import Value
from ptsys.types.specs import AnySpec

_Orders = Mapping[str, Sequence[str]]
"""The fields of a spec, under "", and of what its fields hold, under theirs, in order."""


def request_hash(spec: AnySpec) -> str:
    """What is recorded of a submission: the hash of what the spec says beside defaults, by name.
    So no field's place in its class counts, nor one that a later version adds."""
    told = spec.model_dump(mode="json", exclude_defaults=True) | {"kind": spec.kind}
    return _digest(json.dumps(told, sort_keys=True, separators=(",", ":")).encode())


def known_hashes(spec: AnySpec) -> set[str]:
    """All that the record of the same submission may say: up to November 2026 every field was
    hashed, in the order that it then had."""
    return {request_hash(spec)} | {
        _digest(to_json(told))
        for orders in _FORMER.get(spec.kind, ())
        if (told := _ordered(spec, "", orders)) is not None
    }


def _ordered(value: Value, place: str, orders: _Orders) -> dict[str, Any] | None:
    """The value as JSON with its fields in that order; None where it says what they cannot."""
    order = orders[place]
    lacking = value.model_dump(exclude_defaults=True).keys() - set(order)
    if lacking or not set(order) <= type(value).model_fields.keys():
        return None
    told = value.model_dump(mode="json")
    for name in orders.keys() & set(order):
        inner = getattr(value, name)
        parts = inner if isinstance(inner, tuple) else (inner,)
        found = [_ordered(part, name, orders) for part in parts]
        if None in found:
            return None
        told[name] = found if isinstance(inner, tuple) else found[0]
    return {name: told[name] for name in order}


def _digest(told: bytes) -> str:
    return hashlib.sha256(told).hexdigest()


# ---- how every kind was hashed ----------------------------------------------------------------

_PARTS: _Orders = {
    "optimizer": (
        *("kind", "learning_rate", "weight_decay", "warmup_steps", "decay", "z_loss"),
        *("initial_step", "momentum", "beta1", "beta2"),
    ),
    "initialization": ("kind", "text", "labels", "prompt"),
}
_JOB = (
    *("name", "model", "steps", "length", "batch_size", "optimizer", "initialization", "seed"),
    *("max_input_length", "truncate", "evaluate_every", "checkpoint_every", "tags"),
)
_ROWS = ("dataset", "validation")
_TOGETHER = (
    *("combination", "task_length", "combined_length", "affine_learning_rate"),
    *("mixing", "size_limit"),
)
_LIFTED = (
    *("query", "strategy", "neighbours", "candidates", "rounds", "metric", "minimum_similarity"),
    *("weights", "temperature", "begin", "start", "query_steps", "second_steps", "own_share"),
    *("polish_steps", "own_learning_rate", "budget"),
)
_FORMER: Mapping[str, Sequence[_Orders]] = {
    "train": (
        {**_PARTS, "": (*_JOB, "kind", *_ROWS)},
        {**_PARTS, "": (*_JOB, "prompt_kind", "kind", *_ROWS)},
    ),
    "multitask": (
        {**_PARTS, "": (*_JOB, "kind", "tasks", *_TOGETHER), "tasks": ("name", *_ROWS, "rate")},
        {**_PARTS, "": (*_JOB, "tasks", *_TOGETHER, "kind"), "tasks": ("name", "rate", *_ROWS)},
    ),
    "augment": (
        {**_PARTS, "": (*_JOB, "kind", *_ROWS, *_LIFTED)},
        {**_PARTS, "": (*_JOB, *_LIFTED, "kind", *_ROWS)},
    ),
}
