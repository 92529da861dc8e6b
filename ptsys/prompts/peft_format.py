"""Prompts as PEFT adapters: a folder of a configuration and a file of tensors.

`PROMPT_TUNING` is soft tokens. For sequence-to-sequence models PEFT keeps
`num_transformer_submodules` x n rows (2n unless told otherwise) and uses the first n, before the
encoder's embedded input (`peft/peft_model.py`, `PeftModelForSeq2SeqLM`). So a prompt is read as
those n rows and written twice over. The other kinds: `ptsys.prompts.peft_prefix` and
`ptsys.prompts.peft_multitask`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.prompts import peft_multitask, peft_prefix, safetensors_format
from ptsys.prompts.adapter import (
    CONFIG_FILE,
    PROMPT_TENSOR,
    SUBMODULES,
    TENSOR_FILE,
    Adapter,
    check_rows,
    positive,
    read_settings,
    told,
    written_settings,
)
from ptsys.prompts.decoding import decoding

__all__ = [
    "CONFIG_FILE",
    "TENSOR_FILE",
    "Adapter",
    "decode",
    "decode_tree",
    "encode",
    "encode_tree",
]

_PEFT_TYPE = "PROMPT_TUNING"


def encode(
    array: NDArray[np.float32], metadata: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """The folder's files by name, of soft tokens [P, D].

    Metadata named as an entry of PEFT's configuration (`base_model_name_or_path`, `revision`,
    `tokenizer_name_or_path`, `num_attention_heads`, `num_layers`) fills it; PEFT takes what is
    left open from the base model. All metadata also goes into the tensor file's header.
    Raises InvalidInput for a count that is not a number.
    """
    notes = dict(metadata or {})
    length, width = array.shape
    settings = written_settings(
        _PEFT_TYPE,
        length,
        width,
        notes,
        prompt_tuning_init="RANDOM",
        prompt_tuning_init_text=None,
        tokenizer_kwargs=None,
    )
    rows = np.tile(array, (SUBMODULES, 1))
    data = safetensors_format.encode(rows, {**notes, "format": "pt"}, tensor=PROMPT_TENSOR)
    return {CONFIG_FILE: settings, TENSOR_FILE: data}


def encode_tree(
    kind: str, tree: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """The folder's files of a prompt of any kind that PEFT has a place for: soft tokens, tokens
    before the decoder's input too, keys and values of the decoder's layers.

    Raises InvalidInput for a prompt that PEFT could not read.
    """
    if kind == "deep":
        return peft_prefix.encode(tree, metadata)
    if kind == "encoder_decoder":
        return peft_multitask.encode([tree], metadata)
    if set(tree) == {"prompt"} and tree["prompt"].ndim == 2:
        return encode(np.asarray(tree["prompt"], np.float32), metadata)
    raise InvalidInput(
        f"PEFT has no adapter for a prompt of the kind {kind!r}; export it as safetensors",
        field="format",
    )


def decode(config: bytes, tensors: bytes) -> tuple[NDArray[Any], dict[str, str]]:
    """The n rows that PEFT puts before the encoder's input, [n, D], and the adapter's metadata.

    Raises InvalidInput for an adapter of another kind, and for a configuration and a tensor that
    do not fit each other.
    """
    with decoding("PEFT adapter", CONFIG_FILE):
        settings = read_settings(config)
        kind = settings.get("peft_type")
        if kind != _PEFT_TYPE:
            raise InvalidInput(
                f"this adapter's peft_type is {kind!r}; only {_PEFT_TYPE} adapters are soft tokens",
                field="peft_type",
            )
        found = _tokens(settings, tensors)
        return found.tree["prompt"], found.notes


def decode_tree(
    config: bytes, tensors: bytes, *, task: int | None = None, decoder_layers: int | None = None
) -> Adapter:
    """The prompt of an adapter of any kind that a T5 reads. `task` chooses one of a multi-task
    adapter's; a prefix is read for a decoder of so many layers.

    Raises InvalidInput for adapters of other kinds (such as LORA), for a task that is not there,
    and for a configuration and tensors that do not fit each other.
    """
    with decoding("PEFT adapter", CONFIG_FILE):
        settings = read_settings(config)
        kind = settings.get("peft_type")
        if kind == peft_multitask.PEFT_TYPE:
            return peft_multitask.decode(settings, tensors, task)
        if task is not None:
            raise InvalidInput(
                f"an adapter of the kind {kind!r} has no tasks to name", field="task"
            )
        if kind == peft_prefix.PEFT_TYPE:
            return peft_prefix.decode(settings, tensors, decoder_layers)
        if kind == _PEFT_TYPE:
            return _tokens(settings, tensors)
        raise InvalidInput(
            f"this adapter's peft_type is {kind!r}; only {_PEFT_TYPE}, {peft_prefix.PEFT_TYPE} "
            f"and {peft_multitask.PEFT_TYPE} adapters are prompts",
            field="peft_type",
        )


def _tokens(settings: Mapping[str, Any], tensors: bytes) -> Adapter:
    length = positive(settings, "num_virtual_tokens")
    array, notes = safetensors_format.decode(tensors, tensor=PROMPT_TENSOR)
    check_rows(array, length, settings)
    return Adapter("tokens", {"prompt": array[:length]}, told(settings, notes))
