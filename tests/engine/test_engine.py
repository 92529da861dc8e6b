"""The engine on a real (tiny, random) model: users in company, joining, leaving, failing."""

import concurrent.futures
from typing import NamedTuple

import numpy as np
import pytest
from text_passes import Prompts, Rows, gradients

from ptsys.engine.calls import Call, Placement
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.groups import Group
from ptsys.engine.requests import answer_calls
from ptsys.engine.trainings import Checkpointed, Failed, Finished, Snapshot, Stopped, TrainingTask
from ptsys.errors import InvalidInput, Unavailable
from ptsys.kinds.trees import Feature
from ptsys.passes.frozen import freeze
from ptsys.types.example import Example
from ptsys.types.requests import Decoding
from ptsys.types.training import Optimizer, TrainingSpec

EXAMPLES = [Example(input=f"n{i % 5}", target=["ja", "no"][i % 2]) for i in range(20)]


def task(engine: Engine, name: str, *, user: str = "u", start=None, **spec) -> TrainingTask:
    fields = {"steps": 12, "length": 8, "batch_size": 4, "checkpoint_every": 5, **spec}
    training = TrainingSpec(name=name, dataset="d", **fields)
    prompt = engine.model.initialization[-training.length :]
    return TrainingTask(
        name, user, training, engine.encode(training, EXAMPLES), start or Snapshot.start(prompt)
    )


def events(training):
    found = []
    while not found or not isinstance(found[-1], Finished | Failed | Stopped):
        found.append(training.events.get(timeout=120))
    return found


def last(training):
    return events(training)[-1]


def test_a_job_finishes_with_checkpoints_on_the_way(engine):
    found = events(engine.train(task(engine, "alone")))
    assert [type(event) for event in found] == [Checkpointed, Checkpointed, Finished]
    assert [event.snapshot.step for event in found] == [5, 10, 12]
    assert np.abs(found[-1].snapshot.prompt - engine.model.initialization[-8:]).max() > 0.1


def test_a_resumed_job_ends_with_the_same_bits(engine):
    whole = events(engine.train(task(engine, "whole", optimizer=Optimizer(kind="adamw"))))
    middle = whole[0].snapshot
    rest = last(engine.train(task(engine, "rest", start=middle, optimizer=Optimizer(kind="adamw"))))
    for one, other in zip(
        whole[-1].snapshot.state().items(), rest.snapshot.state().items(), strict=True
    ):
        assert one[0] == other[0]
        assert np.array_equal(one[1], other[1])


def test_company_and_more_jobs_than_slots_change_no_result(engine):
    alone = last(engine.train(task(engine, "a", seed=3))).snapshot.prompt
    crowd = [
        engine.train(task(engine, f"c{i}", user=f"u{i % 3}", seed=3 if i == 2 else i, length=8))
        for i in range(7)
    ]
    together = [last(training) for training in crowd]
    assert all(isinstance(event, Finished) for event in together)
    np.testing.assert_allclose(together[2].snapshot.prompt, alone, atol=1e-5)


def test_stop_loses_no_step_and_frees_the_slot(engine):
    training = engine.train(task(engine, "long", steps=100_000, checkpoint_every=100_000))
    while training.progress.step < 3:
        pass
    training.stop()
    stopped = last(training)
    assert isinstance(stopped, Stopped)
    assert stopped.snapshot.step >= training.progress.step >= 3
    assert isinstance(last(engine.train(task(engine, "next"))), Finished)


def test_a_diverging_job_fails_alone(engine):
    broken = Snapshot.start(engine.model.initialization[-8:].copy())
    broken.first["prompt"][0, 0] = np.nan  # as a restored optimizer state might be
    bad = engine.train(task(engine, "bad", start=broken, optimizer=Optimizer(kind="adamw")))
    good = engine.train(task(engine, "good"))
    failed = last(bad)
    assert isinstance(failed, Failed)
    assert "learning rate" in failed.message
    assert isinstance(last(good), Finished)


def test_gradients_equal_the_pass_called_directly(engine):
    prompt = engine.model.initialization[:5]
    inputs, targets = ["hello", "a longer input"], ["yes", "no"]
    futures = [engine.gradients(inputs, targets, prompt * k, user=f"u{k}") for k in (1, 2, 3)]
    result = futures[0].result(timeout=120)
    vocabulary = engine.model.vocabulary
    x = np.zeros((2, 16), np.int32)
    y = np.zeros((2, 8), np.int32)
    for row, (source, target) in enumerate(zip(inputs, targets, strict=True)):
        ids, wanted = [*vocabulary.encode(source), 1], [*vocabulary.encode(target), 1]
        x[row, : len(ids)], y[row, : len(wanted)] = ids, wanted
    direct = gradients(
        freeze(engine.model.frozen.model()),
        Prompts(prompt[None], np.array([5])),
        Rows(x, y, np.zeros(2, np.int32)),
    )
    assert result.loss == pytest.approx(float(direct.loss[0]), rel=1e-5)
    np.testing.assert_allclose(result.gradient, direct.values[0], rtol=1e-4, atol=1e-6)
    assert result.tokens == 4 + 3


def test_a_step_that_fails_on_the_device_fails_its_calls_and_no_others(engine, monkeypatch):
    def broken(*_):
        raise RuntimeError("the device is gone")

    with monkeypatch.context() as patch:
        patch.setattr("ptsys.engine.requests.answer_calls", broken)
        with pytest.raises(RuntimeError, match="gone"):
            engine.predict(["n1"]).result(60)
    assert len(engine.predict(["n1"]).result(60)) == 1


def test_predict_splits_long_requests_and_keeps_order(engine):
    inputs = [f"row {i}" for i in range(150)]
    prompt = engine.model.initialization
    whole = engine.predict(inputs, prompt, Decoding(max_tokens=4)).result(timeout=120)
    single = engine.predict([inputs[77]], prompt, Decoding(max_tokens=4)).result(timeout=120)
    assert len(whole) == 150
    assert whole[77].prediction == single[0].prediction
    assert whole[77].score == pytest.approx(single[0].score, abs=1e-4)


def test_labels_are_scored_and_the_best_one_wins(engine):
    [row] = engine.predict(["x"], None, Decoding(labels=("ja", "no"))).result(timeout=120)
    assert row.label_scores is not None
    assert set(row.label_scores) == {"ja", "no"}
    assert row.score == max(row.label_scores.values())
    assert row.label_scores[row.prediction] == row.score


@pytest.mark.parametrize(
    ("prompt", "field"),
    [(np.zeros((4, 7), np.float32), "prompt"), (np.full((4, 16), np.nan, np.float32), "prompt")],
)
def test_bad_prompts_are_refused_before_they_reach_the_device(engine, prompt, field):
    with pytest.raises(InvalidInput) as caught:
        engine.predict(["x"], prompt)
    assert caught.value.field == field


def test_too_long_a_target_is_refused_with_its_row(engine):
    with pytest.raises(InvalidInput, match="2"):
        engine.gradients(["a", "b"], ["ok", "x" * 99], engine.model.initialization)


def test_drain_stops_residents_without_losing_a_step_and_refuses_more(served):
    engine = Engine(served, EngineOptions(max_residents=1)).start()
    jobs = [engine.train(task(engine, f"d{i}", steps=100_000)) for i in range(2)]
    while jobs[0].progress.step < 2:
        pass
    assert engine.drain(timeout=60)
    ends = [last(training) for training in jobs]
    assert all(isinstance(end, Stopped) for end in ends)
    assert ends[0].snapshot.step >= 2
    assert ends[1].snapshot.step == 0
    with pytest.raises(Unavailable):
        engine.predict(["x"])
    engine.close()


def test_a_failure_on_the_device_is_told_to_those_who_wait(engine):
    """It shows only when a step's results are read, after the step was dispatched."""

    class Lost(NamedTuple):
        loss: object

    class Broken:
        def __array__(self, *_: object, **__: object) -> np.ndarray:
            raise RuntimeError("the device is gone")

    features = {"inputs": [[1]], "targets": [[1]]}
    rows = (Feature("inputs", (16,)), Feature("targets", (8,)))
    group = Group("gradients", engine.model.no_prompt, rows)
    calls = [
        Call(n, "u", group, None, n, features, (0,), concurrent.futures.Future()) for n in range(2)
    ]
    placements = [Placement(call, np.arange(1), 0, 0) for call in calls]
    with pytest.raises(RuntimeError, match="gone"):
        answer_calls(placements, lambda: Lost(Broken()), engine.model.rows)
    for call in calls:
        with pytest.raises(RuntimeError, match="gone"):
            call.future.result(timeout=1)
