"""Where residents are put."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from ptsys.engine.slot_memory import SlotMemory
from ptsys.engine.slots import Slots
from ptsys.engine.trainings import Snapshot
from ptsys.kinds.trees import Layout, Leaf
from ptsys.sharding.mesh import local_mesh
from ptsys.types.training import Optimizer

OPTIMIZERS = {"prompt": Optimizer()}
LAYOUT = Layout("tokens", (Leaf("prompt", (4, 8)),), 4)
SHAPES = {"prompt": (3, 8)}


def snapshot(value: float = 0.0) -> Snapshot:
    return Snapshot.start(np.full((3, 8), value, np.float32))


def test_those_who_share_steps_spread_over_the_shards() -> None:
    slots = Slots(LAYOUT, SlotMemory(8, LAYOUT, local_mesh(4)))
    long = [slots.take(snapshot(), OPTIMIZERS, 9, "long") for _ in range(4)]
    short = [slots.take(snapshot(), OPTIMIZERS, 9, "short") for _ in range(4)]
    for taken in (long, short):
        assert sorted(slots.place(slot)[0] for slot in taken) == [0, 1, 2, 3]
    assert slots.free == 0
    slots.give_back(short[2])
    assert slots.take(snapshot(), OPTIMIZERS, 9, "long") == short[2]


@pytest.mark.parametrize("shards", [1, 4])
def test_a_slot_gives_back_what_was_put_into_it(shards: int) -> None:
    slots = Slots(LAYOUT, SlotMemory(5, LAYOUT, local_mesh(shards)))
    taken = [slots.take(snapshot(i), OPTIMIZERS, 9) for i in range(5)]
    counts = collections.Counter(slots.place(slot)[0] for slot in taken)
    assert max(counts.values()) - min(counts.values()) <= 1 or shards == 1
    for i, slot in enumerate(taken):
        found = slots.read(slot, 0, SHAPES).read()
        assert found.prompt.shape == (3, 8)
        assert np.all(found.prompt == i)
