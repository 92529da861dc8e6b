"""How queries are laid out in blocks."""

import pytest

from ptsys.models.execution import even_blocks


@pytest.mark.parametrize(
    ("queries", "most", "blocks"),
    [
        (20, 512, (1, 20)),
        (512, 512, (1, 512)),
        (532, 512, (2, 272)),
        (1040, 512, (3, 352)),
        (5, 2, (3, 2)),
    ],
    ids=["fewer", "as many", "two halves", "three thirds", "shorter than a tile"],
)
def test_queries_attend_whole_where_they_fit_and_else_in_even_blocks(
    queries: int, most: int, blocks: tuple[int, int]
) -> None:
    assert even_blocks(queries, most) == blocks
