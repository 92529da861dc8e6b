"""The state of an augmentation: enough to go on from, as arrays and JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.trainings import Snapshot
from ptsys.library.augmentation import MOST_CHAINS, Chain, Origin, Plan, Stage
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.model import Value
from ptsys.types.records import Parent

_ARRAYS = ("prompt", "first", "second")


@dataclasses.dataclass
class Way:
    """A chain on its way. `stage` counts the stages that are over and `made` their updates;
    `snapshot` is of the stage under way, or of its start; `used` are the datasets it has seen."""

    chain: Chain
    snapshot: Snapshot
    stage: int = 0
    made: int = 0
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    used: list[str] = dataclasses.field(default_factory=list)
    failed: str | None = None

    @property
    def through(self) -> bool:
        """No stage is left."""
        return self.failed is not None or self.stage >= len(self.chain.stages)

    @property
    def current(self) -> Stage:
        """The stage under way."""
        return self.chain.stages[self.stage]

    @property
    def step(self) -> int:
        """Updates so far, up to the snapshot."""
        return self.made + self.snapshot.step

    @property
    def planned(self) -> int:
        """Updates when it will be through."""
        if self.through:
            return self.step
        return self.made + sum(stage.steps for stage in self.chain.stages[self.stage :])

    def next_stage(self, snapshot: Snapshot) -> None:
        """The stage under way is over, with this prompt."""
        self.made += snapshot.step
        self.stage += 1
        self.snapshot = Snapshot.start(snapshot.prompt)


@dataclasses.dataclass
class State:
    """A round under way. `round` 0 is that which makes the query; `before` counts the updates of
    the rounds before. `query` is the last round's best prompt, with its scores, the updates that
    led to it and where these began; `parents` are what it was made from."""

    round: int
    plan: Plan
    ways: list[Way]
    before: int = 0
    query: NDArray[np.float32] | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    steps: int = 0
    origin: Origin = "shared"
    winner: str = ""
    parents: list[Parent] = dataclasses.field(default_factory=list)

    @property
    def step(self) -> int:
        """Updates in all, up to the snapshots."""
        return self.before + sum(way.step for way in self.ways)

    def arrays(self, spec: AugmentSpec) -> dict[str, NDArray[np.float32]]:
        """What is saved of it, in shapes that the spec alone decides: see `blank`."""
        like = self.ways[0].snapshot.prompt
        arrays = blank(spec, like.shape[1])
        arrays["query"] = like if self.query is None else self.query
        for place, way in enumerate(way for way in self.ways if way.chain.makes_prompt):
            for name, array in way.snapshot.state().items():
                arrays[name][place] = array
        return arrays

    def notes(self) -> dict[str, Any]:
        """The rest of what is saved, as JSON."""
        ways = [
            _WayNotes(
                stage=way.stage,
                made=way.made,
                step=way.snapshot.step,
                scores={name: x for name, x in way.scores.items() if math.isfinite(x)},
                used=tuple(way.used),
                failed=way.failed,
            )
            for way in self.ways
        ]
        fields = {name: getattr(self, name) for name in _PLAIN}
        return _Notes(ways=tuple(ways), parents=tuple(self.parents), **fields).model_dump(
            mode="json"
        )


def blank(spec: AugmentSpec, width: int) -> dict[str, NDArray[np.float32]]:
    """The arrays of a saved state, [P, D] and of every chain with a prompt of its own [K, P, D],
    all zero."""
    shape = (spec.length, width)
    chains = MOST_CHAINS if spec.strategy == "auto" else 1
    stacks = {name: np.zeros((chains, *shape), np.float32) for name in _ARRAYS}
    return {"query": np.zeros(shape, np.float32), **stacks}


def restored(arrays: Mapping[str, NDArray[np.float32]], notes: Mapping[str, Any]) -> State:
    """The state that was saved so. Raises pydantic's ValidationError for notes of another kind."""
    saved = _Notes.model_validate(notes)
    ways, place = [], 0
    for chain, noted in zip(saved.plan.chains, saved.ways, strict=True):
        if chain.makes_prompt:
            own = {name: arrays[name][place] for name in _ARRAYS}
            snapshot = Snapshot.of(noted.step, own, Snapshot.start(own["prompt"]))
            place += 1
        else:
            snapshot = Snapshot.start(np.array(arrays["query"]))
        way = Way(chain, snapshot, noted.stage, noted.made, dict(noted.scores), list(noted.used))
        way.failed = noted.failed
        ways.append(way)
    fields = {name: getattr(saved, name) for name in _PLAIN if name != "plan"}
    query = np.array(arrays["query"]) if saved.round else None
    return State(plan=saved.plan, ways=ways, query=query, parents=list(saved.parents), **fields)


class _WayNotes(Value):
    stage: int
    made: int
    step: int
    scores: dict[str, float]
    used: tuple[str, ...]
    failed: str | None


class _Notes(Value):
    round: int
    plan: Plan
    before: int
    scores: dict[str, float]
    steps: int
    origin: Origin
    winner: str
    ways: tuple[_WayNotes, ...]
    parents: tuple[Parent, ...]


_PLAIN = ("round", "plan", "before", "scores", "steps", "origin", "winner")
