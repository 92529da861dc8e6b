"""The client, over a real socket, against the real application, queue and worker."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tiny_model

from ptsys.client import Client, Optimizer
from ptsys.errors import Conflict, InvalidInput, JobFailed, RowsWarning
from ptsys.types.example import Example

pytestmark = pytest.mark.device
MODEL = tiny_model.NAME
ROWS = tiny_model.rows()
LENGTH, BATCH, STEPS, SEED = 8, 16, 50, 5


@pytest.fixture(scope="module")
def start() -> np.ndarray:
    draw = np.random.default_rng(0)
    return draw.normal(scale=0.5, size=(LENGTH, tiny_model.D_MODEL)).astype(np.float32)


def example(repository: Path, name: str) -> ModuleType:
    """A script of `examples/`, as a module."""
    spec = importlib.util.spec_from_file_location(name, repository / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_loop_with_optax_is_the_services_own_job(
    ann: Client, start: np.ndarray, repository: Path
) -> None:
    """The same seed, batches and start: the same losses along the way, and the same prompt."""
    prompt, losses = example(repository, "optax_loop").tune(
        ann, start, ROWS, STEPS, batch_size=BATCH, seed=SEED, model=MODEL
    )
    ann.prompts.add("start", start, model=MODEL)
    told: dict[int, float] = {}
    for steps in range(5, STEPS + 1, 5):  # a job tells its last loss, and some on its way
        job = ann.train(
            f"job-{steps}",
            ann.datasets.ensure("rows", ROWS),
            model=MODEL,
            steps=steps,
            length=LENGTH,
            batch_size=BATCH,
            seed=SEED,
            optimizer=Optimizer(kind="adafactor", learning_rate=0.3),
            initialization={"kind": "prompt", "prompt": "start"},
        )
        for event in job.events(timeout=240):
            if event.kind == "progress":
                told[event.data["step"]] = event.data["loss"]
        told[steps] = job.wait().metrics["loss"]
    assert losses[-1] < 0.8 * losses[0]
    steps_told = sorted(told)
    assert len(steps_told) >= STEPS // 5
    np.testing.assert_allclose(
        [losses[step - 1] for step in steps_told], [told[step] for step in steps_told], rtol=1e-4
    )
    np.testing.assert_allclose(prompt, job.tensor(), rtol=1e-3, atol=1e-3)


def test_a_loop_in_plain_numpy_learns(ann: Client, start: np.ndarray, repository: Path) -> None:
    loop = example(repository, "numpy_loop")
    prompt, losses = loop.tune(ann, start, ROWS, 60, model=MODEL)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert prompt.dtype == np.float32


def test_a_loop_in_torch_learns(ann: Client, start: np.ndarray, repository: Path) -> None:
    torch = pytest.importorskip("torch")
    loop = example(repository, "torch_loop")
    _, losses = loop.tune(ann, torch.from_numpy(start), ROWS, 60, model=MODEL)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_a_general_and_two_task_specific_prompts_learn_together(
    ann: Client, start: np.ndarray, repository: Path
) -> None:
    """The second task asks for the opposite answers: no one prompt could do both."""
    swapped = [
        type(row)(row.input, {"red": "blue", "blue": "red"}[row.target or ""]) for row in ROWS
    ]
    loop = example(repository, "multitask_loop")
    general, specific, losses = loop.tune(
        ann, start[:6], [start[6:], start[6:]], [ROWS, swapped], 60, model=MODEL
    )
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert general.shape == (6, tiny_model.D_MODEL)
    assert not np.allclose(specific[0], specific[1])


def test_gradients_in_parts_are_the_gradient_of_the_whole(
    ann: Client, start: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with unlike numbers of tokens: the parts do not weigh the same."""
    rows = [type(row)(row.input, "red blue red" if n % 3 else "red") for n, row in enumerate(ROWS)]
    whole = ann.gradients(start, rows[:16], model=MODEL)
    monkeypatch.setattr(ann, "_rows", 9)
    parts = ann.gradients(start, rows[:16], model=MODEL)
    assert (parts.tokens, parts.predictions) == (whole.tokens, whole.predictions)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    np.testing.assert_allclose(parts.row_losses, whole.row_losses, rtol=1e-4)
    np.testing.assert_allclose(parts.gradient, whole.gradient, rtol=1e-3, atol=1e-5)
    (alone,) = ann.gradients(start, rows[:1], model=MODEL).row_losses
    assert alone == pytest.approx(whole.row_losses[0], rel=1e-4)


def test_a_job_from_rows_to_answers(ann: Client) -> None:
    job = ann.train(
        "reviews", ROWS, validation=tiny_model.rows(12, seed=9), model=MODEL, length=8, steps=60
    )
    ended = job.wait(timeout=240, progress=True)
    assert ended.prompt == ann.prompts.get("reviews").id
    assert ann.prompts.tensor("reviews").shape == (8, tiny_model.D_MODEL)
    inputs = [row.input for row in ROWS[:5]]
    by_record = ann.predict(ann.prompts.get("reviews"), inputs, labels=["red", "blue"])
    by_tensor = ann.predict(job.tensor(), inputs, model=MODEL, labels=["red", "blue"])
    assert [x.prediction for x in by_record] == [x.prediction for x in by_tensor]
    assert set(by_record[0].label_scores or {}) == {"red", "blue"}
    assert set(ann.evaluate("reviews", "reviews-train", model=MODEL)) == {"accuracy", "token_f1"}


def test_tasks_trained_together_by_the_service(ann: Client) -> None:
    swapped = [
        type(row)(row.input, {"red": "blue", "blue": "red"}[row.target or ""]) for row in ROWS
    ]
    job = ann.train_multitask(
        "pair",
        {"same": ROWS, "other": swapped},
        validation={"other": swapped[:8]},
        rates={"same": 1, "other": 2},
        combination="affine",
        model=MODEL,
        length=6,
        task_length=4,
        steps=40,
    )
    ended = job.wait(timeout=240)
    assert ended.kind == "multitask"
    record = ann.prompts.get("pair.other")
    assert (record.general, record.combination, record.task) == (ended.prompt, "affine", "other")
    assert ann.prompts.tensor("pair.other").shape == (4, tiny_model.D_MODEL)
    combined = ann.prompts.tensor("pair.other", combined=True)
    np.testing.assert_array_equal(combined, job.tensor("other"))
    assert combined.shape == (10, tiny_model.D_MODEL)
    inputs, labels = [row.input for row in ROWS[:4]], ["red", "blue"]
    told = ann.predict("pair.other", inputs, labels=labels, model=MODEL)
    by_hand = ann.predict(combined, inputs, labels=labels, model=MODEL)
    assert [x.score for x in told] == pytest.approx([x.score for x in by_hand], abs=1e-4)
    gradient = ann.gradients("pair.other", ROWS[:4], model=MODEL).gradient
    assert gradient.shape == combined.shape
    ann.prompts.add("zeros", np.zeros((6, tiny_model.D_MODEL), np.float32), model=MODEL)
    other = ann.predict("pair.other", inputs, general="zeros", labels=labels, model=MODEL)
    assert [x.score for x in other] != [x.score for x in told]
    ann.evaluate("pair.other", ROWS[:4], general="zeros", model=MODEL)
    with pytest.raises(Conflict, match=r"pair\.other"):
        ann.prompts.delete("pair")
    with pytest.raises(InvalidInput, match="no task 'nope'"):
        ann.train_multitask("x", {"a": ROWS}, rates={"nope": 1})


def test_inputs_are_refused_or_cut_with_one_warning(
    ann: Client, start: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked, and in however many parts."""
    rows = [Example("river " * 90, "red"), Example("stone " * 90, "red")]
    monkeypatch.setattr(ann, "_rows", 1)
    told = "^2 of 2 inputs are longer than the model reads; their ends are cut off$"
    inputs = [row.input for row in rows]
    calls: list[Callable[..., object]] = [
        lambda **given: ann.predict(start, inputs, model=MODEL, max_tokens=4, **given),
        lambda **given: ann.evaluate(start, rows, model=MODEL, **given),
        lambda **given: ann.gradients(start, rows, model=MODEL, **given),
    ]
    for call in calls:
        with pytest.raises(InvalidInput, match="at most 64 are read") as refused:
            call()
        assert (refused.value.field or "").startswith("inputs.")
        with pytest.warns(RowsWarning, match=told) as warned:
            call(truncate=True)
        assert len(warned) == 1
    with pytest.raises(InvalidInput, match="row 1: 'input' has"):
        ann.train("cut", rows, model=MODEL, length=8, steps=1)
    job = ann.train("cut", rows, model=MODEL, length=8, steps=1, truncate=True)
    job.wait(timeout=240)
    lines = [event.data["message"] for event in job.events() if event.kind == "log"]
    assert lines == [
        "2 of 2 inputs are longer than the 64 tokens that are read; their ends are cut off"
    ]


def test_a_job_that_fails_says_why(ann: Client) -> None:
    diverging = Optimizer(kind="sgd", learning_rate=1000, weight_decay=0.9)
    job = ann.train("doomed", ROWS, model=MODEL, length=8, steps=60, optimizer=diverging)
    with pytest.raises(JobFailed, match="no longer finite"):
        job.wait(timeout=240)


def test_several_prompts_of_a_task_answer_as_one(ann: Client, start: np.ndarray) -> None:
    members = [ann.prompts.add(f"member-{n}", start * n, model=MODEL) for n in (1, 2)]
    inputs, labels = [row.input for row in ROWS[:5]], ["red", "blue"]
    alone = [ann.predict(member, inputs, labels=labels) for member in members]
    mixed = [members[0], "member-2"]  # records and names
    together = ann.predict(mixed, inputs, labels=labels, ensemble="mean", model=MODEL)
    for row, answer in enumerate(together):
        means = {
            label: np.mean([(found[row].label_scores or {})[label] for found in alone])
            for label in labels
        }
        assert answer.label_scores == pytest.approx(means, abs=1e-4)
    scores = ann.evaluate(mixed, ROWS[:5], labels=labels)
    assert 0 <= scores["accuracy"] <= 1
