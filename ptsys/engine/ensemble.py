"""Several prompts of one task asked at once, and their answers made one.

Their rows ride in one batch like those of any users. By vote the answer most prompts give wins
(Lester et al. 2021, section 6), and among equals the one with the higher summed score; by mean
the label with the highest mean log-probability over the prompts (Jiang et al. 2020).
"""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Sequence

from ptsys.engine.joining import joined
from ptsys.types.requests import Ensemble, Prediction

Answers = list[Prediction]


def join_ensemble(
    members: Sequence[concurrent.futures.Future[Answers]], ensemble: Ensemble
) -> concurrent.futures.Future[Answers]:
    """One future for the members' answers; fails if one of them does. `score` is the mean of the
    scores that members gave to the answer."""
    combine = vote if ensemble == "vote" else mean
    return joined(members, lambda answers: [combine(row) for row in zip(*answers, strict=True)])


def vote(row: Sequence[Prediction]) -> Prediction:
    """The answer that most members give to a row."""
    scores: dict[str, list[float]] = collections.defaultdict(list)
    for answer in row:
        scores[answer.prediction].append(answer.score)
    best = max(scores, key=lambda text: (len(scores[text]), sum(scores[text])))
    return Prediction(
        prediction=best,
        score=sum(scores[best]) / len(scores[best]),
        label_scores=mean(row).label_scores if row[0].label_scores else None,
    )


def mean(row: Sequence[Prediction]) -> Prediction:
    """The label with the highest mean log-probability; every member scored every label."""
    labels = row[0].label_scores or {}
    means = {
        label: sum((answer.label_scores or {})[label] for answer in row) / len(row)
        for label in labels
    }
    best = max(means, key=lambda label: means[label])
    return Prediction(prediction=best, score=means[best], label_scores=means)
