"""What an adapter of PEFT is, whatever its kind: a configuration, tensors, and the tree of ours
that they stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ptsys.errors import InvalidInput

CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"
PROMPT_TENSOR = "prompt_embeddings"
SUBMODULES = 2  # encoder and decoder: PEFT's default for SEQ_2_SEQ_LM
_TEXTS = ("base_model_name_or_path", "revision", "tokenizer_name_or_path")
_COUNTS = ("num_attention_heads", "num_layers")


class Adapter(NamedTuple):
    """A prompt's kind, its leaves by name, and what the adapter tells of it."""

    kind: str
    tree: dict[str, NDArray[Any]]
    notes: dict[str, str]


def read_settings(config: bytes) -> dict[str, Any]:
    """The configuration of an adapter for sequence-to-sequence models. Raises InvalidInput for
    anything else."""
    try:
        settings = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{CONFIG_FILE} is not JSON: {error}", field=CONFIG_FILE) from None
    if not isinstance(settings, dict):
        raise InvalidInput(f"{CONFIG_FILE} holds no JSON object", field=CONFIG_FILE)
    if settings.get("task_type") == "CAUSAL_LM":
        raise InvalidInput(
            "this prompt was made for a decoder-only model (task_type CAUSAL_LM); T5 needs "
            "SEQ_2_SEQ_LM",
            field="task_type",
        )
    return settings


def positive(settings: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """A positive number of the configuration. Raises InvalidInput for anything else."""
    value = settings.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(f"{CONFIG_FILE}: {key} is {value!r}, not a positive number", field=key)
    return value


def told(settings: Mapping[str, Any], notes: Mapping[str, str]) -> dict[str, str]:
    """The tensor file's metadata with what the configuration names."""
    texts = {key: str(settings[key]) for key in _TEXTS if settings.get(key) is not None}
    return {**notes, **texts}


def written_settings(
    peft_type: str, length: int, width: int, notes: Mapping[str, str], **others: Any
) -> bytes:
    """A configuration file; notes named as its entries fill them, `others` before those. Raises
    InvalidInput for a count that is not a number."""
    settings = {
        "auto_mapping": None,
        "inference_mode": True,
        "modules_to_save": None,
        "num_transformer_submodules": SUBMODULES,
        "num_virtual_tokens": length,
        "peft_type": peft_type,
        "task_type": "SEQ_2_SEQ_LM",
        "token_dim": width,
        **{key: notes.get(key) for key in _TEXTS},
        **{key: _count(notes, key) for key in _COUNTS},
        **others,
    }
    return json.dumps(settings, indent=2, sort_keys=True).encode()


def check_rows(array: NDArray[Any], length: int, settings: Mapping[str, Any]) -> None:
    """Raise InvalidInput unless the tensor is a matrix whose rows are a multiple of `length` and
    whose width is the one that the configuration says, if it says one."""
    if array.ndim != 2:
        raise InvalidInput(
            f"{PROMPT_TENSOR!r} has shape {list(array.shape)}, not two axes", field=PROMPT_TENSOR
        )
    if len(array) < length or len(array) % length:
        raise InvalidInput(
            f"{PROMPT_TENSOR!r} has {len(array)} rows, which is no multiple of the {length} of "
            "num_virtual_tokens",
            field="num_virtual_tokens",
        )
    if settings.get("token_dim") not in (None, array.shape[1]):
        raise InvalidInput(
            f"{PROMPT_TENSOR!r} has width {array.shape[1]}, token_dim says "
            f"{settings['token_dim']!r}",
            field="token_dim",
        )


def _count(notes: Mapping[str, str], key: str) -> int | None:
    try:
        return int(notes[key]) if key in notes else None
    except ValueError:
        raise InvalidInput(f"{key} is {notes[key]!r}, not a number", field=key) from None
