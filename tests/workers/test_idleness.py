"""When a worker that is to end by itself does."""

from workers.idleness import Idleness

NOTHING = {"training_steps": 0, "interactive_steps": 0}


def test_it_is_over_when_nothing_was_held_or_done_for_long_enough() -> None:
    idle = Idleness(10.0)
    assert not idle.over(0, NOTHING, 100.0)
    assert not idle.over(0, NOTHING, 109.0)
    assert idle.over(0, NOTHING, 110.0)


def test_a_job_held_or_a_step_done_begins_anew() -> None:
    idle = Idleness(10.0)
    idle.over(0, NOTHING, 100.0)
    assert not idle.over(1, NOTHING, 112.0)  # a job that waits for its data makes no step
    assert not idle.over(0, NOTHING, 121.0)
    assert not idle.over(0, {"training_steps": 0, "interactive_steps": 1}, 125.0)
    assert not idle.over(0, {"training_steps": 0, "interactive_steps": 1}, 134.0)
    assert idle.over(0, {"training_steps": 0, "interactive_steps": 1}, 135.0)


def test_without_a_limit_it_never_is() -> None:
    idle = Idleness(None)
    assert not idle.over(0, NOTHING, 0.0)
    assert not idle.over(0, NOTHING, 1e9)
