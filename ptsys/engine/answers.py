"""From a step's device results to the answers of its calls; runs on the finishing thread."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptsys.data.vocabulary import Vocabulary
from ptsys.engine.calls import Placement
from ptsys.engine.groups import Group
from ptsys.engine.joining import joined
from ptsys.types.requests import Prediction

Row = TypeVar("Row")


@dataclasses.dataclass(frozen=True)
class GradientsResult:
    """Loss (mean over all target tokens, nats), its gradient [P, D], and per row the mean token
    loss and the teacher-forced prediction."""

    loss: float
    tokens: int
    gradient: NDArray[np.float32]
    row_losses: list[float]
    predictions: list[str]


def answer_calls(
    group: Group, placements: Sequence[Placement], result: Any, vocabulary: Vocabulary
) -> None:
    """Wait for the device and resolve every call's future, with its error if it failed."""
    try:
        arrays = type(result)(*(np.asarray(x) for x in result))
    except Exception as error:
        for placement in placements:
            _refuse(placement, error)
        raise
    for placement in placements:
        try:
            answer = _ANSWERS[group.kind](placement, arrays, vocabulary)
        except Exception as error:
            _refuse(placement, error)
        else:
            with contextlib.suppress(concurrent.futures.InvalidStateError):  # nobody waits
                placement.call.future.set_result(answer)


def _refuse(placement: Placement, error: Exception) -> None:
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        placement.call.future.set_exception(error)


def _gradients(placement: Placement, result: Any, vocabulary: Vocabulary) -> GradientsResult:
    prompt = placement.call.prompt
    assert prompt is not None
    return GradientsResult(
        loss=float(result.loss[placement.prompt]),
        tokens=int(result.tokens[placement.prompt]),
        gradient=np.array(result.values[placement.prompt][-len(prompt) :]),
        row_losses=[float(x) for x in result.row_loss[placement.rows]],
        predictions=[vocabulary.decode(row.tolist()) for row in result.predicted[placement.rows]],
    )


def _generate(placement: Placement, result: Any, vocabulary: Vocabulary) -> list[Prediction]:
    return [
        Prediction(prediction=vocabulary.decode(tokens.tolist()), score=float(score))
        for tokens, score in zip(
            result.tokens[placement.rows], result.score[placement.rows], strict=True
        )
    ]


def _score(placement: Placement, result: Any, vocabulary: Vocabulary) -> list[float]:
    return [float(x) for x in result.log_probability[placement.rows]]


_ANSWERS = {"gradients": _gradients, "generate": _generate, "score": _score}


class Asked(NamedTuple):
    """A part of a request on its way: the numbers of its rows there, and the answer to come."""

    rows: Sequence[int]
    future: concurrent.futures.Future[Any]


def join_predictions(
    parts: Sequence[Asked], labels: Sequence[str] = ()
) -> concurrent.futures.Future[list[Prediction]]:
    """One future for a request that was split; with labels, scores become answers."""

    def whole(found: list[Any]) -> list[Prediction]:
        rows = _in_order(parts, found)
        return _choose(rows, labels) if labels else rows

    return joined([part.future for part in parts], whole)


def join_gradients(parts: Sequence[Asked]) -> concurrent.futures.Future[GradientsResult]:
    """One future for a request that was split: every part counts by its tokens."""

    def whole(found: list[GradientsResult]) -> GradientsResult:
        tokens = sum(part.tokens for part in found)
        return GradientsResult(
            loss=sum(part.loss * part.tokens for part in found) / tokens,
            tokens=tokens,
            gradient=np.sum([part.gradient * (part.tokens / tokens) for part in found], axis=0),
            row_losses=_in_order(parts, [part.row_losses for part in found]),
            predictions=_in_order(parts, [part.predictions for part in found]),
        )

    if len(parts) == 1:
        return parts[0].future
    return joined([part.future for part in parts], whole)


def _in_order(parts: Sequence[Asked], found: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of all parts as the request has them."""
    numbered = (
        numbered
        for part, own in zip(parts, found, strict=True)
        for numbered in zip(part.rows, own, strict=True)
    )
    return [row for _, row in sorted(numbered, key=operator.itemgetter(0))]


def _choose(scores: Sequence[float], labels: Sequence[str]) -> list[Prediction]:
    """The label of the highest summed log-probability, a row."""
    answers = []
    for start in range(0, len(scores), len(labels)):
        own = dict(zip(labels, scores[start : start + len(labels)], strict=True))
        best = max(own, key=lambda label: own[label])
        answers.append(Prediction(prediction=best, score=own[best], label_scores=own))
    return answers
