"""Which answers become rows of a dataset."""

import math

import pytest

from ptsys.data.answered import answered, confidence, description
from ptsys.errors import InvalidInput
from ptsys.types.example import Example
from ptsys.types.requests import Prediction


class Letters:
    """A vocabulary whose tokens are letters."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


def answer(text: str, score: float) -> Prediction:
    return Prediction(prediction=text, score=score)


def kept(answers: list[Prediction], least: float | None) -> tuple[list[str], int]:
    inputs = [f"in {number}" for number in range(len(answers))]
    found = answered(inputs, answers, Letters(), least)  # type: ignore[arg-type]
    return [f"{row.input}: {row.target}" for row in found.rows], found.left_out


def test_confidence_is_the_mean_over_tokens_and_the_end() -> None:
    assert confidence(answer("abc", -2.0), Letters()) == -0.5  # type: ignore[arg-type]


def test_rows_keep_their_order_and_the_least_is_kept_too() -> None:
    answers = [answer("a", -1.0), answer("abc", -2.0), answer("b", -1.2), answer("c", 0.0)]
    assert kept(answers, -0.5) == (["in 0: a", "in 1: abc", "in 3: c"], 1)
    assert kept(answers, None)[1] == 0


def test_what_no_dataset_takes_is_left_out_without_a_limit() -> None:
    answers = [answer(" ", 0.0), answer("a", math.nan), answer("b\0", 0.0), answer("c", -99.0)]
    assert kept(answers, None) == (["in 3: c"], 3)


@pytest.mark.parametrize("answers", [[answer("", 0.0)], [answer("a", math.nan)], [answer("a", -9)]])
def test_nothing_left_is_an_error(answers: list[Prediction]) -> None:
    with pytest.raises(InvalidInput, match="none of 1 answers") as refused:
        kept(answers, -1.0)
    assert refused.value.field == "min_score"


def test_the_description_names_no_prompt_and_counts_what_was_left_out() -> None:
    assert description(3, 0, -1.0) == "Answers of a prompt to 3 inputs."
    assert "2 were left out: those below -0.5 nats" in description(9, 2, -0.5)
    assert "empty ones" in description(9, 2, None)


def test_rows_are_as_datasets_store_them() -> None:
    found = answered(["x"], [answer("y", 0.0)], Letters(), None)  # type: ignore[arg-type]
    assert found.rows == [Example("x", "y")]
