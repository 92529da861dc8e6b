"""PEFT's adapters with prefixes and decoder prompts: the same logits here as in PEFT itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peft_cases import MODELS, TASKS, TOKENS, Files, drawn, logits_by_peft, prefix, rows, tasks

from ptsys.models.t5.hugging_face import import_hugging_face
from ptsys.models.t5.network import T5
from ptsys.models.t5.prefix import Deep, Prefix, SoftTokens
from ptsys.prompts.peft_format import CONFIG_FILE, TENSOR_FILE, Adapter, decode_tree, encode_tree

GOLDEN = Path(__file__).parent / "peft_golden.npz"


@pytest.fixture(params=MODELS)
def folder(request: pytest.FixtureRequest, shared_data: Path) -> Path:
    return shared_data / "golden" / request.param


def logits_by_us(model: T5, folder: Path, adapter: Adapter) -> np.ndarray:
    inputs, targets = rows(folder)
    tree = {name: jnp.asarray(leaf) for name, leaf in adapter.tree.items()}

    def each(name: str) -> jax.Array:
        return jnp.broadcast_to(tree[name][None], (len(inputs), *tree[name].shape))

    def everywhere(x: jax.Array) -> jax.Array:
        return jnp.ones(x.shape[:2], bool)

    prompt = each("prompt") if "prompt" in tree else None
    deep, tokens = Deep(), None
    if "decoder_keys" in tree:
        both = each("decoder_keys"), each("decoder_values")
        deep = Deep(decoder=Prefix(*both, everywhere(both[0])))
    if "decoder_prompt" in tree:
        tokens = SoftTokens(each("decoder_prompt"), everywhere(each("decoder_prompt")))

    return np.asarray(logits(model, inputs, targets, prompt, deep, tokens))


@jax.jit
def logits(
    model: T5,
    inputs: jax.Array,
    targets: jax.Array,
    prompt: jax.Array | None,
    deep: Deep,
    tokens: SoftTokens | None,
) -> jax.Array:
    return model.decode(model.encode(inputs, prompt, deep=deep), targets, deep, tokens)


def read(files: Files, model: T5, **options: Any) -> Adapter:
    layers = model.config.decoder_layers
    return decode_tree(files[CONFIG_FILE], files[TENSOR_FILE], decoder_layers=layers, **options)


def assert_same(ours: np.ndarray, theirs: np.ndarray, folder: Path) -> None:
    real = rows(folder)[1] > 0
    count = theirs.shape[-1]
    np.testing.assert_allclose(ours[..., :count][real], theirs[real], rtol=0, atol=1e-4)


def test_adapters_give_the_logits_that_peft_gave(folder: Path) -> None:
    model = import_hugging_face(folder)
    with np.load(GOLDEN) as golden:
        found = read(prefix(folder), model)
        assert_same(logits_by_us(model, folder, found), golden[f"{folder.name}/prefix"], folder)
        for submodules in (1, 2):
            for task in range(TASKS):
                found = read(tasks(folder, submodules), model, task=task)
                wanted = golden[f"{folder.name}/tasks{submodules}/{task}"]
                assert wanted.shape[-1] == TOKENS
                assert_same(logits_by_us(model, folder, found), wanted, folder)


@pytest.mark.slow
def test_what_is_written_here_gives_the_same_logits_in_peft(folder: Path) -> None:
    for package in ("torch", "peft", "transformers"):
        pytest.importorskip(package, reason="needs the extra `interop`")
    model = import_hugging_face(folder)
    config = model.config
    shape = (5, config.decoder_layers, config.inner_dim)
    trees = {
        "deep": {"decoder_keys": drawn(5, *shape), "decoder_values": drawn(6, *shape)},
        "encoder_decoder": {
            "prompt": drawn(7, 5, config.d_model),
            "decoder_prompt": drawn(8, 5, config.d_model),
        },
    }
    notes = {"num_attention_heads": str(config.num_heads)}
    for kind, tree in trees.items():
        theirs = logits_by_peft(
            folder, encode_tree(kind, tree, notes), None if kind == "deep" else 0
        )
        assert_same(logits_by_us(model, folder, Adapter(kind, tree, {})), theirs, folder)
