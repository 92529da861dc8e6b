"""A choice as a picture."""

import numpy as np
import pytest

from ptsys.errors import InvalidInput
from ptsys.selection.picture import png
from ptsys.types.selection import Chosen, Place, Places, Selection


def selection(targets: list[str | None], *, places: bool = True) -> Selection:
    draw = np.random.default_rng(0)
    points = [
        Place(row=row, target=target, x=draw.uniform(-1, 1), y=draw.uniform(-1, 1))
        for row, target in enumerate(targets)
    ]
    chosen = [
        Chosen(
            row=row, input=f"text $ {row}", target=targets[row],
            reason="r", numbers={}, partner=1 - row,
        )
        for row in (0, 1)
    ]  # fmt: skip
    return Selection(
        method="contrastive", model="tiny", prompt=None, seed=0, per_class=False,
        rows=len(targets), labels=(), chosen=tuple(chosen),
        places=Places(method="pca", points=tuple(points)) if places else None,
    )  # fmt: skip


@pytest.mark.parametrize("targets", [["a", "b"], [None] * 5, [f"$ {i}" for i in range(14)]])
def test_any_rows_are_drawn(targets: list[str | None]) -> None:
    drawn = png(selection(targets))
    assert drawn.startswith(b"\x89PNG")
    assert int.from_bytes(drawn[16:20], "big") == 1650
    assert drawn == png(selection(targets))


def test_without_places_there_is_nothing_to_draw() -> None:
    with pytest.raises(InvalidInput, match="places"):
        png(selection(["a", "b"], places=False))
