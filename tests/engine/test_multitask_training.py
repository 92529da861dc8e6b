"""Multi-task training: its gradients against automatic differentiation through the model."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from text_passes import Prompts, Rows, row_losses

from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.multitask import MultiTaskTraining, TaskData
from ptsys.errors import InvalidInput
from ptsys.types.example import Example
from ptsys.types.multitask import MultiTaskSpec, TaskSpec
from ptsys.types.training import Optimizer

NAMES = ("yes", "no", "last")
ANSWERS = {"yes": ("ja", "nein!"), "no": ("nein!", "ja"), "last": ("x", "ypsilon")}
SIZES = {"yes": 20, "no": 12, "last": 5}
SGD = Optimizer(kind="sgd", learning_rate=0.5)


def rows(name: str) -> list[Example]:
    """Tasks of unlike sizes, whose targets have unlike numbers of tokens."""
    words = ANSWERS[name]
    return [Example(f"n{i % 5}", words[i % 2]) for i in range(SIZES[name])]


def spec(**fields: Any) -> MultiTaskSpec:
    tasks = tuple(TaskSpec(name=name, dataset=name) for name in NAMES)
    values = {"name": "m", "tasks": tasks, "steps": 40, "length": 4, "batch_size": 12}
    return MultiTaskSpec(**{**values, "task_length": 2, "optimizer": SGD, **fields})


def begun(engine: Engine, spec: MultiTaskSpec) -> MultiTaskTraining:
    data = [TaskData(engine.encode(spec, rows(name))) for name in NAMES]
    training = MultiTaskTraining(engine, spec, "ann", data)
    assert engine.model.initialization is not None
    training.begin(engine.model.initialization[-spec.source_length :])
    return training


def wait(future: Any) -> Any:
    return future.result(timeout=240)


def stir(training: MultiTaskTraining) -> None:
    """Move every part away from its start, so that no gradient is zero by chance."""
    state, draw = training.state(), np.random.default_rng(7)
    for part in state.values():
        if isinstance(part, dict):
            noise = draw.normal(scale=0.1, size=part["value"].shape)
            part["value"] = (part["value"] + noise).astype(np.float32)
    training.restore(0, state)


def values(training: MultiTaskTraining) -> dict[str, np.ndarray]:
    return {name: x["value"] for name, x in training.state().items() if name != "losses"}


def autodiff(
    engine: Engine, training: MultiTaskTraining, method: str
) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of the training's next batch, by jax through prompt and model."""
    drawn = training._mix.rows(training.step)
    numbers = [(task, row) for task, index in drawn.items() for row in index.tolist()]
    encoded = [training._tasks[task].examples for task in range(len(NAMES))]

    def padded(side: str) -> np.ndarray:
        wide = np.zeros((len(numbers), 16), np.int32)
        for place, (task, row) in enumerate(numbers):
            ids = getattr(encoded[task], side)[row]
            wide[place, : len(ids)] = ids
        return wide

    batch = Rows(padded("inputs"), padded("targets"), np.array([t for t, _ in numbers], np.int32))
    model = engine.model.frozen.model()

    def loss(parts: dict[str, Any]) -> Any:
        count = len(NAMES)
        general = jnp.repeat(parts["general"], count, axis=0)
        if method == "add":
            combined = general + parts["task"]
        else:
            sources = [general, parts["task"]] if "task" in parts else [general]
            combined = jnp.concatenate(sources, axis=1)
        if method == "affine":
            combined = jnp.einsum("nps,nsd->npd", parts["matrix"], combined) + parts["bias"]
        length = jnp.full((count,), combined.shape[1], jnp.int32)
        found = row_losses(model, Prompts(combined, length), batch)
        return found.loss.sum() / found.tokens.sum()

    value, gradients = jax.jit(jax.value_and_grad(loss))(values(training))
    return float(value), {name: np.asarray(x) for name, x in gradients.items()}


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("concat", {}),
        ("add", {"task_length": 4}),
        ("affine", {"combined_length": 5, "affine_learning_rate": 0.25}),
        ("affine", {"task_length": 0, "affine_learning_rate": 0.25}),
    ],
    ids=["concat", "add", "affine", "affine-of-general"],
)
def test_a_step_follows_the_gradient_of_the_whole_batch(
    engine: Engine, method: str, fields: dict[str, Any]
) -> None:
    training = begun(engine, spec(combination=method, **fields))
    stir(training)
    before = values(training)
    loss, gradients = autodiff(engine, training, method)
    training.advance(wait)
    assert training.progress.loss == pytest.approx(loss, rel=1e-5)
    norm = math.sqrt(sum(float(np.sum(x**2)) for x in gradients.values()))
    assert training.progress.gradient_norm == pytest.approx(norm, rel=1e-3)
    for name, after in values(training).items():
        rate = 0.25 if name in ("matrix", "bias") else 0.5
        assert np.abs(gradients[name]).max() > 0
        np.testing.assert_allclose(
            after, before[name] - rate * gradients[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("method", ["add", "concat", "affine"])
def test_every_combination_starts_as_one_prompt_would(engine: Engine, method: Any) -> None:
    training = begun(engine, spec(combination=method, task_length=None))
    start = engine.model.initialization
    assert start is not None
    for task in range(3):
        combined = training.combined(task)
        np.testing.assert_array_equal(combined, start[-len(combined) :])


@pytest.mark.parametrize("kind", ["adafactor", "adamw"])
def test_a_task_that_is_not_drawn_keeps_its_bits(engine: Engine, kind: Any) -> None:
    """Half the rate's tasks are rare: many batches of four rows have none of theirs."""
    tasks = tuple(
        TaskSpec(name=name, dataset=name, rate=rate)
        for name, rate in zip(NAMES, (100, 1, 5), strict=True)
    )
    fields = {"tasks": tasks, "mixing": "rates", "batch_size": 4, "combination": "affine"}
    training = begun(engine, spec(**fields, optimizer=Optimizer(kind=kind, learning_rate=0.1)))
    absent = 0
    for step in range(6):
        drawn, before = set(training._mix.rows(step)), training.state()
        training.advance(wait)
        after = training.state()
        for name in ("task", "matrix", "bias"):
            for task in range(3):
                same = [
                    np.array_equal(before[name][x][task], after[name][x][task])
                    for x in ("value", "second", "updates")
                ]
                assert all(same) == (task not in drawn), (name, task)
        absent += 3 - len(drawn)
    assert absent > 3


def test_a_restored_run_ends_as_one_that_went_through(engine: Engine) -> None:
    wanted = spec(combination="affine", steps=8, optimizer=Optimizer(decay="linear"))
    through, first = begun(engine, wanted), begun(engine, wanted)
    for _ in range(8):
        through.advance(wait)
    for _ in range(3):
        first.advance(wait)
    second = begun(engine, wanted)
    second.restore(3, first.state())
    assert second.progress.loss == pytest.approx(first.progress.loss)
    np.testing.assert_array_equal(second.progress.task_losses, first.progress.task_losses)
    while second.step < 8:
        second.advance(wait)
    for name, value in values(through).items():
        np.testing.assert_allclose(values(second)[name], value, rtol=0, atol=1e-5, err_msg=name)


def test_three_tasks_learn_together_what_one_prompt_cannot(engine: Engine) -> None:
    """`yes` and `no` want opposite answers to the same inputs."""
    optimizer = Optimizer(kind="adafactor", learning_rate=0.3)
    training = begun(engine, spec(mixing="equal", batch_size=24, optimizer=optimizer))
    training.advance(wait)
    first = training.progress.task_losses
    while training.step < 40:
        training.advance(wait)
    assert np.all(training.progress.task_losses < 0.92 * first)  # the model itself is random
    assert not np.allclose(training.part(0).rows, training.part(1).rows)


def test_a_batch_larger_than_a_call_goes_in_several(served: Any, engine: Engine) -> None:
    whole = begun(engine, spec())
    small = Engine(served, EngineOptions(max_rows=4)).start()
    try:
        parts = begun(small, spec())
        for training in (whole, parts):
            training.advance(wait)
        assert parts.progress.loss == pytest.approx(whole.progress.loss, rel=1e-5)
        np.testing.assert_allclose(parts.general, whole.general, rtol=1e-4, atol=1e-5)
    finally:
        small.close()


def test_a_run_that_diverges_names_its_task(engine: Engine) -> None:
    wild = Optimizer(kind="sgd", learning_rate=1000, weight_decay=0.9)
    training = begun(engine, spec(optimizer=wild))

    def run() -> None:
        while training.step < 40:
            training.advance(wait)

    with pytest.raises(InvalidInput, match=r"task '\w+' was no longer finite at step \d+"):
        run()
