"""What checkpoints belong to: the training's options, its rows and the frozen weights.

A checkpoint of another identity is of no use. Which options count is said here alone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ptsys.types.meta_training import MetaSpec
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.specs import AnySpec

_UNSEEN = {"kind", "tags", "truncate"}  # they change nothing of what is learned
_NOT_WHERETO = {"checkpoint_every", "evaluate_every"}  # nor do these; jobs note them all the same


@dataclasses.dataclass(frozen=True)
class Identity:
    """That of one training; `digests` are of its rows, those of a multi-task one in the tasks'
    order, `rates` those by which it mixes the rows of several tasks into one prompt."""

    spec: AnySpec
    digests: tuple[str, ...]
    fingerprint: str
    rates: Mapping[str, float] | None = None

    def json(self) -> dict[str, Any]:
        """What is noted beside each checkpoint. Of the spec it is what is not at its default: a
        field that a later version adds must not part a training from its checkpoints."""
        rows: dict[str, Any] = {"dataset": self.digests[0]}
        if isinstance(self.spec, MultiTaskSpec | MetaSpec):
            rows = {"datasets": list(self.digests)}
        rates = {"rates": dict(self.rates)} if self.rates else {}
        spec = _chosen(self.spec, _UNSEEN)
        return {"spec": spec, **rows, "fingerprint": self.fingerprint, **rates}

    def owns(self, noted: object) -> bool:
        """Whether a checkpoint beside which this is noted belongs to it.

        What runs noted up to November 2026 is understood: the spec with its defaults, and the
        rates among all recorded settings.
        """
        if not isinstance(noted, dict):
            return False
        try:
            spec = type(self.spec).model_validate(noted.get("spec"))
        except ValidationError:
            return False  # of another kind, or of a later version that chose what this one lacks
        return (
            _chosen(spec, _UNSEEN | _NOT_WHERETO) == _chosen(self.spec, _UNSEEN | _NOT_WHERETO)
            and noted.get("datasets", [noted.get("dataset")]) == list(self.digests)
            and noted.get("fingerprint") == self.fingerprint
            and _rates(noted) == json.loads(json.dumps(self.rates or {}))
        )


def _rates(noted: dict[str, Any]) -> object:
    settings = noted.get("settings")
    return noted.get("rates") or (settings or {}).get("rates") or {}


def _chosen(spec: AnySpec, unseen: set[str]) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude=unseen, exclude_defaults=True)
