"""The loop on a real (tiny, random) engine: whatever ends a course, nothing of it trains on."""

import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from listening import Notes
from waiting import until

from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.trainings import Snapshot, TrainingTask, Validation
from ptsys.errors import InvalidInput, LeaseLost, Unavailable
from ptsys.training import loop as loop_module
from ptsys.training.course import Completed, Ending, Failed, Interrupted, Steps
from ptsys.training.last_rows import LastRows
from ptsys.training.loop import Loop, Place
from ptsys.training.single import SingleTraining
from ptsys.types.example import Example
from ptsys.types.training import Optimizer, TrainingSpec

ROWS = [Example(f"n{i % 5}", ("ja", "no")[i % 2]) for i in range(12)]
ENDLESS = 1_000_000


def single(
    engine: Engine, notes: Notes, name: str = "one", start: Snapshot | None = None, **fields: Any
) -> SingleTraining:
    last = fields.pop("last", None)
    values = {"name": name, "dataset": "d", "steps": 6, "length": 4, "batch_size": 4}
    optimizer = Optimizer(kind="sgd", learning_rate=0.1)
    spec = TrainingSpec(**{**values, "optimizer": optimizer, "checkpoint_every": 2, **fields})
    assert engine.model.initialization is not None
    task = TrainingTask(
        name,
        "u",
        spec,
        engine.encode(spec, ROWS),
        start or Snapshot.start(engine.model.initialization[-4:]),
        [Validation(["n1", "n2"], ["no", "ja"])],
    )
    return SingleTraining(task, notes, last=last)


def in_thread(loop: Loop, course: SingleTraining) -> tuple[threading.Thread, list[Any]]:
    endings: list[Any] = []

    def drive() -> None:
        try:
            endings.append(loop.run(course))
        except Exception as error:
            endings.append(error)

    thread = threading.Thread(target=drive)
    thread.start()
    return thread, endings


def test_a_training_goes_to_its_end_and_tells_all(engine: Engine) -> None:
    notes = Notes()
    last = LastRows(["n1"], ["no"], lambda answers, _: {"seen": float(len(answers))})
    ending = Loop(engine).run(single(engine, notes, evaluate_every=3, last=last))
    assert isinstance(ending, Completed)
    [made] = ending.prompts
    assert (made.name, made.dataset, made.steps, ending.step) == ("one", "d", 6, 6)
    assert set(made.values) == {"prompt"}
    assert made.values["prompt"].shape == (4, 16)
    assert {"accuracy", "token_f1", "train_loss", "test_seen"} == set(made.scores)
    assert made.scores["test_seen"] == 1.0
    assert {"loss", "gradient_norm", "accuracy", "token_f1"} == set(ending.metrics)
    assert [checkpoint.step for checkpoint in notes.kept] == [2, 4]
    assert [step for step, _ in notes.scores] == [3, 6]
    assert notes.reached[-1] == 6


def test_from_any_checkpoint_it_ends_with_the_same_bits(engine: Engine) -> None:
    notes = Notes()
    whole = Loop(engine).run(single(engine, notes))
    for checkpoint in notes.kept:
        start = Snapshot.of(checkpoint.step, checkpoint.arrays, single(engine, notes)._task.start)
        again = Loop(engine).run(single(engine, Notes(), start=start))
        assert isinstance(whole, Completed)
        assert isinstance(again, Completed)
        assert np.array_equal(again.prompts[0].values["prompt"], whole.prompts[0].values["prompt"])


def test_stopped_it_loses_no_step(engine: Engine) -> None:
    notes, loop = Notes(), Loop(engine, pause=lambda: 0.01)
    thread, endings = in_thread(
        loop, single(engine, notes, steps=ENDLESS, checkpoint_every=ENDLESS)
    )
    until(lambda: notes.reached and notes.reached[-1] > 3, 60)
    loop.stop()
    thread.join(60)
    [ending] = endings
    assert isinstance(ending, Interrupted)
    assert ending.checkpoint is not None
    assert ending.checkpoint.step == notes.reached[-1]
    assert math.isfinite(ending.checkpoint.notes["loss"])
    assert isinstance(loop.run(single(engine, notes)), Interrupted)  # it stays stopped


@pytest.mark.parametrize("how", ["lost", "refused"])
def test_once_nobody_may_hear_it_its_resident_leaves(engine: Engine, how: str) -> None:
    notes, lost = Notes(), threading.Event()
    loop = Loop(engine, pause=lambda: 0.01, lost=lost.is_set)
    thread, endings = in_thread(loop, single(engine, notes, name=how, steps=ENDLESS))
    until(lambda: len(notes.reached) > 2, 60)
    if how == "lost":
        lost.set()
        loop.stop()
    else:
        notes.refuse = True
    thread.join(60)
    [ending] = endings
    assert isinstance(ending, Interrupted if how == "lost" else LeaseLost)
    until(lambda: engine._residents.empty, 60)


def test_many_go_side_by_side_and_one_that_fails_fails_alone(engine: Engine) -> None:
    wild = Optimizer(kind="sgd", learning_rate=1000, weight_decay=0.9)
    notes = Notes()
    courses = [single(engine, notes, name=f"p{number}") for number in range(5)]
    courses.insert(2, single(engine, notes, name="wild", steps=60, optimizer=wild))
    found: dict[Any, Ending] = dict(Loop(engine).run_all([*courses, Refused()], most=3))
    assert len(found) == 7
    failed = {course for course, ending in found.items() if isinstance(ending, Failed)}
    assert courses[2] in failed
    assert len(failed) == 2
    assert sum(isinstance(ending, Completed) for ending in found.values()) == 5


class Refused:
    """A course that cannot begin."""

    def run(self, place: Place) -> Steps[Ending]:
        yield
        raise InvalidInput("no")

    def tell(self) -> None:
        """Nothing to tell."""

    def checkpoint(self) -> None:
        return None


@pytest.fixture
def mortal(served: Any) -> Iterator[Engine]:
    engine = Engine(served, EngineOptions(max_residents=4))
    yield engine
    engine.close()


def test_what_joins_before_the_engine_starts_waits_for_it(
    mortal: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "_GONE_SECONDS", 0.0)
    notes = Notes()

    def courses() -> Iterator[SingleTraining]:
        for number in range(3):
            yield single(mortal, notes, name=f"p{number}")

    endings = [ending for _, ending in Loop(mortal).run_all(courses(), 8, mortal.start)]
    assert len(endings) == 3
    assert all(isinstance(ending, Completed) for ending in endings)


def test_without_a_device_thread_nobody_waits_for_ever(
    mortal: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "_GONE_SECONDS", 0.1)
    monkeypatch.setattr(mortal, "train", lambda task, told: _silent(task))
    with pytest.raises(Unavailable, match="device thread"):
        Loop(mortal, pause=lambda: 0.05).run(single(mortal, Notes()))


def _silent(task: TrainingTask) -> Any:
    from ptsys.engine.trainings import Training

    return Training(task, lambda _: None)
