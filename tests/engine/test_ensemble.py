"""Several prompts' answers made one."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from ptsys.engine.ensemble import join_ensemble, mean, vote
from ptsys.errors import Unavailable
from ptsys.types.requests import Prediction


def answers(*texts_and_scores: tuple[str, float]) -> list[Prediction]:
    return [Prediction(prediction=text, score=score) for text, score in texts_and_scores]


def test_the_majority_wins_even_against_a_surer_member() -> None:
    best = vote(answers(("a", -3.0), ("b", -0.1), ("a", -5.0)))
    assert (best.prediction, best.score) == ("a", -4.0)


def test_among_equals_the_higher_summed_score_wins() -> None:
    assert vote(answers(("a", -3.0), ("b", -0.1))).prediction == "b"


def test_the_mean_can_choose_what_no_member_did() -> None:
    row = [
        Prediction(prediction="a", score=-1, label_scores={"a": -1.0, "b": -9.0, "c": -2.0}),
        Prediction(prediction="b", score=-1, label_scores={"a": -9.0, "b": -1.0, "c": -2.0}),
    ]
    best = mean(row)
    assert best.prediction == "c"
    assert best.label_scores == {"a": -5.0, "b": -5.0, "c": -2.0}


def test_one_failed_member_fails_the_ensemble() -> None:
    good: Future[list[Prediction]] = Future()
    bad: Future[list[Prediction]] = Future()
    joined = join_ensemble([good, bad], "vote")
    bad.set_exception(Unavailable("gone"))
    assert not joined.done()
    good.set_result(answers(("a", -1.0)))
    with pytest.raises(Unavailable, match="gone"):
        joined.result(1)
