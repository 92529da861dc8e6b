"""Which chain of an augmentation's round is the best, and what its prompt was made from."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ptsys.errors import InvalidInput
from ptsys.library.augmentation import QUERY, Origin
from ptsys.training.augmentation.state import State, Way
from ptsys.training.augmentation.task import Augmented
from ptsys.types.records import Parent


def best_of(state: State) -> Augmented:
    """The candidate of the greatest accuracy, then of the lowest loss on the validation rows; of
    several alike, as without such rows, the first. Raises InvalidInput if every chain failed."""
    ways = [way for way in state.ways if way.failed is None]
    if not ways:
        raise InvalidInput(state.ways[0].failed or "no chain was trained")
    best = min(ways, key=lambda way: _rank(way.scores))
    chain = best.chain
    went_on = state.round > 0 and chain.origin == "query"
    origin: Origin = state.origin if went_on else chain.origin
    kept = state.round > 0 and chain.name == QUERY
    return Augmented(
        prompt=best.snapshot.prompt,
        scores=best.scores,
        steps=best.step + (state.steps if went_on else 0),
        origin=origin,
        winner=state.winner if kept else chain.name,
        parents=tuple(_parents(state, best)),
        candidates={way.chain.name: way.scores for way in ways},
    )


def _rank(scores: Mapping[str, float]) -> tuple[float, float]:
    """The lower the better."""
    loss = scores.get("validation_loss", math.inf)
    return -scores.get("accuracy", 0.0), loss if math.isfinite(loss) else math.inf


def _parents(state: State, best: Way) -> list[Parent]:
    """What the best prompt was made from: what its chain used, beside what made the query."""
    chain = best.chain
    starts = {second.prompt: second for second in chain.start}
    parents = [
        Parent(prompt=one.prompt, role="start", similarity=one.similarity, weight=one.weight)
        for one in starts.values()
    ]
    parents += [
        Parent(prompt=one.prompt, role="second", similarity=one.similarity, weight=one.weight)
        for one in state.plan.second_prompts
        if one.prompt in starts or (one.dataset is not None and one.dataset in best.used)
    ]
    new = {(parent.role, parent.prompt) for parent in parents}
    return [one for one in state.parents if (one.role, one.prompt) not in new] + parents
