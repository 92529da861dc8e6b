"""What a step of residents is given: the next rows of each, on the shard its slot lies on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.groups import Group, Shape
from ptsys.engine.slots import Slots
from ptsys.engine.trainings import Episodes, RowOrder, Training
from ptsys.kinds.batch import Rows


@dataclasses.dataclass
class Resident:
    """A job in a device slot, and its rows as they are laid into batches."""

    training: Training
    group: Group
    slot: int
    step: int
    order: RowOrder
    features: dict[str, NDArray[Any]]

    @property
    def rows(self) -> int:
        """Rows a step."""
        return self.training.task.spec.batch_size


@dataclasses.dataclass(frozen=True)
class TrainingBatch:
    """A step's arguments, and where in its metrics each resident is found."""

    residents: NDArray[np.int32]
    rows: Rows
    context: dict[str, NDArray[Any]]
    places: list[int]


def training_batch(chosen: Sequence[Resident], shape: Shape, slots: Slots) -> TrainingBatch:
    """The next rows of every chosen resident, on the shard its slot lies on."""
    group, shards, each = shape.group, slots.shards, shape.group.prompt.members
    residents = np.full((shards, shape.slots), slots.per_shard, np.int32)
    features = {x.name: np.zeros((shards, shape.rows, *x.shape), x.dtype) for x in group.rows}
    context = {
        x.name: np.zeros((shards, shape.slots, each, *x.shape), x.dtype)
        for x in group.prompt.context
    }
    slot = np.full((shards, shape.rows), shape.readings, np.int32)
    taken, filled, places = [0] * shards, [0] * shards, []
    for resident in chosen:
        shard, number = slots.place(resident.slot)
        place, start = taken[shard], filled[shard]
        rows, index = slice(start, start + resident.rows), resident.order.indices(resident.step)
        residents[shard, place] = number
        for name, array in features.items():
            array[shard, rows] = resident.features[name][index]
        task = resident.training.task
        if isinstance(resident.order, Episodes):
            episode = resident.order.episode(resident.step)
            slot[shard, rows] = place * each + episode.readings
            for name, array in context.items():
                array[shard, place] = episode.context[name]
        else:
            members = 0 if task.members is None else task.members[index]
            slot[shard, rows] = place * each + members
        places.append(shard * shape.slots + place)
        taken[shard], filled[shard] = place + 1, start + resident.rows
    flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in features.items()}
    rows_of_all = Rows(flat, slot.reshape(-1))  # type: ignore[arg-type]
    surrounding = {name: array.reshape(-1, *array.shape[3:]) for name, array in context.items()}
    return TrainingBatch(residents.reshape(-1), rows_of_all, surrounding, places)
