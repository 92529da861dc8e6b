"""Rows that nobody waits for any more are not computed."""

import concurrent.futures
from collections.abc import Sequence

import numpy as np
import pytest

from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.joining import joined
from ptsys.engine.model import ServedModel
from ptsys.types.requests import Decoding

LABELS = ("yes", "no")


@pytest.fixture
def engine(served: ServedModel) -> Engine:
    """Not started: what it is asked waits."""
    return Engine(served, EngineOptions(max_wait_ms=1.0))


def test_withdrawn_rows_leave_the_engine_and_the_others_stay(engine: Engine) -> None:
    decoding = Decoding(labels=LABELS)
    left = [engine.predict(["a"] * 60, decoding=decoding, user="ann") for _ in range(20)]
    prompt = np.zeros((4, engine.model.frozen.config.d_model), np.float32)
    left_too = engine.gradients(["a"] * 40, ["b"] * 40, prompt, user="ann")
    stays = engine.predict(["a", "b"], decoding=decoding, user="bob")
    for future in [*left, left_too]:
        assert future.cancel()
    engine.start()
    assert len(stays.result(120)) == 2
    assert engine.drain(60)
    engine.close()
    assert engine.loop.work.interactive_rows == 2 * len(LABELS)


def test_one_who_leaves_while_the_step_runs_harms_nobody_in_it(engine: Engine) -> None:
    futures = [engine.predict(["a"], decoding=Decoding(labels=LABELS)) for _ in range(3)]
    real = engine.device.read

    def read(result: object) -> object:
        futures[1].cancel()
        return real(result)

    engine.device.read = read  # type: ignore[method-assign, assignment]
    engine.start()
    assert [len(futures[place].result(120)) for place in (0, 2)] == [1, 1]
    assert futures[1].cancelled()
    assert engine.drain(60)
    engine.close()


def test_a_joined_future_cancels_its_parts() -> None:
    parts: Sequence[concurrent.futures.Future[int]] = [concurrent.futures.Future() for _ in "ab"]
    whole = joined(parts, sum)
    parts[0].set_result(1)
    assert whole.cancel()
    assert parts[1].cancelled()
    assert not parts[0].cancelled()
