"""The prompts that a meta-prompt is to learn from and that nobody has given: how far each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.trainings import Snapshot, TrainingTask
from ptsys.training.course import Checkpoint
from ptsys.training.meta import MetaTaskData
from ptsys.types.meta_training import MetaSpec
from ptsys.types.training import Optimizer, TrainingSpec

TEACHERS = "teachers"
_TUNED = "tuned"


class Teachers:
    """As long as what is written ends with, and begun where that begins: what is learned from them
    are their changes from there. They last as long as the job's checkpoints do."""

    def __init__(
        self, spec: MetaSpec, start: NDArray[np.float32], resumed: Checkpoint | None = None
    ) -> None:
        """`start` [Q, D] is what prompts end with before anything is learned."""
        self._spec = spec
        self.places = spec.missing_prompts
        first = Snapshot.start(start)
        self.snapshots = [first for _ in self.places]
        if resumed is None:
            return
        every = [spec.prompt_updates] * len(self.places)
        for number, step in enumerate(resumed.notes.get(_TUNED, every)):
            arrays = {name: x[number] for name, x in resumed.arrays[TEACHERS].items()}
            self.snapshots[number] = Snapshot.of(step, arrays, first)

    def task(self, number: int, identifier: str, user: str, data: MetaTaskData) -> TrainingTask:
        """One of them as a resident, on its task's rows."""
        spec, of = self._spec, self._spec.tasks[self.places[number]]
        return TrainingTask(
            id=f"{identifier}/{of.name}",
            user=user,
            spec=TrainingSpec(
                name=spec.name,
                model=spec.model,
                dataset=of.dataset,
                steps=spec.prompt_updates,
                length=len(self.snapshots[number].prompt),
                optimizer=Optimizer(learning_rate=spec.tuning_rate),
                seed=spec.seed,
                max_input_length=spec.max_input_length,
                truncate=spec.truncate,
                checkpoint_every=spec.checkpoint_every,
            ),
            examples=data.examples,
            start=self.snapshots[number],
        )

    @property
    def step(self) -> int:
        """Updates of all so far."""
        return sum(snapshot.step for snapshot in self.snapshots)

    @property
    def steps(self) -> int:
        """Updates of all once they are ready."""
        return len(self.places) * self._spec.prompt_updates

    @property
    def open(self) -> list[int]:
        """The numbers of those that are not ready."""
        most = self._spec.prompt_updates
        return [number for number, one in enumerate(self.snapshots) if one.step < most]

    @property
    def prompts(self) -> Mapping[int, NDArray[np.float32]]:
        """Each [Q, D], by its task's place."""
        return {
            place: snapshot.prompt
            for place, snapshot in zip(self.places, self.snapshots, strict=True)
        }

    def arrays(self) -> dict[str, Any]:
        """What a checkpoint keeps of them."""
        states = [snapshot.state() for snapshot in self.snapshots]
        return {TEACHERS: {name: np.stack([x[name] for x in states]) for name in states[0]}}

    def notes(self) -> dict[str, Any]:
        """The rest of it, until all are ready."""
        return {_TUNED: [snapshot.step for snapshot in self.snapshots]}

    def told(self, losses: Sequence[float] = ()) -> dict[str, float]:
        """How many are ready, and the mean loss (nats a token) of those under way."""
        count = len(self.places)
        told = {"prompts_tuned": float(count - len(self.open)), "prompts_to_tune": float(count)}
        return told | ({"tuning_loss": float(np.mean(losses))} if losses else {})
