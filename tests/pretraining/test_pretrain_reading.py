"""The reading step: episodes hold what they should, and what only examples tell is learned."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.models.execution import Execution
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import create
from ptsys.passes.frozen import Structure, freeze
from ptsys.pretraining.reading_step import (
    READ,
    Episode,
    Reading,
    Tasks,
    draw_episodes,
    reading_step,
)
from ptsys.pretraining.step import PretrainOptimizer, Steering, initial_state, optimizer

LABEL, TRAITS = 2, 3
CONFIG = T5Config(
    vocab_size=32, d_model=16, num_heads=2, head_dim=8, d_ff=24, encoder_layers=1,
    decoder_layers=1, tie_embeddings=True,
)  # fmt: skip


def made(tasks: int, rows: int, *, described: bool = True, bank: bool = False) -> Tasks:
    """Tasks of four words, each with a label of its own in each task; a row is a word."""
    draw = np.random.default_rng(0)
    reading = np.zeros((tasks, rows, LABEL + 3), np.int32)
    inputs = np.zeros((tasks, rows, 3), np.int32)
    targets = np.zeros((tasks, rows, 2), np.int32)
    for task in range(tasks):
        label = draw.permutation(np.arange(20, 30))[:4]
        for row in range(rows):
            word = row % 4
            inputs[task, row] = [4 + word, draw.integers(10, 18), 1]
            targets[task, row] = [label[word], 1]
            reading[task, row] = [label[word], 0, *inputs[task, row]]
    description = np.zeros((tasks, LABEL + 3), np.int32)
    description[:, LABEL:] = 31 if described else 0
    traits = np.full((tasks, 1), TRAITS)
    if bank:
        traits[:, 0] = np.arange(tasks) % TRAITS
    count = np.full(tasks, rows - 2)
    arrays = (reading, inputs, targets, count, traits, description)
    return Tasks(*map(jnp.asarray, arrays), jnp.int32(tasks))


def drawn(tasks: Tasks, options: Reading, seed: int = 0) -> Episode:
    return draw_episodes(jax.random.key(seed), tasks, 64, 8, 4, options)


def test_episodes_have_from_one_to_all_examples_and_other_rows_to_answer() -> None:
    tasks = made(5, 16)
    episode = drawn(tasks, Reading(described=0, description_only=0))
    shown = (episode.texts[:, :8] > 0).any(axis=2).sum(axis=1)
    assert set(shown.tolist()) >= {1, 2, 8}
    assert shown.max() == 8
    assert not episode.texts[:, 8].any()
    for texts, inputs in zip(np.asarray(episode.texts), np.asarray(episode.inputs), strict=True):
        # rows are told apart by their own numbers: none of the last two, which are no real rows
        assert (inputs[:, 0] > 0).all()
        assert len(texts) == 9


def test_descriptions_stand_beside_examples_or_alone_or_not_at_all() -> None:
    alone = drawn(made(5, 16), Reading(described=0, description_only=1))
    assert not alone.texts[:, :8].any()
    assert alone.texts[:, 8].any(axis=1).all()
    assert alone.kind.all()
    assert not alone.pairs.any()
    beside = drawn(made(5, 16), Reading(described=1, description_only=0))
    assert beside.texts[:, 8].any(axis=1).all()
    assert beside.texts[:, 0].any(axis=1).all()
    none = drawn(made(5, 16, described=False), Reading(described=0, description_only=1))
    assert none.texts[:, 0].any(axis=1).all()


def test_parts_are_left_out_as_often_as_said_and_never_both() -> None:
    episode = drawn(made(5, 16), Reading(mean_only=0.5, pairs_only=0.5, description_only=0))
    assert (episode.kind ^ episode.pairs).all()
    assert 0.3 < float(episode.kind.mean()) < 0.7
    whole = drawn(made(5, 16), Reading(mean_only=0, pairs_only=0, description_only=0))
    assert (whole.kind & whole.pairs).all()


@pytest.fixture(scope="module")
def structure() -> Structure:
    return freeze(create(CONFIG), execution=Execution(vocabulary_block=None)).structure


@pytest.mark.timeout(600)
def test_what_only_examples_tell_is_learned(structure: Structure) -> None:
    options = Reading(mean_only=0.0, pairs_only=0.2, described=0, description_only=0, width=24)
    transform = optimizer(PretrainOptimizer(3e-3, 1e-2, 1e-2, warmup_steps=10), structure)
    state = initial_state(create(CONFIG), TRAITS, 8, transform, seed=0)
    bank, fresh = made(6, 16, bank=True), made(300, 16)
    first = last = None
    for step in range(400):
        arguments = (structure, transform, 16, 8, 4, LABEL, Steering(), options)
        state, metrics = reading_step(*arguments, state, bank, fresh)
        if step == 0:
            first = metrics
            assert metrics.rows.tolist() == [32, 32, 32]
            assert len(READ) == len(metrics.rows)
        last = metrics
    assert first is not None
    assert last is not None
    read = READ.index("read")
    assert last.loss[read] < 0.5 * first.loss[read]
    assert bool(jnp.abs(state.trained.traits[:TRAITS]).max() > 0)  # the teacher learns too
