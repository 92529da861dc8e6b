import json
import sys
from collections.abc import Callable

import httpx
import pytest

from ptsys.client import Client
from ptsys.client.event_stream import lines, messages
from ptsys.errors import JobCancelled, JobFailed, NotFound, Unavailable

Make = Callable[..., Client]
JOB = {
    "id": "job-1",
    "owner": "ann",
    "spec": {"name": "p", "dataset": "ds-1"},
    "state": "running",
    "created": "2026-01-01T00:00:00Z",
}
END = 'event: end\ndata: {"state": "succeeded"}\n\n'


def event(number: int, kind: str = "progress", **data: object) -> str:
    told = {
        "sequence": number,
        "job": "job-1",
        "time": "2026-01-01T00:00:00Z",
        "kind": kind,
        "data": data,
    }
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(told)}\n\n"


class Streams:
    """A service that gives these texts as streams, one a connection, and then a job's record."""

    def __init__(self, *texts: str | int, **record: object) -> None:
        self.texts = list(texts)
        self.after: list[str] = []
        self.record = JOB | record

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, json=self.record)
        self.after.append(request.url.params["after"])
        text = self.texts.pop(0)
        if isinstance(text, int):
            return httpx.Response(text)
        return httpx.Response(
            200, headers={"Content-Type": "text/event-stream"}, stream=_Broken(text)
        )


class _Broken(httpx.SyncByteStream):
    """A stream that gives its text in small pieces and breaks, unless it came to the end."""

    def __init__(self, text: str) -> None:
        self._text = text.encode()

    def __iter__(self):  # type: ignore[no-untyped-def]
        for start in range(0, len(self._text), 7):
            yield self._text[start : start + 7]
        if not self._text.endswith(END.encode()):
            raise httpx.ReadError("the connection broke")


def test_a_stream_that_breaks_goes_on_behind_the_last_event(talking_to: Make) -> None:
    service = Streams(
        event(1) + ": keep-alive\n\n" + event(2) + event(3)[:-9],  # breaks within the third
        503,
        event(2) + event(3),  # tells one again
        event(4) + END,
    )
    job = talking_to(service).jobs.get("job-1")
    assert [e.sequence for e in job.events()] == [1, 2, 3, 4]
    assert service.after == ["0", "2", "2", "3"]


def test_a_service_that_stays_away_is_unavailable(talking_to: Make, pauses: list[float]) -> None:
    service = Streams(*["" for _ in range(9)])
    with pytest.raises(Unavailable, match="job-1"):
        list(talking_to(service, attempts=3).jobs.get("job-1").events())
    assert pauses == [0.25, 0.5]


def test_no_such_job(talking_to: Make) -> None:
    with pytest.raises(NotFound):
        list(talking_to(Streams(404)).jobs.get("job-1").events())


def test_the_time_is_over(talking_to: Make) -> None:
    text = "".join(event(n) for n in range(1, 1000))
    service = Streams(*[text] * 100_000)  # tells the same events for ever
    job = talking_to(service, attempts=100_000).jobs.get("job-1")
    with pytest.raises(Unavailable, match="time given"):
        list(job.events(timeout=0.2))


@pytest.mark.parametrize(("state", "error"), [("failed", JobFailed), ("cancelled", JobCancelled)])
def test_waiting_raises_what_the_job_came_to(
    talking_to: Make, state: str, error: type[Exception]
) -> None:
    service = Streams(event(1) + END, state=state, error="the loss was no longer finite")
    with pytest.raises(error):
        talking_to(service).jobs.get("job-1").wait(progress=False)


def test_waiting_shows_a_bar_on_a_terminal_and_lines_elsewhere(
    talking_to: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = event(1, "state", state="running") + event(2, step=150, loss=1.25)
    text += event(3, "evaluation", step=150, accuracy=0.5) + END
    client = talking_to(Streams(text, text, text, state="succeeded", prompt="pr-1"))
    assert client.jobs.get("job-1").wait().prompt == "pr-1"
    assert "p: running" in capsys.readouterr().err
    client.jobs.get("job-1").wait(progress=False)
    assert not capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    client.jobs.get("job-1").wait()
    shown = capsys.readouterr().err
    assert "150/300" in shown
    assert "1.2500" in shown
    assert "50.0%" in shown


def test_messages_of_a_stream() -> None:
    text = ["data: a\ndata: b\n\n: comment\nid: 7\r\nev", "ent: state\ndata:c\n", "\ndata: x\n"]
    found = [(m.event, m.data, m.id) for m in messages(lines(part.encode() for part in text))]
    assert found == [("message", "a\nb", None), ("state", "c", "7")]


def test_only_line_feeds_end_a_line() -> None:
    """JSON may hold the separators at which str.splitlines ends a line."""
    data = '{"message": "one\u2028two\x85three\x0bfour"}'
    text = f"data: {data}\n\n".encode()
    parts = [text[n : n + 1] for n in range(len(text))]
    assert [m.data for m in messages(lines(parts))] == [data]
