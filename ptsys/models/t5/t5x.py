"""Native T5X checkpoints: a msgpack index with inline arrays or TensorStore zarr folders.

Two forms are read. *Per layer*: `encoder.layers_0.attention.query.kernel`, our own names.
*Scanned*: all layers of a stack in one array with the layer on axis 1, under `encoder.encoder.*`
and `decoder.decoder.*` (flaxformer) or `encoder.layers.*` and `decoder.layers.*` (T5X's
scalable_t5). Attention kernels may keep heads and head width apart; both are joined here.

The relative bias. T5 has one table a stack. T5X's scanned models build the bias inside the
scanned layer, so there each layer owns a table ([heads, layers, buckets]) and training makes them
differ: that is another architecture (the one umT5 has), which `T5Config` cannot hold. Such a
checkpoint is accepted when the tables of a stack are all equal, as they are when a per-layer
checkpoint was converted into the scanned form, and refused otherwise. A scanned checkpoint whose
table is shared (`encoder.relpos_bias.rel_embedding`, [heads, buckets]) is read as it is.

Optimizer state is ignored. Prompts that google-research/prompt-tuning left in the tree
(`encoder.prompt.prompt`) are returned beside the model.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from ptsys.errors import InvalidInput
from ptsys.models.parameters import Deferred, load_flat
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5
from ptsys.models.t5.t5x_files import Stored, read_stored, read_target

PROMPT = re.compile(r"(^|\.)prompts?\.")
SCANNED = re.compile(r"^(encoder|decoder)\.(?:\1|layers)\.(.+)$")
LAYER = re.compile(r"^(encoder|decoder)\.layers_(\d+)\.")
BIAS = re.compile(r"(relpos_bias|relative_posemb)\.rel_embedding$")
BYT5_VOCABULARY = 384


@dataclasses.dataclass(frozen=True)
class T5XImport:
    """A model from a T5X checkpoint, and the prompts that were stored in its tree, by path."""

    model: T5
    prompts: dict[str, np.ndarray]


def import_t5x(
    folder: Path,
    *,
    relative_max_distance: int = 128,
    tokenizer: Literal["sentencepiece", "byt5"] | None = None,
) -> T5XImport:
    """The model in a T5X checkpoint folder (`checkpoint_N`, or the folder that holds some).

    The configuration is inferred from the shapes, which say all but `relative_max_distance` and
    the tokenizer (byT5's when the vocabulary has its 384 entries). Raises InvalidInput for
    absent or damaged files, paths that leave the folder, unequal per-layer biases, and tensors
    that are missing, left over, wrongly shaped or not finite.
    """
    stored = read_target(folder)
    prompts = {path: read_stored(x) for path, x in stored.items() if PROMPT.search(path)}
    flat = _per_layer({path: x for path, x in stored.items() if path not in prompts})
    config = infer_config(
        {path: tensor.shape for path, tensor in flat.items()},
        relative_max_distance=relative_max_distance,
        tokenizer=tokenizer,
    )
    return T5XImport(load_flat(config, flat), prompts)


def infer_config(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    relative_max_distance: int = 128,
    tokenizer: Literal["sentencepiece", "byt5"] | None = None,
) -> T5Config:
    """The configuration that the shapes of a per-layer tree imply."""
    gated = "encoder.layers_0.mlp.wi_0.kernel" in shapes
    vocab_size, d_model = _matrix(shapes, "token_embedder.embedding")
    heads, buckets = _matrix(shapes, "encoder.relpos_bias.rel_embedding")
    _, inner = _matrix(shapes, "encoder.layers_0.attention.query.kernel")
    _, d_ff = _matrix(shapes, f"encoder.layers_0.mlp.{'wi_0' if gated else 'wi'}.kernel")
    if inner % heads:
        raise InvalidInput(
            f"attention is {inner} wide, which {heads} heads do not divide; is the relative bias "
            "[heads, buckets]?",
            field="encoder.relpos_bias.rel_embedding",
        )
    return T5Config(
        vocab_size=vocab_size,
        d_model=d_model,
        num_heads=heads,
        head_dim=inner // heads,
        d_ff=d_ff,
        encoder_layers=_layers(shapes, "encoder"),
        decoder_layers=_layers(shapes, "decoder"),
        activation="gelu" if gated else "relu",
        gated=gated,
        tie_embeddings="decoder.logits_dense.kernel" not in shapes,
        relative_buckets=buckets,
        relative_max_distance=relative_max_distance,
        tokenizer=tokenizer or ("byt5" if vocab_size == BYT5_VOCABULARY else "sentencepiece"),
    )


def _matrix(shapes: Mapping[str, tuple[int, ...]], path: str) -> tuple[int, int]:
    shape = shapes.get(path)
    if shape is None or len(shape) != 2 or 0 in shape:
        found = "absent" if shape is None else f"of shape {list(shape)}"
        raise InvalidInput(
            f"{path} is {found} where a T5 encoder-decoder has a matrix; import a T5 checkpoint",
            field=path,
        )
    return shape[0], shape[1]


def _layers(shapes: Mapping[str, tuple[int, ...]], stack: str) -> int:
    matches = (LAYER.match(path) for path in shapes)
    numbers = {int(match[2]) for match in matches if match and match[1] == stack}
    if not numbers:
        raise InvalidInput(
            f"the checkpoint has no {stack} layers; import a T5 encoder-decoder", field=stack
        )
    return max(numbers) + 1


def _per_layer(stored: Mapping[str, Stored]) -> dict[str, Deferred]:
    """The tree in per-layer form with joined heads, nothing read but stacked relative biases."""
    flat: dict[str, Deferred] = {}
    for path, array in stored.items():
        scanned = SCANNED.match(path)
        if scanned is None:
            flat[path] = _joined(path, array)
        elif BIAS.search(path):
            shared = f"{scanned[1]}.relpos_bias.rel_embedding"
            flat[shared] = _shared_bias(path, array)
        else:
            if len(array.shape) < 2:
                raise InvalidInput(
                    f"{path} has no layer axis: shape {list(array.shape)}", field=path
                )
            for i in range(array.shape[1]):
                name = f"{scanned[1]}.layers_{i}.{scanned[2]}"
                flat[name] = _joined(name, array[:, i])
    return flat


def _shared_bias(path: str, array: Stored) -> Deferred:
    """The one table of a stack, out of [heads, layers, buckets] or [heads, buckets]."""
    table = read_stored(array)
    if table.ndim == 3:
        if not (table == table[:, :1]).all():
            raise InvalidInput(
                f"{path} holds a different relative bias for each of {table.shape[1]} layers, "
                "which T5 does not have (umT5 does); import a checkpoint whose layers share one",
                field=path,
            )
        table = table[:, 0]
    return Deferred(table.shape, lambda: table)


def _joined(path: str, array: Stored) -> Deferred:
    """The tensor, with [d, heads, width] and [heads, width, d] kernels flattened to matrices."""
    shape = tuple(array.shape)
    tensor = Deferred(shape, lambda: read_stored(array))
    if len(shape) != 3 or not path.endswith(".kernel"):
        return tensor
    if path.endswith(".out.kernel"):
        return tensor.reshaped((shape[0] * shape[1], shape[2]))
    return tensor.reshaped((shape[0], shape[1] * shape[2]))
