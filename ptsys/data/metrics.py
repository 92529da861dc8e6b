"""How good predictions are, as shares between 0 and 1."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from ptsys.errors import InvalidInput

Scorer = Callable[[Sequence[str], Sequence[str]], dict[str, float]]
"""Scores by name, of predictions and their targets."""

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize_answer(text: str) -> str:
    """Without white space at the ends, and single spaces within, in Unicode's compatibility form
    (NFKC), in which T5's vocabulary writes: `…` as `...`. Case is kept."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.split())


def exact_match(predictions: Sequence[str], targets: Sequence[str]) -> float:
    """The share of rows whose normalized prediction equals the normalized target."""
    _check(predictions, targets)
    right = sum(
        normalize_answer(prediction) == normalize_answer(target)
        for prediction, target in zip(predictions, targets, strict=True)
    )
    return right / len(targets)


def token_f1(predictions: Sequence[str], targets: Sequence[str]) -> float:
    """SQuAD's F1 (Rajpurkar et al. 2016, section 6.1), the mean over rows.

    Words are compared as a bag, after `normalize_answer`, lowering case and leaving punctuation
    and articles out. As in SQuAD 2.0, a row where nothing is left on one side scores 1 if the
    other is empty too.
    """
    _check(predictions, targets)
    scores = map(_row_f1, predictions, targets)
    return sum(scores) / len(targets)


def macro_f1(predictions: Sequence[str], targets: Sequence[str]) -> float:
    """F1 of each class that occurs among the targets, their plain mean.

    A prediction that is no class counts as a miss of its target's class, and no more: a generated
    answer has no end of possible classes. (scikit-learn would count it as a class of F1 0.)
    """
    _check(predictions, targets)
    predicted = [normalize_answer(prediction) for prediction in predictions]
    wanted = [normalize_answer(target) for target in targets]
    right = Counter(p for p, w in zip(predicted, wanted, strict=True) if p == w)
    guesses, classes = Counter(predicted), Counter(wanted)
    return sum(2 * right[c] / (guesses[c] + classes[c]) for c in classes) / len(classes)


def majority(train_targets: Sequence[str], test_targets: Sequence[str]) -> tuple[str, float]:
    """The most common training target, and its exact match on the test rows: what any prompt has
    to beat. Of equally common targets the one seen first counts."""
    if not train_targets:
        raise InvalidInput("there are no training targets to count", field="train_targets")
    ranked = Counter(normalize_answer(target) for target in train_targets).most_common(1)
    label = ranked[0][0]
    return label, exact_match([label] * len(test_targets), test_targets)


def summarize(predictions: Sequence[str], targets: Sequence[str]) -> dict[str, float]:
    """The scores a prompt is recorded with."""
    return {
        "accuracy": exact_match(predictions, targets),
        "token_f1": token_f1(predictions, targets),
    }


METRICS: dict[str, Callable[[Sequence[str], Sequence[str]], float]] = {
    "accuracy": exact_match,
    "token_f1": token_f1,
    "macro_f1": macro_f1,
}
"""What a task may name to be scored with."""


def check_metrics(names: Sequence[str], *, field: str = "metrics") -> None:
    """Raise InvalidInput, naming those there are, for no name at all and for unknown ones."""
    known = ", ".join(METRICS)
    if isinstance(names, str) or not names:
        raise InvalidInput(f"{names!r}: name some of {known}, as a tuple", field=field)
    for name in names:
        if name not in METRICS:
            raise InvalidInput(f"there is no metric {name!r}; there are {known}", field=field)


def scores(
    names: Sequence[str], predictions: Sequence[str], targets: Sequence[str]
) -> dict[str, float]:
    """The named metrics, in their order. Raises InvalidInput as `check_metrics` does."""
    check_metrics(names)
    return {name: METRICS[name](predictions, targets) for name in names}


def _row_f1(prediction: str, target: str) -> float:
    predicted, wanted = _words(prediction), _words(target)
    if not predicted or not wanted:
        return float(predicted == wanted)
    overlap = sum((Counter(predicted) & Counter(wanted)).values())
    return 2 * overlap / (len(predicted) + len(wanted))


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", normalize_answer(text).lower().translate(_PUNCTUATION)).split()


def _check(predictions: Sequence[str], targets: Sequence[str]) -> None:
    if len(predictions) != len(targets):
        raise InvalidInput(
            f"{len(predictions)} predictions do not fit {len(targets)} targets", field="predictions"
        )
    if not targets:
        raise InvalidInput("there are no rows to score", field="targets")
