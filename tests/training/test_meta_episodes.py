"""What a meta-prompt learns from in each step: a function of the step, whose examples are never
asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ptsys.prompts import meta_kind
from ptsys.prompts.distance import TERMS
from ptsys.training.meta_episodes import EpisodeOrder, ShownTask
from ptsys.types.meta_training import MetaOptions

START = np.zeros((2, 4), np.float32)


def options(count: int = 4, **given: Any) -> MetaOptions:
    named = [{"name": f"t{number}"} for number in range(count)]
    settings = {"examples": 3, "tasks_per_step": 2, "batch_size": 5, "held_out": 0}
    return MetaOptions(**{"name": "m", "tasks": named} | settings | given)


def tasks(count: int = 4, rows: int = 7, described: bool = False) -> list[ShownTask]:
    """Of task t the row r is shown as the id 100 t + r + 1."""
    return [
        ShownTask([[100 * t + r + 1] for r in range(rows)], None, [9999] if described else None)
        for t in range(count)
    ]


def test_shown_rows_are_not_asked_and_asked_ones_are_of_the_same_task() -> None:
    order = EpisodeOrder(options(), tasks(), START).padded(2)
    seen, counts = set(), set()
    for step in range(200):
        index, episode = order.indices(step), order.episode(step)
        shown = episode.context[meta_kind.EXAMPLES]
        assert shown.shape == (2, 3, 2)
        assert len(index) == len(episode.readings) == 5
        assert sorted(np.bincount(episode.readings)) == [2, 3]
        for place in range(2):
            ids = {int(x) for x in shown[place].ravel() if x}
            asked = {100 * (i // 7) + i % 7 + 1 for i in index[episode.readings == place]}
            assert not ids & asked
            [task] = {i // 100 for i in ids | asked}
            seen.add(task)
            counts.add(len(ids))
    assert seen == {0, 1, 2, 3}
    assert counts == {1, 2, 3}


def test_a_step_is_always_the_same_and_no_two_are() -> None:
    one, two = (EpisodeOrder(options(), tasks(), START) for _ in range(2))
    for step in (0, 5, 99):
        np.testing.assert_array_equal(one.indices(step), two.indices(step))
        for name, x in one.episode(step).context.items():
            np.testing.assert_array_equal(x, two.episode(step).context[name])
    assert len({one.indices(step).tobytes() for step in range(50)}) > 45
    other = EpisodeOrder(options(seed=1), tasks(), START)
    assert not np.array_equal(one.indices(0), other.indices(0))


def test_descriptions_are_read_with_examples_and_alone() -> None:
    order = EpisodeOrder(options(), tasks(described=True), START)
    assert order.examples == 4
    kinds = set()
    for step in range(100):
        for rows in order.episode(step).context[meta_kind.EXAMPLES]:
            ids = [int(x) for x in rows.ravel() if x]
            kinds.add((9999 in ids, len(ids) > 1))
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}


def test_regression_compares_with_the_prompts_that_were_tuned() -> None:
    own = [
        ShownTask(task.rows, None, None, np.full((2, 4), t + 1, np.float32))
        for t, task in enumerate(tasks())
    ]
    order = EpisodeOrder(options(method="regression", loss="cosine"), own, START)
    episode = order.episode(3)
    assert order.indices(3).tolist() == [0]
    assert episode.readings.tolist() == [2]  # which is none of the two
    ids = episode.context[meta_kind.EXAMPLES][:, 0, 0]
    teachers = episode.context[meta_kind.TEACHER][:, 0, 0]
    np.testing.assert_array_equal(teachers, ids // 100 + 1)
    scale = episode.context[meta_kind.SCALE][0]
    assert scale == pytest.approx(1 / np.sqrt(np.mean([1, 4, 9, 16])))
    pull = dict(zip(TERMS, episode.context[meta_kind.PULL][0], strict=True))
    assert pull == pytest.approx({"l2": 0, "cosine": 1, "vmf": 0, "length": 0.1})


def test_a_task_of_two_rows_shows_one_and_asks_the_other() -> None:
    order = EpisodeOrder(options(2, tasks_per_step=2, batch_size=6), tasks(2, rows=2), START)
    for step in range(20):
        shown = order.episode(step).context[meta_kind.EXAMPLES]
        assert (np.sum(shown > 0, axis=(1, 2)) == 1).all()
        assert len(set(order.indices(step))) == 2


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"count": 1}, "tasks"),
        ({"held_out": 4}, "held_out"),
        ({"batch_size": 1}, "batch_size"),
        ({"initialization": {"kind": "labels"}}, "initialization"),
        ({"optimizer": {"z_loss": 0.1}}, "optimizer"),
        ({"method": "regression", "teacher_weight": 1.0}, "teacher_weight"),
        ({"tasks": [{"name": "a"}, {"name": "a"}]}, "tasks"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        options(**given)
    assert error.value.errors()[0]["loc"][0] == field


def test_a_fifth_is_held_out_unless_it_is_said() -> None:
    assert sum(options(10, held_out=None).scored()) == 2
    assert options(10, held_out=None).scored()[-2:] == [True, True]
    named = [{"name": "a", "held_out": True}, {"name": "b"}, {"name": "c"}]
    assert options(tasks=named, held_out=None).scored() == [True, False, False]
    assert options(tasks=named, held_out=1).scored() == [True, False, True]
    assert sum(options(4, held_out=None).scored()) == 0
