"""Hugging Face T5 folders: `config.json` and `model.safetensors`, whole or in shards.

T5 1.0, T5 1.1, LM-adapted T5, Flan-T5, mT5 and byT5 are read. Pickled weights
(`pytorch_model.bin`) never are.

The head. transformers has spelled it three ways. Up to 4.x `tie_word_embeddings` said both whether
the head is the token table and whether the decoder's output is scaled by d_model ** -0.5. From 5.x
`scale_decoder_outputs` says the latter and `tie_word_embeddings` is always true, so that a T5 1.1
whose head equals its table is saved without `lm_head.weight`. Here the tensors decide:

    lm_head.weight, unlike the table    an untied head (times d_model ** -0.5 if scaled)
    no head of its own, scaled          a tied head: T5 1.0
    no head of its own, not scaled      an untied head that holds a copy of the table
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ptsys.errors import InvalidInput
from ptsys.models.parameters import Deferred, flat_parameters, load_flat
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5

ACTIVATIONS: dict[str, tuple[Literal["gelu", "relu"], bool]] = {
    "relu": ("relu", False),
    "gelu_new": ("gelu", False),
    "gated-gelu": ("gelu", True),
    "gated-gelu_new": ("gelu", True),
    "gated-relu": ("relu", True),
}
TABLES = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
HEAD = "lm_head.weight"
LEGACY_BIAS = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


def read_config(folder: Path) -> T5Config:
    """The configuration of a Hugging Face folder. Raises InvalidInput if it is not a T5's."""
    return _config(_read_json(folder / "config.json"), _tensors(folder), folder)


def import_hugging_face(folder: Path) -> T5:
    """The model in a Hugging Face folder, in float32, read tensor by tensor.

    Raises InvalidInput for absent or truncated files, other architectures, tensors that are
    missing, left over or wrongly shaped, and values that are not finite.
    """
    raw, tensors = _read_json(folder / "config.json"), _tensors(folder)
    config = _config(raw, tensors, folder)
    return load_flat(config, _canonical(config, raw, tensors))


def export_hugging_face(model: T5, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` (float32) that transformers and we can read."""
    config = model.config
    names = _names(config)
    tensors = {}
    for path, array in flat_parameters(model).items():
        name = names[path]
        values = np.asarray(array).astype(np.float32)
        tensors[name] = np.ascontiguousarray(values.T if _transposed(path) else values)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    text = json.dumps(_hugging_face_config(config), indent=2, sort_keys=True)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def _hugging_face_config(config: T5Config) -> dict[str, object]:
    forward = {pair: name for name, pair in reversed(ACTIVATIONS.items())}
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "d_kv": config.head_dim,
        "d_ff": config.d_ff,
        "num_heads": config.num_heads,
        "num_layers": config.encoder_layers,
        "num_decoder_layers": config.decoder_layers,
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_max_distance,
        "layer_norm_epsilon": config.norm_epsilon,
        "feed_forward_proj": forward[config.activation, config.gated],
        "tie_word_embeddings": config.tie_embeddings,
        "scale_decoder_outputs": config.tie_embeddings,
        "tokenizer_class": "ByT5Tokenizer" if config.tokenizer == "byt5" else "T5Tokenizer",
        "n_positions": config.max_input_length,
        "is_encoder_decoder": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        "dtype": "float32",
    }


def _config(raw: Mapping[str, Any], tensors: Mapping[str, Deferred], folder: Path) -> T5Config:
    _check_architecture(raw)
    feed_forward = raw.get("feed_forward_proj", "relu")
    if feed_forward not in ACTIVATIONS:
        raise InvalidInput(
            f"feed_forward_proj {feed_forward!r} is not supported; one of {sorted(ACTIVATIONS)} is",
            field="feed_forward_proj",
        )
    activation, gated = ACTIVATIONS[feed_forward]
    layers = _integer(raw, "num_layers", 6)
    bytes_ = _tokenizer_class(raw, folder) == "ByT5Tokenizer"
    return T5Config(
        vocab_size=_vocabulary_size(raw, tensors),
        d_model=_integer(raw, "d_model", 512),
        num_heads=_integer(raw, "num_heads", 8),
        head_dim=_integer(raw, "d_kv", 64),
        d_ff=_integer(raw, "d_ff", 2048),
        encoder_layers=layers,
        decoder_layers=_integer(raw, "num_decoder_layers", layers),
        activation=activation,
        gated=gated,
        tie_embeddings=_scaled(raw) and not _own_head(tensors),
        relative_buckets=_integer(raw, "relative_attention_num_buckets", 32),
        relative_max_distance=_integer(raw, "relative_attention_max_distance", 128),
        norm_epsilon=float(raw.get("layer_norm_epsilon", 1e-6)),
        max_input_length=_integer(raw, "n_positions", 1024 if bytes_ else 512),
        tokenizer="byt5" if bytes_ else "sentencepiece",
    )


def _check_architecture(raw: Mapping[str, Any]) -> None:
    kind = raw.get("model_type")
    if kind not in ("t5", "mt5"):
        reason = " (it has a relative bias in every layer)" if kind == "umt5" else ""
        raise InvalidInput(
            f"model_type {kind!r} is not supported{reason}; import a T5, mT5 or byT5 model",
            field="model_type",
        )
    encoder_only = any("Encoder" in name for name in raw.get("architectures") or ())
    if encoder_only or raw.get("is_encoder_decoder") is False:
        raise InvalidInput(
            "the folder holds an encoder alone; import an encoder-decoder "
            "(T5ForConditionalGeneration)",
            field="architectures",
        )


def _integer(raw: Mapping[str, Any], key: str, default: int) -> int:
    value = raw.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"config.json: {key} must be a whole number, not {value!r}", field=key)
    return value


def _vocabulary_size(raw: Mapping[str, Any], tensors: Mapping[str, Deferred]) -> int:
    table = _table(tensors)
    return _integer(raw, "vocab_size", table.shape[0] if table else 32128)


def _tokenizer_class(raw: Mapping[str, Any], folder: Path) -> str | None:
    name = raw.get("tokenizer_class")
    file = folder / "tokenizer_config.json"
    if name is None and file.is_file():
        name = _read_json(file).get("tokenizer_class")
    return None if name is None else str(name)


def _scaled(raw: Mapping[str, Any]) -> bool:
    tied = raw.get("tie_word_embeddings", raw.get("model_type") == "t5")
    return bool(raw.get("scale_decoder_outputs", tied))


def _table(tensors: Mapping[str, Deferred]) -> Deferred | None:
    return next((tensors[name] for name in TABLES if name in tensors), None)


def _own_head(tensors: Mapping[str, Deferred]) -> bool:
    """Whether the file has a head that is not the token table once more."""
    head, table = tensors.get(HEAD), _table(tensors)
    if head is None:
        return False
    if table is None or head.shape != table.shape:
        return True
    return not np.array_equal(head.read(), table.read())


def _canonical(
    config: T5Config, raw: Mapping[str, Any], tensors: Mapping[str, Deferred]
) -> dict[str, Deferred]:
    """Tensors by T5X path; what has no place keeps its Hugging Face name and is refused later."""
    left = {name: tensor for name, tensor in tensors.items() if name != LEGACY_BIAS}
    table, head = _table(tensors), left.pop(HEAD, None)
    for name in TABLES:
        left.pop(name, None)
    flat: dict[str, Deferred] = {}
    if table is not None:
        flat["token_embedder.embedding"] = table
    if not config.tie_embeddings:
        never_saved = "scale_decoder_outputs" not in raw and not _scaled(raw)
        if head is None and not never_saved:
            head = table
        if head is not None:
            kernel = head.transposed()
            scale = config.d_model**-0.5
            flat["decoder.logits_dense.kernel"] = kernel.scaled(scale) if _scaled(raw) else kernel
    for path, name in _names(config).items():
        if name in left:
            tensor = left.pop(name)
            flat[path] = tensor.transposed() if _transposed(path) else tensor
    return flat | left


def _transposed(path: str) -> bool:
    return path.endswith((".kernel", ".rel_embedding"))


def _names(config: T5Config) -> dict[str, str]:
    """Hugging Face's name of every parameter, by T5X path."""
    names = {"token_embedder.embedding": TABLES[0]}
    if not config.tie_embeddings:
        names["decoder.logits_dense.kernel"] = HEAD
    for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        names[f"{stack}.{stack}_norm.scale"] = f"{stack}.final_layer_norm.weight"
        names[f"{stack}.relpos_bias.rel_embedding"] = (
            f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        )
        for i in range(layers):
            for ours, theirs in _layer_names(stack, gated=config.gated):
                names[f"{stack}.layers_{i}.{ours}"] = f"{stack}.block.{i}.layer.{theirs}.weight"
    return names


def _layer_names(stack: str, *, gated: bool) -> Iterator[tuple[str, str]]:
    projections = {"query": "q", "key": "k", "value": "v", "out": "o"}
    attentions: tuple[tuple[str, str, str], ...]
    if stack == "encoder":
        attentions = (("attention", "pre_attention_layer_norm", "SelfAttention"),)
    else:
        attentions = (
            ("self_attention", "pre_self_attention_layer_norm", "SelfAttention"),
            ("encoder_decoder_attention", "pre_cross_attention_layer_norm", "EncDecAttention"),
        )
    for i, (attention, norm, theirs) in enumerate(attentions):
        yield f"{norm}.scale", f"{i}.layer_norm"
        for ours, letter in projections.items():
            yield f"{attention}.{ours}.kernel", f"{i}.{theirs}.{letter}"
    last = len(attentions)
    yield "pre_mlp_layer_norm.scale", f"{last}.layer_norm"
    for name in ("wi_0", "wi_1", "wo") if gated else ("wi", "wo"):
        yield f"mlp.{name}.kernel", f"{last}.DenseReluDense.{name}"


def _tensors(folder: Path) -> dict[str, Deferred]:
    """Every tensor of the folder's safetensors files, unread."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return _file_tensors(folder / "model.safetensors", None)
    if not index.is_file():
        pickled = any(folder.glob("pytorch_model*.bin"))
        fix = (
            "; pickled weights are never read: save the model with safe_serialization=True"
            if pickled
            else "; point at a folder as Hugging Face's `save_pretrained` writes it"
        )
        raise InvalidInput(f"{folder} has no model.safetensors{fix}", field="source")
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(x, str) for x in weight_map.values()):
        raise InvalidInput(f"{index.name} has no weight_map; download it again", field="source")
    tensors: dict[str, Deferred] = {}
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard:
            raise InvalidInput(f"{index.name} names a shard outside its folder", field="source")
        wanted = {name for name, file in weight_map.items() if file == shard}
        tensors |= _file_tensors(folder / shard, wanted)
    return tensors


def _file_tensors(file: Path, wanted: set[str] | None) -> dict[str, Deferred]:
    if not file.is_file():
        raise InvalidInput(
            f"the shard {file.name} is missing from {file.parent}; download it again",
            field="source",
        )
    try:
        with safe_open(file, framework="numpy") as handle:
            shapes = {name: tuple(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InvalidInput(
            f"{file.name} is not a whole safetensors file ({error}); download it again",
            field="source",
        ) from error
    absent = sorted((wanted or set()) - shapes.keys())
    if absent:
        raise InvalidInput(
            f"{file.name} lacks {len(absent)} tensors that the index places in it, such as "
            f"{absent[0]}; download it again",
            field="source",
        )
    return {name: Deferred(shape, _reader(file, name)) for name, shape in shapes.items()}


def _reader(file: Path, name: str) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        with safe_open(file, framework="numpy") as handle:
            tensor: np.ndarray = handle.get_tensor(name)
            return tensor

    return read


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InvalidInput(f"{file.parent} has no {file.name}", field="source")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{file.name} is not JSON: {error}", field="source") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{file.name} must hold a JSON object", field="source")
    return value
