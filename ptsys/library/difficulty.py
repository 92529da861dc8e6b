"""How difficult a task is, from 0 to 1, by how well its prompt does and what that took.

A prompt's own score says a first thing. Error falls about as a power of the rows that are trained
on (Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically", figures 2 to 6:
exponents from 0.07 to 0.35), and more slowly with more updates on the same rows. So the share of
wrong answers is brought to what it would be at one and the same effort,

    own = min(1, (1 - accuracy) * (rows / ROWS)^BY_ROWS * (steps / STEPS)^BY_STEPS)

A score of 70 % after 10,000 rows tells of a harder task than after 16. What is unknown, or not the
viewer's to see, counts as ROWS or STEPS, so that its factor is one.

One score may be luck, or the fault of its training; tasks like it are evidence too. The own
difficulties of the nearest prompts, weighted by their cosine, weigh as one against the own score:

    all = (OWN * own + sum of s_i * own_i) / (OWN + sum of s_i)

over the NEIGHBOURS nearest prompts with a score that the viewer may see and whose cosine s_i is
positive. So five twins outweigh the own score as 5 to OWN; prompts far away hardly count. Without
an own score the neighbours alone speak.
"""

from __future__ import annotations

from collections.abc import Sequence

from ptsys.errors import Damaged, InvalidInput, NotFound, Unavailable
from ptsys.library.library import Library
from ptsys.store.datasets import Datasets
from ptsys.store.prompt_lineage import finite_score
from ptsys.types.library import Filters
from ptsys.types.meta_training import META
from ptsys.types.public_text import public_text
from ptsys.types.ranking import Difficulty, NeighbourDifficulty
from ptsys.types.records import Dataset, Prompt

ROWS, STEPS = 1000, 300
"""The effort at which tasks are compared."""

BY_ROWS, BY_STEPS = 0.2, 0.1
"""How error falls with rows and with updates, as powers."""

NEIGHBOURS = 5
OWN = 3.0
"""What the own score weighs against neighbours, each of which weighs its cosine."""

_SCORED = Filters(min_accuracy=0.0)


def own_difficulty(accuracy: float, rows: int | None, steps: int) -> float:
    """What a score (0 to 1) says, reached with so many rows and updates; 0 steps are unknown."""
    error = min(max(1 - accuracy, 0.0), 1.0)
    by_rows = 1.0 if not rows else (rows / ROWS) ** BY_ROWS
    by_steps = 1.0 if not steps else (steps / STEPS) ** BY_STEPS
    return min(1.0, error * by_rows * by_steps)


def blended(own: float | None, neighbours: Sequence[tuple[float, float]]) -> float | None:
    """Own difficulty and that of neighbours, as (similarity, difficulty), made one."""
    weight = sum(similarity for similarity, _ in neighbours)
    total = sum(similarity * difficulty for similarity, difficulty in neighbours)
    if own is not None:
        weight, total = weight + OWN, total + OWN * own
    return total / weight if weight else None


def difficulty(library: Library, datasets: Datasets, prompt: Prompt, user: str) -> Difficulty:
    """How difficult a prompt's task is, as far as one who may see the prompt can know.

    Raises Unavailable if the database does not answer.
    """
    rows = _rows(datasets, prompt, user)
    accuracy = finite_score(prompt.scores, "accuracy")
    own = None if accuracy is None else own_difficulty(accuracy, rows, prompt.steps)
    neighbours: list[NeighbourDifficulty] = []
    note = None
    try:
        neighbours = _neighbours(library, prompt, user)
    except (
        Damaged,
        InvalidInput,
        NotFound,
        Unavailable,
    ) as error:  # not comparable
        note = public_text(error)
    near = [(one.similarity, one.difficulty) for one in neighbours]
    return Difficulty(
        prompt=prompt.id,
        difficulty=blended(own, near),
        own=own,
        accuracy=accuracy,
        rows=rows,
        steps=prompt.steps,
        neighbours=tuple(neighbours),
        note=note,
    )


def _rows(datasets: Datasets, prompt: Prompt, user: str) -> int | None:
    if prompt.dataset is None:
        return None
    try:
        return datasets.get(prompt.dataset, user).rows
    except NotFound:  # deleted
        return None


def _neighbours(library: Library, prompt: Prompt, user: str) -> list[NeighbourDifficulty]:
    if prompt.kind == META:  # it has many tasks
        return []
    found = library.search(prompt, user, count=NEIGHBOURS, filters=_SCORED)
    return [
        NeighbourDifficulty(
            prompt=one.prompt.id,
            owner=one.prompt.owner,
            name=one.prompt.name,
            similarity=one.score,
            difficulty=_own(one.prompt, one.dataset),
        )
        for one in found
        if one.score > 0 and one.comparable
    ]


def _own(prompt: Prompt, dataset: Dataset | None) -> float:
    rows = None if dataset is None else dataset.rows
    return own_difficulty(prompt.scores["accuracy"], rows, prompt.steps)
