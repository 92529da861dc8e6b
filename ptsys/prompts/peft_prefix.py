"""PEFT's `PREFIX_TUNING` adapters on a T5: keys and values for the decoder's self-attention.

What PEFT 0.21.2 does with one (`peft/peft_model.py`, `PeftModel.get_prompt`): the tensor holds
`num_layers` pairs of keys and values a token; all pairs are repeated once (`num_transformer_
submodules` is 2), cut into groups of two pairs, a group a layer, and of each group the first pair
goes into the layer's self-attention cache, while the second, once meant for cross-attention, is
dropped. So layer i of the decoder reads pair 2i modulo `num_layers`; with an even number of layers
the upper half of them reads what the lower reads, and every second pair is read by none.

An odd number of pairs gives every layer its own, so ours are written with one that is odd. The
encoder and cross-attention get nothing in PEFT. With transformers 5 `generate` drops the prefix
(it passes a `cache` that wins over PEFT's `past_key_values`); the forward pass reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.prompts import safetensors_format
from ptsys.prompts.adapter import (
    CONFIG_FILE,
    PROMPT_TENSOR,
    SUBMODULES,
    TENSOR_FILE,
    Adapter,
    positive,
    told,
    written_settings,
)

PEFT_TYPE = "PREFIX_TUNING"
KEYS, VALUES = "decoder_keys", "decoder_values"
_MOST_LAYERS = 1024
_LAYERS = "decoder_layers"


def encode(
    tree: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """The folder's files by name, of keys and values [P, N, HK] for the decoder's N layers.

    Raises InvalidInput for a prompt that also has keys and values elsewhere: PEFT cannot read it.
    """
    if set(tree) != {KEYS, VALUES}:
        others = sorted({name.split("_")[0] for name in tree} - {"decoder"})
        raise InvalidInput(
            "PEFT has prefixes in a T5's decoder alone; this prompt has others for "
            f"{' and '.join(others) or 'nothing else'}: export it as safetensors",
            field="format",
        )
    keys, values = (np.asarray(tree[name], np.float32) for name in (KEYS, VALUES))
    length, layers, width = keys.shape
    pairs = layers + 1 - layers % 2
    rows = np.zeros((length, pairs, 2, width), np.float32)
    place = 2 * np.arange(layers) % pairs
    rows[:, place, 0], rows[:, place, 1] = keys, values
    notes = dict(metadata or {})
    settings = written_settings(
        PEFT_TYPE,
        length,
        width,
        {name: note for name, note in notes.items() if name != "tokenizer_name_or_path"},
        num_layers=pairs,
        encoder_hidden_size=width,
        init_weights=None,
        prefix_projection=False,
    )
    flat = rows.reshape(length, -1)
    notes |= {"format": "pt", _LAYERS: str(layers)}
    data = safetensors_format.encode(flat, notes, tensor=PROMPT_TENSOR)
    return {CONFIG_FILE: settings, TENSOR_FILE: data}


def decode(settings: Mapping[str, Any], tensors: bytes, layers: int | None = None) -> Adapter:
    """Keys and values [P, N, HK] as the decoder's layers read them in PEFT: of `layers` of them,
    or where that is not known, of as many as the adapter has pairs.

    Raises InvalidInput for an adapter that PEFT cannot run on a T5 either, and for a configuration
    and a tensor that do not fit each other.
    """
    if positive(settings, "num_transformer_submodules", SUBMODULES) != SUBMODULES:
        raise InvalidInput(
            "this prefix is for a model without an encoder (num_transformer_submodules is not 2); "
            "PEFT cannot run it on a T5 either",
            field="num_transformer_submodules",
        )
    length, pairs = positive(settings, "num_virtual_tokens"), positive(settings, "num_layers")
    array, notes = safetensors_format.decode(tensors, tensor=PROMPT_TENSOR)
    width = positive(settings, "token_dim")
    wanted = [length, pairs * 2 * width]
    if list(array.shape) != wanted or pairs > _MOST_LAYERS:
        raise InvalidInput(
            f"{PROMPT_TENSOR!r} has shape {list(array.shape)}; num_virtual_tokens, num_layers and "
            f"token_dim make it {wanted}",
            field=PROMPT_TENSOR,
        )
    if layers is None and notes.get(_LAYERS, "").isdecimal():  # written here
        layers = min(int(notes[_LAYERS][:4]), pairs)
    if layers is not None and not 1 <= layers <= pairs:
        raise InvalidInput(
            f"this prefix is for {pairs} layers, the model's decoder has {layers}: it was made for "
            "another model",
            field="num_layers",
        )
    rows = array.reshape(length, pairs, 2, width)
    place = 2 * np.arange(pairs if layers is None else layers) % pairs
    tree = {KEYS: rows[:, place, 0], VALUES: rows[:, place, 1]}
    return Adapter("deep", tree, told(settings, notes))
