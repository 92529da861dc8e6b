"""Prompts written by meta-prompts, through the engine: what pretraining's own pass makes of the
same examples, alone and in the company of other users' meta-prompts."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from byte_engine import WIDTH
from meta_prompts import random_meta

from ptsys.data.shown_examples import LABEL
from ptsys.engine.engine import Engine
from ptsys.errors import InvalidInput
from ptsys.kinds.trees import Tree
from ptsys.passes import emit
from ptsys.types.example import Example
from ptsys.types.requests import Aggregate

EXAMPLES = [
    Example("red river", "yes"),
    Example("a", "a label of more than six bytes"),
    Example("a much longer row than the others are, and one that is cut in the end", "b"),
]
DESCRIPTION = "say whether it is a river"
WAYS: list[tuple[list[Example], str | None, Aggregate]] = [
    (EXAMPLES, None, "each"),
    (EXAMPLES, None, "mean"),
    (EXAMPLES[:1], DESCRIPTION, "each"),
    ([], DESCRIPTION, "each"),
    (EXAMPLES * 12, DESCRIPTION, "each"),  # more positions than stand side by side
]


def write(engine: Engine, meta: Tree, way: tuple, user: str = "u") -> np.ndarray:
    examples, description, aggregate = way
    return engine.written(meta, examples, description, aggregate=aggregate, user=user).result(300)


def expected(engine: Engine, meta: Tree, way: tuple, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """By `ptsys.passes.emit`, as `benchmarks/builtin_model.py` has it."""
    examples, description, aggregate = way
    question = engine.model.rows.emitting(examples, description)
    ids = question.features["inputs"]
    texts = np.zeros((len(ids), 64), np.int32)
    for row, one in zip(texts, ids, strict=True):
        row[: len(one)] = one
    monkeypatch.setattr(emit, "MEANS", len(meta["start"]))
    arrays = {name: jnp.asarray(x) for name, x in meta.items() if name != "start"}
    arrays["embedding_scale"] = arrays["embedding_scale"][0]
    found = emit.read(engine.model.frozen.model(), emit.MetaPrompt(**arrays), texts, LABEL)
    pairs = jnp.array([aggregate == "each" and bool(examples)])
    prompts = emit.assemble(found, 1, jnp.asarray(meta["start"]), 128, pairs=pairs)
    return np.asarray(prompts.values["prompt"][0, -int(prompts.length["prompt"][0]) :])


@pytest.mark.parametrize("way", WAYS)
def test_a_prompt_is_what_pretrainings_pass_emits(
    engine: Engine, way: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = random_meta(WIDTH)
    prompt = write(engine, meta, way)
    assert prompt.dtype == np.float32
    np.testing.assert_allclose(prompt, expected(engine, meta, way, monkeypatch), atol=1e-5)


def test_a_prompt_is_the_same_alone_and_in_company(engine: Engine) -> None:
    metas = [random_meta(WIDTH, seed, means=2 + seed) for seed in range(4)]
    alone = [write(engine, meta, WAYS[0]) for meta in metas]
    again = [
        (i, engine.written(metas[i], EXAMPLES[: 1 + n % 3] if n > 3 else EXAMPLES, user=f"u{n}"))
        for n, i in enumerate([0, 1, 2, 3, 3, 2, 1, 0])
    ]
    beside = [engine.encodings(["a", "b"], user="other"), engine.predict(["a"], user="more")]
    for i, future in again[:4]:
        np.testing.assert_allclose(future.result(300), alone[i], atol=1e-5)
    for _, future in again[4:]:
        assert np.isfinite(future.result(300)).all()
    assert all(one.result(300) for one in beside)
    assert np.abs(alone[0][-1] - alone[1][-1]).max() > 0.01


def test_what_is_no_meta_prompt_and_no_example_is_refused(engine: Engine) -> None:
    meta = random_meta(WIDTH)
    wrong = [
        (random_meta(WIDTH + 1), "tokens"),
        (meta | {"tokens": meta["tokens"][:-1]}, "tokens"),
        (meta | {"tail": meta["tail"][:-1]}, "tail"),
        (meta | {"label": meta["label"] * np.nan}, "label"),
        ({name: x for name, x in meta.items() if name != "start"}, "start"),
    ]
    for tree, field in wrong:
        with pytest.raises(InvalidInput) as caught:
            engine.written(tree, EXAMPLES)
        assert caught.value.field == field
    with pytest.raises(InvalidInput, match="no target"):
        engine.written(meta, [Example("a")])
    with pytest.raises(InvalidInput, match="at least one"):
        engine.written(meta)


def test_a_meta_prompt_is_no_prompt(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="a meta-prompt writes prompts: generate one first"):
        engine.predict(["a"], random_meta(WIDTH))
