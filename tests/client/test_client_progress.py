"""`job.wait()` shows lines on standard error where that is no terminal."""

import datetime

import pytest

from ptsys.client.progress import progress_bar
from ptsys.types.records import Event

EVENTS = (
    ("state", {"state": "running"}),
    ("evaluation", {"accuracy": 0.5}),
    ("progress", {"step": 10, "steps": 20, "loss": 1.25}),
    ("state", {"state": "succeeded"}),
)


def seen(shown: bool | None) -> None:
    with progress_bar("reviews", 20, shown) as see:
        for number, (kind, data) in enumerate(EVENTS, start=1):
            now = datetime.datetime.now(datetime.UTC)
            see(Event(sequence=number, job="job-1", time=now, kind=kind, data=data))  # type: ignore[arg-type]


@pytest.mark.parametrize("shown", [None, True])
def test_states_are_lines_in_a_pipe(shown: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
    seen(shown)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["reviews: running", "reviews: succeeded"]


def test_steps_are_told_when_it_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptsys.progress_lines._FIRST_SECONDS", 0.0)
    seen(None)
    [_, line, _] = capsys.readouterr().err.splitlines()
    assert line.startswith("reviews, step: 10 of 20, loss 1.2500, validation 50.0%")


def test_who_wants_nothing_gets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seen(False)
    assert capsys.readouterr().err == ""
