"""Which rows a start is written from."""

import pytest

from ptsys.errors import InvalidInput
from ptsys.training.written_start import MOST_ROWS, shown_rows
from ptsys.types.example import Example
from ptsys.types.training import Initialization

ROWS = [Example(str(number), str(number)) for number in range(100)]


def test_few_are_all_read_and_of_many_some_that_the_seed_draws() -> None:
    assert shown_rows(ROWS[:MOST_ROWS], 3) == ROWS[:MOST_ROWS]
    drawn = shown_rows(ROWS, 3)
    assert len(set(drawn)) == MOST_ROWS
    assert drawn == shown_rows(ROWS, 3) != shown_rows(ROWS, 4)
    bare = [Example("a"), Example("b", " "), Example("c", "d")]
    assert shown_rows(bare, 0) == [bare[2]]
    with pytest.raises(InvalidInput, match="no row has a target"):
        shown_rows(bare[:2], 0)


def test_a_written_start_says_in_full_what_writes_it() -> None:
    told = Initialization.model_validate({"kind": "meta"})
    assert told.model_dump(exclude_none=True) == {
        "kind": "meta",
        "meta_prompt": "generic",
        "aggregate": "mean",
    }
    assert Initialization.model_validate(told.model_dump()) == told
    assert Initialization().model_dump(exclude_none=True) == {"kind": "shared"}
