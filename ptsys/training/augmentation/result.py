"""What is recorded of an augmentation: its prompt, and what every candidate reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptsys.library.augmentation import QUERY, Origin
from ptsys.prompts.tokens import tokens
from ptsys.training.augmentation.task import Augmented
from ptsys.training.course import Completed, Listener, finite
from ptsys.training.trained import Trained
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.records import Parent
from ptsys.types.training import Initialization


def completed(
    spec: AugmentSpec,
    result: Augmented,
    step: int,
    metrics: Mapping[str, float],
    listener: Listener,
) -> Completed:
    """The end after `step` updates in all; the listener is told who won."""
    candidates = {name: finite(scores) for name, scores in result.candidates.items()}
    listener.note(f"{result.winner} is the result", candidate=result.winner, candidates=candidates)
    loss = {"train_loss": metrics["loss"]} if "loss" in metrics else {}
    query = spec.query
    made = Trained(
        name=spec.name,
        values=tokens(result.prompt),
        dataset=spec.dataset,
        scores={**result.scores, **_plain(spec, result), **loss},
        steps=result.steps,
        start=_start(result.origin),
        settings={"candidate": result.winner},
        parents=(
            *(() if query is None else (Parent(prompt=query, role="query"),)),
            *result.parents,
        ),
    )
    several = candidates if len(candidates) > 1 else {}
    of_each = {
        f"{kind}/{name}": value
        for name, scores in several.items()
        for kind, value in scores.items()
    }
    numbers = {**metrics, "steps": float(step), **result.scores, **of_each}
    return Completed((made,), step, finite(numbers))


def _start(origin: Origin) -> dict[str, Any]:
    """Where it began, as it is recorded."""
    if origin == "written":
        return Initialization.model_validate({"kind": "meta"}).model_dump(exclude_none=True)
    return {"kind": "shared" if origin == "shared" else "prompt"}


def _plain(spec: AugmentSpec, result: Augmented) -> dict[str, float]:
    """What the user's rows alone gave, where that is known: what was gained is measured by it."""
    plain = result.candidates.get(QUERY, {}).get("accuracy")
    own = spec.query is None and spec.rounds == 1
    return {"plain_accuracy": plain} if plain is not None and own else {}
