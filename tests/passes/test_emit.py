"""Emission: each example is read alone, what is read is put together as said, and what a user's
examples are changes nobody else's prompt."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5, create
from ptsys.passes.emit import MEANS, Encodings, MetaPrompt, assemble, initial_meta_prompt, read

LABEL, WIDTH = 3, 8
CONFIG = T5Config(
    vocab_size=40, d_model=8, num_heads=2, head_dim=4, d_ff=12, encoder_layers=2,
    decoder_layers=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> T5:
    return create(CONFIG)


@pytest.fixture(scope="module")
def meta() -> MetaPrompt:
    return initial_meta_prompt(jax.random.key(0), WIDTH)


START = jnp.asarray(np.random.default_rng(3).normal(size=(MEANS, WIDTH)), jnp.float32)


def examples(count: int, seed: int = 0, labels: int = 2) -> jax.Array:
    rows = np.random.default_rng(seed).integers(2, 40, (count, 9))
    rows[:, labels:LABEL] = 0
    return jnp.asarray(rows, jnp.int32)


def emitted(model: T5, meta: MetaPrompt, texts: jax.Array, tasks: int, **parts: jax.Array):
    return assemble(read(model, meta, texts, LABEL), tasks, START, 16, **parts)


def test_an_example_is_read_alone(model: T5, meta: MetaPrompt) -> None:
    together = read(model, meta, examples(4), LABEL)
    alone = read(model, meta, examples(4)[2:3], LABEL)
    np.testing.assert_allclose(together.tail[2], alone.tail[0], atol=1e-5)
    np.testing.assert_allclose(together.slots[2], alone.slots[0], atol=1e-5)


def test_a_prompt_is_its_examples_side_by_side_and_their_mean(model: T5, meta: MetaPrompt) -> None:
    texts = examples(3)
    found = read(model, meta, texts, LABEL)
    prompts = assemble(found, 1, START, 16)
    slots = [found.slots[i, j] for i in range(3) for j in range(3)]  # a summary and two labels
    expected = jnp.concatenate([jnp.stack(slots), START + found.tail.mean(axis=0)])
    assert prompts.length["prompt"].tolist() == [9 + MEANS]
    np.testing.assert_allclose(prompts.values["prompt"][0, -len(expected) :], expected, atol=1e-6)


def test_padding_changes_nothing(model: T5, meta: MetaPrompt) -> None:
    texts = examples(3)
    padded = jnp.concatenate([texts, jnp.zeros_like(texts[:2])])
    plain, more = emitted(model, meta, texts, 1), emitted(model, meta, padded, 1)
    assert plain.length["prompt"].tolist() == more.length["prompt"].tolist()
    length = int(plain.length["prompt"][0])
    np.testing.assert_allclose(
        plain.values["prompt"][0, -length:], more.values["prompt"][0, -length:], atol=1e-6
    )


def test_parts_can_be_left_out_and_the_last_positions_are_kept(model: T5, meta: MetaPrompt) -> None:
    texts = examples(6)
    found = read(model, meta, texts, LABEL)
    no, yes = jnp.array([False]), jnp.array([True])
    mean = assemble(found, 1, START, 16, kind=yes, pairs=no)
    assert mean.length["prompt"].tolist() == [MEANS]
    np.testing.assert_allclose(
        mean.values["prompt"][0, -MEANS:], START + found.tail.mean(axis=0), atol=1e-6
    )
    pairs = assemble(found, 1, START, 16, kind=no, pairs=yes)
    assert pairs.length["prompt"].tolist() == [16 + MEANS]  # of 18 positions
    np.testing.assert_allclose(pairs.values["prompt"][0, -MEANS:], START, atol=1e-6)
    np.testing.assert_allclose(pairs.values["prompt"][0, -MEANS - 1], found.slots[5, 2], atol=1e-6)


def test_a_task_has_no_gradient_from_anothers_examples(model: T5, meta: MetaPrompt) -> None:
    texts = examples(6)

    def first(encodings: Encodings) -> jax.Array:
        return jnp.sum(jnp.sin(assemble(encodings, 2, START, 16).values["prompt"][0]))

    gradient = jax.grad(lambda tail, slots: first(found._replace(tail=tail, slots=slots)), (0, 1))
    found = read(model, meta, texts, LABEL)
    of_tail, of_slots = gradient(found.tail, found.slots)
    assert float(jnp.abs(of_tail[:3]).min()) > 0
    assert not of_tail[3:].any()
    assert not of_slots[3:].any()
