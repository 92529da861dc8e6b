"""How difficult a task is said to be, and what that may depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_stores import WIDTH, LibraryStores

from ptsys.library.difficulty import NEIGHBOURS, OWN, blended, difficulty, own_difficulty
from ptsys.library.library import Library
from ptsys.types.example import Example
from ptsys.types.ranking import Difficulty
from ptsys.types.records import Prompt

AXES = np.eye(WIDTH, dtype=np.float32)
SHARE = st.floats(0, 1)
ROWS, STEPS = st.integers(1, 10**7), st.integers(1, 10**6)


@given(accuracy=SHARE, rows=ROWS, steps=STEPS, more=st.integers(1, 100))
def test_it_lies_between_0_and_1_and_grows_with_what_a_score_took(
    accuracy: float, rows: int, steps: int, more: int
) -> None:
    here = own_difficulty(accuracy, rows, steps)
    assert 0 <= here <= 1
    assert own_difficulty(accuracy, rows * more, steps) >= here
    assert own_difficulty(accuracy, rows, steps * more) >= here
    assert own_difficulty(min(1.0, accuracy + 0.1), rows, steps) <= here
    assert own_difficulty(1.0, rows, steps) == 0


@given(own=st.none() | SHARE, near=st.lists(st.tuples(st.floats(0.01, 1), SHARE), max_size=8))
def test_neighbours_pull_it_and_never_beyond_themselves(
    own: float | None, near: list[tuple[float, float]]
) -> None:
    told = blended(own, near)
    all_known = [one for _, one in near] + ([] if own is None else [own])
    if not all_known:
        assert told is None
    else:
        assert told is not None
        assert min(all_known) - 1e-9 <= told <= max(all_known) + 1e-9


def test_five_twins_weigh_as_five_to_three() -> None:
    assert blended(0.0, [(1.0, 1.0)] * NEIGHBOURS) == pytest.approx(5 / (5 + OWN))


def asked(stores: LibraryStores, library: Library, prompt: Prompt, user: str) -> Difficulty:
    return difficulty(library, stores.datasets, stores.prompts.get(prompt.id, user), user)


def test_hidden_neighbours_and_datasets_count_for_nothing(
    stores: LibraryStores, library: Library
) -> None:
    rows = stores.datasets.add("rows", "ann", [Example(f"a{n}", "b") for n in range(20)])
    shown = {"visibility": "public", "steps": 300}
    scores = {"accuracy": 0.6}
    one = stores.add("one", AXES[0], **shown, scores=scores, dataset=rows.id)
    near = stores.add(
        "near", AXES[0] + 0.3 * AXES[1], owner="bob", **shown, scores={"accuracy": 0.9}
    )
    before = asked(stores, library, one, "eve")
    assert [x.prompt for x in before.neighbours] == [near.id]
    assert (before.rows, before.own) == (None, pytest.approx(0.4))
    assert 0.1 < (before.difficulty or 0) < 0.4
    for number in range(9):
        stores.add(f"secret-{number}", AXES[0], owner="bob", scores={"accuracy": 0.0})
    stores.add("query", AXES[0], owner="bob", visibility="public", tags=["query"], scores=scores)
    assert asked(stores, library, one, "eve") == before
    assert asked(stores, library, one, "bob").difficulty != before.difficulty
    mine = asked(stores, library, one, "ann")
    assert mine.rows == 20
    assert (mine.own or 1) < 0.4  # so few rows: the task is easier than that
    stores.prompts.update("near", "bob", visibility="private")
    alone = asked(stores, library, one, "eve")
    assert (alone.neighbours, alone.difficulty) == ((), pytest.approx(alone.own))


def test_without_a_score_the_neighbours_speak(stores: LibraryStores, library: Library) -> None:
    mute = stores.add("mute", AXES[0])
    assert asked(stores, library, mute, "ann").difficulty is None
    stores.add("easy", AXES[0], scores={"accuracy": 0.9}, steps=300)
    stores.add("opposite", -AXES[0], scores={"accuracy": 0.0}, steps=300)
    told = asked(stores, library, mute, "ann")
    assert told.own is None
    assert told.difficulty == pytest.approx(0.1)


def test_one_that_does_not_compare_has_its_own_alone(
    stores: LibraryStores, library: Library
) -> None:
    stores.add("near", AXES[0], scores={"accuracy": 0.9})
    odd = stores.add(
        "odd", AXES[0], initialization={"kind": "labels"}, scores={"accuracy": 0.5}, steps=300
    )
    told = asked(stores, library, odd, "ann")
    assert (told.difficulty, told.neighbours) == (pytest.approx(0.5), ())
    assert "does not compare" in (told.note or "")


def test_a_score_that_is_no_number_is_none(stores: LibraryStores, library: Library) -> None:
    broken = stores.add("broken", AXES[0], scores={"accuracy": float("nan")})
    assert asked(stores, library, broken, "ann").own is None
