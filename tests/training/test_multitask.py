"""Multi-task training: its gradients against automatic differentiation through the model."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from listening import Notes
from text_passes import Prompts, Rows, row_losses

from ptsys.engine.engine import Engine
from ptsys.kinds.registry import prompt_kind
from ptsys.training.course import Checkpoint, Completed, Ending, Failed
from ptsys.training.loop import Loop
from ptsys.training.multitask import MultiTaskTraining, TaskData, mix_of
from ptsys.types.example import Example
from ptsys.types.multitask import MultiTaskSpec, TaskSpec
from ptsys.types.requests import Decoding
from ptsys.types.training import Optimizer

NAMES = ("yes", "no", "last")
ANSWERS = {"yes": ("ja", "nein!"), "no": ("nein!", "ja"), "last": ("x", "ypsilon")}
SIZES = {"yes": 20, "no": 12, "last": 5}
SGD = Optimizer(kind="sgd", learning_rate=0.5)
PARTS = ("general", "task", "matrix", "bias")


def rows(name: str) -> list[Example]:
    """Tasks of unlike sizes, whose targets have unlike numbers of tokens."""
    words = ANSWERS[name]
    return [Example(f"n{i % 5}", words[i % 2]) for i in range(SIZES[name])]


def spec(**fields: Any) -> MultiTaskSpec:
    tasks = tuple(TaskSpec(name=name, dataset=name) for name in NAMES)
    values = {"name": "m", "tasks": tasks, "steps": 8, "length": 4, "batch_size": 12}
    defaults = {"task_length": 2, "optimizer": SGD, "checkpoint_every": 1}
    return MultiTaskSpec(**{**values, **defaults, **fields})


def run(
    engine: Engine, spec: MultiTaskSpec, start: Checkpoint | None = None, *, scored: int = 0
) -> tuple[Ending, list[Checkpoint], Notes]:
    """Its end, and the states on the way, the one before the first step included."""
    notes, data = Notes(), []
    for name in NAMES:
        own = rows(name)
        held = own[:scored]
        data.append(
            TaskData(
                engine.encode(spec, own), [x.input for x in held], [x.target or "" for x in held]
            )
        )
    assert engine.model.initialization is not None
    first = start or engine.model.initialization[-spec.source_length :]
    training = MultiTaskTraining("m", "ann", spec, data, first, notes)
    before = training._checkpoint(training._task.start, None)
    return Loop(engine).run(training), [before, *notes.kept], notes


def values(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    arrays = checkpoint.arrays
    return {name: np.asarray(arrays[name]["value"]) for name in PARTS if name in arrays}


def stirred(checkpoint: Checkpoint) -> Checkpoint:
    """Every part is away from its start, so that no gradient is zero by chance."""
    draw = np.random.default_rng(7)
    for name, array in values(checkpoint).items():
        noise = draw.normal(scale=0.1, size=array.shape)
        checkpoint.arrays[name]["value"] = (array + noise).astype(np.float32)
    return checkpoint


def autodiff(
    engine: Engine, spec: MultiTaskSpec, parts: dict[str, np.ndarray]
) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of the first batch, by jax through prompt and model."""
    sizes = [SIZES[name] for name in NAMES]
    drawn = mix_of(spec, sizes).rows(0)
    numbers = [(task, row) for task, index in drawn.items() for row in index.tolist()]
    encoded = [engine.encode(spec, rows(name)) for name in NAMES]

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
        if spec.combination == "add":
            combined = general + parts["task"]
        else:
            sources = [general, parts["task"]] if "task" in parts else [general]
            combined = jnp.concatenate(sources, axis=1)
        if spec.combination == "affine":
            combined = jnp.einsum("nps,nsd->npd", parts["matrix"], combined) + parts["bias"]
        length = jnp.full((count,), combined.shape[1], jnp.int32)
        found = row_losses(model, Prompts(combined, length), batch)
        return found.loss.sum() / found.tokens.sum()

    value, gradients = jax.jit(jax.value_and_grad(loss))(parts)
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
    wanted = spec(combination=method, steps=2, **fields)
    _, [start, *_], _ = run(engine, wanted)
    start = stirred(start)
    before = values(start)
    loss, gradients = autodiff(engine, wanted, before)
    _, [_, after], _ = run(engine, wanted, start)
    assert after.metrics["loss"] == pytest.approx(loss, rel=1e-5)
    norm = math.sqrt(sum(float(np.sum(x**2)) for x in gradients.values()))
    assert after.metrics["gradient_norm"] == pytest.approx(norm, rel=1e-3)
    for name, array in values(after).items():
        rate = 0.25 if name in ("matrix", "bias") else 0.5
        assert np.abs(gradients[name]).max() > 0
        np.testing.assert_allclose(
            array, before[name] - rate * gradients[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("method", ["add", "concat", "affine"])
def test_every_combination_starts_as_one_prompt_would(engine: Engine, method: Any) -> None:
    wanted = spec(combination=method, task_length=None, steps=1)
    data = [TaskData(engine.encode(wanted, rows(name))) for name in NAMES]
    start = engine.model.initialization
    assert start is not None
    first = start[-wanted.source_length :]
    training = MultiTaskTraining("m", "ann", wanted, data, first, Notes())
    for task in range(3):
        reading = prompt_kind(method).reading(training._task.start.values, task)["prompt"]
        np.testing.assert_array_equal(reading, start[-len(reading) :])


@pytest.mark.parametrize("kind", ["adafactor", "adamw"])
def test_a_task_that_is_not_drawn_keeps_its_bits_and_its_loss(engine: Engine, kind: Any) -> None:
    """Half the rate's tasks are rare: many batches of four rows have none of theirs."""
    tasks = tuple(
        TaskSpec(name=name, dataset=name, rate=rate)
        for name, rate in zip(NAMES, (100, 1, 5), strict=True)
    )
    fields = {"tasks": tasks, "mixing": "rates", "batch_size": 4, "combination": "affine"}
    wanted = spec(**fields, steps=7, optimizer=Optimizer(kind=kind, learning_rate=0.1))
    _, states, _ = run(engine, wanted)
    mix = mix_of(wanted, [SIZES[name] for name in NAMES])
    absent = 0
    for step, (before, after) in enumerate(itertools.pairwise(states)):
        drawn = set(mix.rows(step))
        for name in ("task", "matrix", "bias"):
            for task in range(3):
                same = [
                    np.array_equal(before.arrays[name][x][task], after.arrays[name][x][task])
                    for x in ("value", "second", "updates")
                ]
                assert all(same) == (task not in drawn), (name, task)
        losses = before.arrays["losses"][2:], after.arrays["losses"][2:]
        unseen = [task for task in range(3) if task not in drawn]
        np.testing.assert_array_equal(losses[0][unseen], losses[1][unseen])
        absent += len(unseen)
    assert absent > 3


def test_a_restored_run_ends_as_one_that_went_through(engine: Engine) -> None:
    wanted = spec(combination="affine", optimizer=Optimizer(decay="linear"))
    through, states, _ = run(engine, wanted, scored=2)
    again, _, notes = run(engine, wanted, states[3], scored=2)
    assert isinstance(through, Completed)
    assert isinstance(again, Completed)
    assert notes.reached[-1] == 8
    for one, other in zip(through.prompts, again.prompts, strict=True):
        assert (one.name, one.task, set(one.scores)) == (other.name, other.task, set(other.scores))
        for name, array in one.values.items():
            np.testing.assert_allclose(other.values[name], array, rtol=0, atol=1e-5, err_msg=name)


def test_it_tells_what_each_task_reaches(engine: Engine) -> None:
    ending, _, notes = run(engine, spec(evaluate_every=4, mixing="equal"), scored=3)
    assert isinstance(ending, Completed)
    assert {"loss", "gradient_norm", *(f"loss/{name}" for name in NAMES)} <= set(notes.metrics)
    assert [step for step, _ in notes.scores] == [4, 8]
    scores = notes.scores[-1][1]
    mean = sum(scores[f"accuracy/{name}"] for name in NAMES) / 3
    assert scores["accuracy"] == pytest.approx(mean)
    general, *tasks = ending.prompts
    assert [prompt.name for prompt in ending.prompts] == ["m", "m.yes", "m.no", "m.last"]
    assert (general.task, [prompt.task for prompt in tasks]) == (None, [0, 1, 2])
    assert general.values["prompt"].shape == (4, 16)
    assert tasks[0].values["prompt"].shape == (2, 16)
    for name, prompt in zip(NAMES, tasks, strict=True):
        assert prompt.scores["train_loss"] == pytest.approx(notes.metrics[f"loss/{name}"])


def test_answers_to_be_scored_have_room_for_the_longest_target(engine: Engine) -> None:
    inputs, targets = ["n0", "n1", "n2"], ["ten letter", "x", "eleven char"]  # 12 tokens
    seen: list[list[str]] = []

    def scorer(predictions: Sequence[str], _: Sequence[str]) -> dict[str, float]:
        seen.append(list(predictions))
        return {"seen": 1.0}

    wanted = spec(tasks=(TaskSpec(name="a", dataset="a"),), steps=1)
    data = TaskData(engine.encode(wanted, rows("yes")), inputs, targets, scorer)
    assert engine.model.initialization is not None
    start = engine.model.initialization[-wanted.source_length :]
    ending = Loop(engine).run(MultiTaskTraining("m", "ann", wanted, [data], start, Notes()))
    assert isinstance(ending, Completed)
    combined = np.concatenate([prompt.values["prompt"] for prompt in ending.prompts])
    answers = engine.predict(inputs, combined, Decoding(max_tokens=16)).result(120)
    assert max(len(row.prediction.encode()) for row in answers) > 4  # shorter ones would be cut
    assert seen == [[row.prediction for row in answers]]


def test_three_tasks_learn_together_what_one_prompt_cannot(engine: Engine) -> None:
    """`yes` and `no` want opposite answers to the same inputs."""
    optimizer = Optimizer(kind="adafactor", learning_rate=0.3)
    wanted = spec(mixing="equal", batch_size=24, optimizer=optimizer, steps=40)
    ending, states, _ = run(engine, wanted)
    assert isinstance(ending, Completed)
    first = states[1].arrays["losses"][2:]
    last = [ending.metrics[f"loss/{name}"] for name in NAMES]
    assert np.all(np.array(last) < 0.92 * first)  # the model itself is random
    one, other = (prompt.values["prompt"] for prompt in ending.prompts[1:3])
    assert not np.allclose(one, other)


def test_a_run_that_diverges_fails_by_its_own_fault(engine: Engine) -> None:
    wild = Optimizer(kind="sgd", learning_rate=1000, weight_decay=0.9)
    ending, _, _ = run(engine, spec(optimizer=wild, steps=40))
    assert isinstance(ending, Failed)
    assert not ending.retry
    assert "no longer finite" in ending.message
