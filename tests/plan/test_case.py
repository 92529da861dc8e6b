"""What cannot be compiled is told at the door; what can survives JSON."""

import json
from typing import Any

import pytest
from planned import at_a_time, case

from ptsys.errors import InvalidInput
from ptsys.plan.case import Case, check, model_axes
from ptsys.plan.memory import Memory, needed_bytes
from ptsys.plan.topologies import SHAPES, topology


def test_a_case_survives_json() -> None:
    planned = case(execution=at_a_time(16, remat="layer"))
    assert Case.of(json.loads(json.dumps(planned.to_dict()))) == planned
    assert (planned.shard_rows, planned.chunk) == (16, 16)
    assert planned.chunks == 1


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"data": 2, "model": 2}, "mesh", "4 chips"),
        ({"data": 1, "model": 8}, "mesh", "4 attention heads"),
        ({"rows": 33}, "rows", "multiple of 2"),
        ({"users": 3}, "users", "multiple of 2"),
        ({"topology": "v5e:3x3"}, "topology", "v6e:1x1"),
        ({"topology": "h100"}, "topology", "v5p"),
    ],
)
def test_impossible_cases_name_field_and_fix(
    changes: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        check(case(**changes))
    assert caught.value.field == field


def test_every_known_topology_has_its_chips() -> None:
    for kind, shapes in SHAPES.items():
        for shape in shapes:
            found = topology(f"{kind}:{shape}")
            assert found.chip.name == kind
            assert found.chips == eval(shape.replace("x", "*"))
    assert model_axes(case().config, 8) == [1, 2, 4]


def test_the_compilers_own_words_about_memory_are_read() -> None:
    early = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (44.21G) exceeds available HBM (15.75G)."
    )
    late = (
        "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space "
        "hbm. Used 16.35G of 15.75G hbm. Exceeded hbm capacity by 617.71M."
    )
    assert needed_bytes(early, 1 << 30) == int(44.21 * (1 << 30)) + (1 << 30)
    assert needed_bytes(late, 1 << 30) == int(16.35 * (1 << 30))
    assert needed_bytes("INTERNAL: a bug", 0) is None


def test_memory_adds_up() -> None:
    memory = Memory(100, weights=40, prompts=3, optimizer=2, rows=1, padding=4, activations=20)
    assert (memory.used, memory.headroom, memory.fits) == (70, 30, True)
    over = Memory(100, weights=40, prompts=3, optimizer=2, rows=1, needed=130)
    assert (over.used, over.headroom, over.fits) == (130, -30, False)
