"""Where no terminal is, progress is lines: of what is done, and of what workers compile."""

import io
import itertools
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from waiting import until

from ptsys.cli import output
from ptsys.cli.compile_notes import compile_notes
from ptsys.cli.local_service import LocalService
from ptsys.config import Settings
from ptsys.jobs.presence import Presence, announce
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.progress_lines import ProgressLines
from ptsys.store.clock import utc_now
from ptsys.types.compiling import Compiling


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def told(total: int, steps_a_second: float, **more: bool) -> list[tuple[float, str]]:
    """What is said, and when, while so many steps are made at that speed, ten looks a second."""
    clock, said = Clock(), []
    lines = ProgressLines(
        lambda text: said.append((clock.now, text)), "steps", total, clock=clock, **more
    )
    while (done := int(clock.now * steps_a_second)) < total:
        lines.tell(done, loss="0.5")
        clock.now = round(clock.now + 0.1, 1)
    lines.tell(total, loss="0.5")
    return said


def test_what_is_quick_is_not_told() -> None:
    assert told(30, 10) == []


def test_a_run_says_that_it_has_begun() -> None:
    assert told(30, 10, at_once=True) == [
        (0.0, "steps: 0 of 30"),
        (3.0, "steps: 30 of 30, loss 0.5"),
    ]


def test_what_takes_long_is_told_now_and_then_with_the_time_left() -> None:
    said = told(200, 10)
    assert said[0] == (5.0, "steps: 50 of 200, loss 0.5, about 15 s left")
    assert said[-1] == (20.0, "steps: 200 of 200, loss 0.5")
    assert len(said) == 4


def test_an_hour_is_not_a_thousand_lines() -> None:
    times = [when for when, _ in told(36_000, 10)]
    assert 60 <= len(times) <= 110
    assert max(b - a for a, b in itertools.pairwise(times)) <= 61


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path) as server:
        yield server


def test_what_a_worker_compiles_is_told_once_with_what_it_took_before(
    redis: EmbeddedRedis, tmp_path: Path
) -> None:
    def worker(name: str, model: str, *compiles: Compiling) -> Presence:
        of = {"host": "h", "pid": 1, "since": utc_now(), "compiles": compiles}
        return Presence(worker=name, model=model, **of)

    known = Compiling(what="answers for 16 rows", seconds=3, least=4.2, most=12)
    new = Compiling(what="gradients for 8 rows", seconds=3)
    quick = Compiling(what="nothing worth a word", seconds=0.2)
    announce(redis.address, worker("w1", "tiny", known, new, quick))
    announce(redis.address, worker("w2", "large", Compiling(what="another model's", seconds=9)))
    said = io.StringIO()
    output.messages.cache_clear()
    with (
        LocalService(Settings(data_dir=tmp_path), timeout=10) as local,
        redirect_stderr(said),
        compile_notes(local.client("ann"), ["tiny"]),
    ):
        until(lambda: said.getvalue().count("\n") >= 2, 20)
        scores = Compiling(what="scores for 4 rows", seconds=3)
        announce(redis.address, worker("w3", "tiny", scores))
        until(lambda: "scores for 4 rows" in said.getvalue(), 20)  # it looks again
    assert said.getvalue().splitlines() == [
        "the worker is compiling answers for 16 rows; such shapes took 4 to 12 s before",
        "the worker is compiling gradients for 8 rows; it is the first of its kind here",
        "the worker is compiling scores for 4 rows; it is the first of its kind here",
    ]


def test_what_is_under_way_is_told_once_it_takes_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_PATIENCE_SECONDS", 0.1)
    said = io.StringIO()
    output.messages.cache_clear()
    with redirect_stderr(said):
        with output.working("reading"):
            pass
        with output.working("starting") as say:
            until(lambda: "starting" in said.getvalue(), 10)
            say("loading the model (1 s)")
            say("loading the model (2 s)")
    assert said.getvalue().splitlines() == ["starting …", "loading the model …"]
