import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptsys.data import metrics
from ptsys.errors import InvalidInput

WORDS = st.sampled_from(["yes", "no", "the cat", "The  Cat!", "a", "", "New York", " york "])
ROWS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=20)


def test_answers_differ_by_case_but_not_by_white_space():
    assert metrics.normalize_answer("  New \n\tYork ") == "New York"
    assert metrics.exact_match(["Yes ", "yes", "no"], ["Yes", "Yes", "no"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("prediction", "target", "score"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1.0),
        ("Paris, France", "Paris", 2 / 3),
        ("b b c", "b c c", 2 / 3),
        ("Rome", "Paris", 0.0),
        ("", "Paris", 0.0),
        ("the", "a", 1.0),
    ],
)
def test_token_f1_is_squads(prediction, target, score):
    assert metrics.token_f1([prediction], [target]) == pytest.approx(score)


def test_macro_f1_weighs_classes_alike():
    targets = ["a", "a", "a", "b"]
    assert metrics.macro_f1(targets, targets) == 1.0
    # a: precision 3/4, recall 1; b: nothing found
    assert metrics.macro_f1(["a"] * 4, targets) == pytest.approx((6 / 7) / 2)
    # a: precision 1, recall 2/3; b: precision and recall 1; the stray answer is no class
    assert metrics.macro_f1(["a", "a", "stray", "b"], targets) == pytest.approx((0.8 + 1) / 2)


def test_the_majority_is_scored_on_the_test_rows():
    assert metrics.majority(["b", "a", "b ", "c"], ["b", "a", "b", "b"]) == ("b", 0.75)
    assert metrics.majority(["b", "a"], ["a"]) == ("b", 0.0)


@given(ROWS)
def test_scores_are_shares_and_perfect_for_the_targets_themselves(rows):
    predictions, targets = zip(*rows, strict=True)
    for score in (metrics.exact_match, metrics.token_f1, metrics.macro_f1):
        assert 0 <= score(predictions, targets) <= 1
        assert score(targets, targets) == pytest.approx(1)
    assert metrics.token_f1(predictions, targets) == pytest.approx(
        metrics.token_f1(targets, predictions)
    )


@given(ROWS)
def test_a_whole_match_is_also_a_match_of_words(rows):
    scores = metrics.summarize(*zip(*rows, strict=True))
    assert scores.keys() == {"accuracy", "token_f1"}
    assert scores["accuracy"] <= scores["token_f1"] + 1e-12


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(InvalidInput, match="2 predictions do not fit 1 targets"):
        metrics.exact_match(["a", "b"], ["a"])
    with pytest.raises(InvalidInput, match="no rows to score"):
        metrics.summarize([], [])
    with pytest.raises(InvalidInput, match="no training targets"):
        metrics.majority([], ["a"])
