"""What a run makes, in the library: found again when it is started again, recorded all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ptsys.engine.model import ServedModel
from ptsys.errors import Conflict, NotFound
from ptsys.kinds.trees import Tree
from ptsys.prompts.storage import save_tree
from ptsys.runs.tuning import Keeping
from ptsys.store.clock import utc_now
from ptsys.store.prompts import Prompts
from ptsys.training.trained import Maker, recorded_settings, recorded_start
from ptsys.types.records import Prompt
from ptsys.types.specs import LearningSpec


class Recording(Keeping, Protocol):
    """A run's dataclass, as far as it says what is recorded."""

    @property
    def licence(self) -> str | None:
        """Of the prompts; each task's own where it is None."""

    @property
    def contact(self) -> str | None:
        """Shown with the prompts."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Of the prompts."""


def run_maker(
    config: Recording,
    spec: LearningSpec,
    model: ServedModel,
    tags: tuple[str, ...] = (),
    rates: Mapping[str, float] | None = None,
) -> Maker:
    """What all prompts of a run's training have in common, with these tags too."""
    return Maker(
        spec=spec,
        model=model,
        owner=config.owner or "local",
        created=utc_now(),
        visibility=config.visibility,
        tags=(*config.tags, *tags),
        contact=config.contact,
        rates=rates,
    )


def made_before(
    config: Recording, prompts: Prompts, spec: LearningSpec, model: ServedModel
) -> Prompt | None:
    """What an earlier run has made by this spec. Raises Conflict if its name is taken by something
    else."""
    owner = config.owner or "local"
    try:
        known = prompts.get(f"{owner}/{spec.name}", owner)
    except NotFound:
        return None
    same = (
        known.kind == spec.makes
        and known.model_fingerprint == model.fingerprint
        and known.hyperparameters == recorded_settings(spec)
        and known.initialization == recorded_start(spec)
    )
    if not same:
        raise Conflict(
            f"prompt {spec.name!r} is there already, of another model or with other settings; "
            f"choose another {config.title}.name, or delete that one"
        )
    return known


def record_all(prompts: Prompts, made: Sequence[tuple[Prompt, Tree]]) -> None:
    """Store the arrays, then all records at once."""
    for record, values in made:
        save_tree(prompts.tensor_path(record.id), values)
    prompts.add_all([record for record, _ in made])
