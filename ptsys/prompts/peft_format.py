"""Prompts as a PEFT prompt-tuning adapter: a folder of a configuration and one tensor.

For sequence-to-sequence models PEFT keeps `num_transformer_submodules` x n rows (2n unless told
otherwise) and uses the first n, before the encoder's embedded input (`peft/peft_model.py`,
`PeftModelForSeq2SeqLM`). So a prompt is read as those n rows and written twice over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.prompts import safetensors_format
from ptsys.prompts.decoding import decoding

CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"
_TENSOR = "prompt_embeddings"
_SUBMODULES = 2  # encoder and decoder: PEFT's default for SEQ_2_SEQ_LM
_TEXTS = ("base_model_name_or_path", "revision", "tokenizer_name_or_path")
_COUNTS = ("num_attention_heads", "num_layers")


def encode(
    array: NDArray[np.float32], metadata: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """The folder's files by name.

    Metadata named as an entry of PEFT's configuration (`base_model_name_or_path`, `revision`,
    `tokenizer_name_or_path`, `num_attention_heads`, `num_layers`) fills it; PEFT takes what is
    left open from the base model. All metadata also goes into the tensor file's header.
    Raises InvalidInput for a count that is not a number.
    """
    notes = dict(metadata or {})
    config = {
        "auto_mapping": None,
        "inference_mode": True,
        "modules_to_save": None,
        "num_transformer_submodules": _SUBMODULES,
        "num_virtual_tokens": len(array),
        "peft_type": "PROMPT_TUNING",
        "prompt_tuning_init": "RANDOM",
        "prompt_tuning_init_text": None,
        "task_type": "SEQ_2_SEQ_LM",
        "token_dim": array.shape[1],
        "tokenizer_kwargs": None,
        **{key: notes.get(key) for key in _TEXTS},
        **{key: _count(notes, key) for key in _COUNTS},
    }
    rows = np.tile(array, (_SUBMODULES, 1))
    return {
        CONFIG_FILE: json.dumps(config, indent=2, sort_keys=True).encode(),
        TENSOR_FILE: safetensors_format.encode(rows, {**notes, "format": "pt"}, tensor=_TENSOR),
    }


def decode(config: bytes, tensors: bytes) -> tuple[NDArray[Any], dict[str, str]]:
    """The n rows that PEFT puts before the encoder's input, [n, D], and the adapter's metadata.

    Raises InvalidInput for an adapter of another kind, and for a configuration and a tensor that
    do not fit each other.
    """
    with decoding("PEFT adapter", CONFIG_FILE):
        return _decoded(config, tensors)


def _decoded(config: bytes, tensors: bytes) -> tuple[NDArray[Any], dict[str, str]]:
    settings = _settings(config)
    length = _positive(settings, "num_virtual_tokens")
    array, notes = safetensors_format.decode(tensors, tensor=_TENSOR)
    if array.ndim != 2:
        raise InvalidInput(
            f"{_TENSOR!r} has shape {list(array.shape)}, not two axes", field=_TENSOR
        )
    if len(array) < length or len(array) % length:
        raise InvalidInput(
            f"{_TENSOR!r} has {len(array)} rows, which is no multiple of the {length} of "
            "num_virtual_tokens",
            field="num_virtual_tokens",
        )
    if settings.get("token_dim") not in (None, array.shape[1]):
        raise InvalidInput(
            f"{_TENSOR!r} has width {array.shape[1]}, token_dim says {settings['token_dim']}",
            field="token_dim",
        )
    notes.update({key: str(settings[key]) for key in _TEXTS if settings.get(key) is not None})
    return array[:length], notes


def _settings(config: bytes) -> dict[str, Any]:
    try:
        settings = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{CONFIG_FILE} is not JSON: {error}", field=CONFIG_FILE) from None
    if not isinstance(settings, dict):
        raise InvalidInput(f"{CONFIG_FILE} holds no JSON object", field=CONFIG_FILE)
    kind = settings.get("peft_type")
    if kind != "PROMPT_TUNING":
        raise InvalidInput(
            f"this adapter's peft_type is {kind!r}; only PROMPT_TUNING adapters are prompts",
            field="peft_type",
        )
    task = settings.get("task_type")
    if task == "CAUSAL_LM":
        raise InvalidInput(
            "this prompt was made for a decoder-only model (task_type CAUSAL_LM); T5 needs "
            "SEQ_2_SEQ_LM",
            field="task_type",
        )
    return settings


def _positive(settings: Mapping[str, Any], key: str) -> int:
    value = settings.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(f"{CONFIG_FILE}: {key} is {value!r}, not a positive number", field=key)
    return value


def _count(notes: Mapping[str, str], key: str) -> int | None:
    try:
        return int(notes[key]) if key in notes else None
    except ValueError:
        raise InvalidInput(f"{key} is {notes[key]!r}, not a number", field=key) from None
