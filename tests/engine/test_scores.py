"""Scores taken while training: answers have room for the targets of the rows that are scored,
whatever the rows that are trained on."""

import time

import numpy as np
import pytest

from ptsys.engine.engine import Engine
from ptsys.engine.trainings import Finished, Snapshot, TrainingTask, validations
from ptsys.kinds.buckets import fit
from ptsys.library.augmentation import Chain
from ptsys.models.t5.text import TARGET_LENGTHS
from ptsys.training.augmentation.scores import score
from ptsys.training.augmentation.state import Way
from ptsys.training.augmentation.task import AugmentationTask
from ptsys.training.loop import Loop, Place
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.requests import Decoding
from ptsys.types.scoring import scoring
from ptsys.types.training import TrainingSpec

SHORT = [Example(f"n{i}", "ab"[i % 2]) for i in range(8)]  # 2 tokens with the end
INPUTS = [f"n{i}" for i in range(6)]
LONG = ["ten letter", "nine char", "x", "", "eleven char", "five"]
ROOM = 16  # the longest has 12 tokens


def answers(engine: Engine, prompt: np.ndarray) -> list[str]:
    """What is asked for by hand, with the room that the longest target needs."""
    found = engine.predict(INPUTS, prompt, Decoding(max_tokens=ROOM)).result(120)
    assert max(len(row.prediction.encode()) for row in found) > 4  # shorter ones would be cut
    return [row.prediction for row in found]


class Spy:
    """A scorer that keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def __call__(self, predictions: list[str], targets: list[str]) -> dict[str, float]:
        assert list(targets) == LONG
        self.seen.append(list(predictions))
        return {"seen": 1.0}


@pytest.mark.parametrize("longest", [1, 2, 4, 5, 12, 16, 17, 64, 65, 512, 9000])
def test_the_room_is_that_of_a_compiled_shape_and_holds_the_longest_target(longest: int) -> None:
    room = scoring(longest, 9999).max_tokens
    assert room == fit(min(longest, 512), TARGET_LENGTHS, "target")
    assert scoring(longest, 10).max_tokens == min(room, 10)
    assert scoring(longest, 9999, ["a", "b"]).labels == ("a", "b")


def test_a_jobs_validation(engine: Engine) -> None:
    spec, spy = TrainingSpec(name="x", dataset="x", steps=2, length=8, evaluate_every=1), Spy()
    start = Snapshot.start(engine.model.initialization[-8:])
    task = TrainingTask(
        "x", "u", spec, engine.encode(spec, SHORT), start, validations(INPUTS, LONG, score=spy)
    )  # fmt: skip
    training = engine.train(task)
    found = []
    while not found or not isinstance(found[-1], Finished):
        found.append(training.events.get(timeout=120))
    assert len(spy.seen) == 2  # on the way, and at the end
    assert spy.seen[-1] == answers(engine, found[-1].snapshot.prompt)


def test_what_an_augmentation_chooses_by(engine: Engine) -> None:
    spec, start = AugmentSpec(name="x", dataset="x", length=8), engine.model.initialization[-8:]
    task = AugmentationTask(
        "x", "u", spec, engine.encode(spec, SHORT), start,
        validation_inputs=INPUTS, validation_targets=answers(engine, start),
    )  # fmt: skip
    way = Way(Chain(name="query", origin="shared"), Snapshot.start(start))
    for _ in score(Place(Loop(engine)), task, [way]):
        time.sleep(0.01)
    assert way.scores["accuracy"] == 1.0
