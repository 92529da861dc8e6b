"""Prompts of other kinds than soft tokens, through the engine: it knows none of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ptsys.engine.engine import Engine
from ptsys.engine.trainings import Checkpointed, Finished, Snapshot, Training, TrainingTask
from ptsys.errors import InvalidInput
from ptsys.kinds.registry import prompt_kind
from ptsys.kinds.trees import Tree
from ptsys.types.example import Example
from ptsys.types.requests import Decoding
from ptsys.types.training import Optimizer, TrainingSpec

EXAMPLES = [Example(input=f"n{i % 5}", target=["ja", "no"][i % 2]) for i in range(20)]
INPUTS, TARGETS = ["n1 n2", "n3"], ["ja", "no"]
KINDS = ["deep", "encoder_decoder"]


def begun(engine: Engine, name: str, length: int = 5) -> Tree:
    rows = np.random.default_rng(length).normal(size=(length, 16)).astype(np.float32)
    return prompt_kind(name).start(rows, engine.device.config)


def train(engine: Engine, kind: str, start: Snapshot, name: str = "one") -> Training:
    spec = TrainingSpec(
        name=name,
        dataset="d",
        prompt_kind=kind,
        steps=12,
        length=5,
        batch_size=4,
        checkpoint_every=6,
        optimizer=Optimizer(learning_rate=0.1),
    )
    examples = engine.encode(spec, EXAMPLES)
    return engine.train(TrainingTask(name, "u", spec, examples, start, kind=kind))


def events(training: Training) -> list[Any]:
    found: list[Any] = []
    while not found or isinstance(found[-1], Checkpointed):
        found.append(training.events.get(timeout=300))
    assert isinstance(found[-1], Finished), found[-1]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_learns_and_one_that_was_resumed_ends_with_the_same_bits(
    engine: Engine, kind: str
) -> None:
    start = begun(engine, kind)
    before = engine.gradients(INPUTS, TARGETS, start, user="u").result(300)
    [middle, last] = events(train(engine, kind, Snapshot.start(start, kind)))
    like = Snapshot.start(start, kind)
    resumed = Snapshot.of(6, middle.snapshot.state(), like)
    again = events(train(engine, kind, resumed))[-1].snapshot
    assert again.values.keys() == start.keys()
    for name, array in last.snapshot.values.items():
        assert array.shape == start[name].shape
        assert np.abs(array - start[name]).max() > 0.01
        np.testing.assert_array_equal(again.values[name], array)
    after = engine.gradients(INPUTS, TARGETS, again.values, user="u").result(300)
    assert after.loss < before.loss
    answers = engine.predict(INPUTS, again.values, Decoding(max_tokens=3), user="u").result(300)
    assert all(np.isfinite(answer.score) for answer in answers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_is_that_of_finite_differences_and_company_has_none_of_it(
    engine: Engine, kind: str
) -> None:
    own, other = begun(engine, kind, 5), begun(engine, kind, 3)
    asked = [engine.gradients(INPUTS, TARGETS, tree, user="u") for tree in (own, other)]
    found, beside = (one.result(300) for one in asked)
    assert {name: x.shape for name, x in beside.gradients.items()} == {
        name: x.shape for name, x in other.items()
    }
    random = np.random.default_rng(0)
    direction = {name: random.normal(size=x.shape) for name, x in own.items()}

    def loss(step: float) -> float:
        moved = {name: (x + step * direction[name]).astype(np.float32) for name, x in own.items()}
        return engine.gradients(INPUTS, TARGETS, moved, user="u").result(300).loss

    slope = (loss(1e-2) - loss(-1e-2)) / 2e-2
    along = sum(float(np.sum(found.gradients[name] * x)) for name, x in direction.items())
    np.testing.assert_allclose(along, slope, rtol=2e-2, atol=1e-3)


def test_arrays_of_another_model_or_of_no_kind_are_refused(engine: Engine) -> None:
    deep = begun(engine, "deep")
    wrong = [
        (deep | {"encoder_keys": deep["encoder_keys"][:, :, :-1]}, "encoder_keys"),
        (deep | {"cross_values": deep["cross_values"][:-1]}, "cross_values"),
        (deep | {"decoder_keys": deep["decoder_keys"] * np.nan}, "decoder_keys"),
        ({"encoder_keys": deep["encoder_keys"]}, "prompt"),
        ({"decoder_prompt": np.zeros((3, 15), np.float32)}, "decoder_prompt"),
    ]
    for tree, field in wrong:
        with pytest.raises(InvalidInput) as caught:
            engine.predict(INPUTS, tree, Decoding(max_tokens=3), user="u")
        assert caught.value.field == field


def test_a_shorter_start_is_the_end_of_a_longer_one(engine: Engine) -> None:
    short, long = begun(engine, "deep", 3), begun(engine, "deep", 7)
    for name, array in short.items():
        np.testing.assert_array_equal(long[name][-3:], array)
        assert 0.2 < array.std() < 0.4
