import json
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest

from ptsys.client import Client
from ptsys.errors import Conflict, NotFound, QuotaExceeded, Unavailable
from ptsys.types.example import Example, digest
from ptsys.types.training import TrainingSpec

Make = Callable[..., Client]
JOB = {
    "id": "job-1",
    "owner": "ann",
    "spec": {"name": "p", "dataset": "ds-1"},
    "state": "queued",
    "created": "2026-01-01T00:00:00Z",
}
MODEL = {"name": "tiny", "fingerprint": "f", "d_model": 8}
SPEC = TrainingSpec(name="p", dataset="ds-1")
DATASET = {
    "id": "ds-1",
    "name": "d",
    "owner": "ann",
    "rows": 1,
    "digest": digest([Example("a", "b")]),
    "created": "2026-01-01T00:00:00Z",
}


def answers(*given: httpx.Response | Exception) -> tuple[list[httpx.Request], Callable]:
    """A handler that gives these in turn, and the requests it saw."""
    seen: list[httpx.Request] = []
    left: Iterator[httpx.Response | Exception] = iter(given)

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return seen, handle


def test_a_job_is_asked_for_with_one_key_however_often_it_is_repeated(
    talking_to: Make, pauses: list[float]
) -> None:
    seen, handle = answers(
        httpx.ReadError("reset"),
        httpx.Response(502),
        httpx.RemoteProtocolError("closed"),
        httpx.Response(503),
        httpx.Response(201, json=JOB),
    )
    assert talking_to(handle).jobs.submit(SPEC).id == "job-1"
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert len({request.content for request in seen}) == 1
    assert pauses == [0.25, 0.5, 1.0, 2.0]


def test_two_jobs_have_two_keys_unless_the_caller_says_so(talking_to: Make) -> None:
    seen, handle = answers(*[httpx.Response(201, json=JOB) for _ in range(4)])
    client = talking_to(handle)
    for key in (None, None, "mine", "mine"):
        client.jobs.submit(SPEC, idempotency_key=key)
    keys = [request.headers["Idempotency-Key"] for request in seen]
    assert keys[2:] == ["mine", "mine"]
    assert len(set(keys)) == 3


def test_the_server_says_how_long_to_wait(talking_to: Make, pauses: list[float]) -> None:
    busy = httpx.Response(429, headers={"Retry-After": "7"})
    _, handle = answers(busy, httpx.Response(200, json=MODEL))
    assert talking_to(handle).models.get("tiny").d_model == 8
    assert pauses == [7.25]  # and a draw on top, so that not all come back at once


def test_a_wait_beyond_patience_is_the_callers_decision(
    talking_to: Make, pauses: list[float]
) -> None:
    problem = {"detail": "your rows for this minute are used up", "status": 429}
    busy = httpx.Response(
        429,
        headers={"Retry-After": "3600", "Content-Type": "application/problem+json"},
        content=json.dumps(problem),
    )
    seen, handle = answers(busy)
    with pytest.raises(QuotaExceeded, match="used up") as caught:
        talking_to(handle).models.get("tiny")
    assert caught.value.retry_after == 3600
    assert (len(seen), pauses) == (1, [])


def test_attempts_end(talking_to: Make, pauses: list[float]) -> None:
    seen, handle = answers(*[httpx.ConnectError("refused")] * 3)
    with pytest.raises(Unavailable, match="cannot be reached"):
        talking_to(handle, attempts=3).models.get("tiny")
    assert len(seen) == 3
    assert len(pauses) == 2


def test_pauses_stop_growing_at_the_longest(talking_to: Make, pauses: list[float]) -> None:
    _, handle = answers(*[httpx.Response(503)] * 5)
    with pytest.raises(Unavailable):
        talking_to(handle, attempts=5, first=1.0, longest=3.0).models.get("tiny")
    assert pauses == [1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
def test_what_another_attempt_cannot_mend_is_not_repeated(talking_to: Make, status: int) -> None:
    seen, handle = answers(httpx.Response(status))
    with pytest.raises(Exception, match=str(status)):
        talking_to(handle).models.get("tiny")
    assert len(seen) == 1


def test_a_silent_service_is_not_asked_again_and_again(talking_to: Make) -> None:
    seen, handle = answers(httpx.ReadTimeout("slow"))
    with pytest.raises(Unavailable, match="in time"):
        talking_to(handle).models.get("tiny")
    assert len(seen) == 1


def test_a_dataset_that_arrived_before_the_connection_broke_is_found_again(
    talking_to: Make,
) -> None:
    lost, taken = httpx.ReadError("reset"), httpx.Response(409)
    seen, handle = answers(lost, taken, httpx.Response(200, json=DATASET))
    assert talking_to(handle).datasets.add("d", [("a", "b")]).id == "ds-1"
    assert [request.method for request in seen] == ["POST", "POST", "GET"]


def test_another_dataset_of_that_name_is_a_conflict(talking_to: Make) -> None:
    other = DATASET | {"digest": "something else"}
    lost, taken = httpx.ReadError("reset"), httpx.Response(409)
    _, handle = answers(lost, taken, httpx.Response(200, json=other))
    with pytest.raises(Conflict):
        talking_to(handle).datasets.add("d", [("a", "b")])


def test_a_conflict_without_a_broken_connection_is_one(talking_to: Make) -> None:
    seen, handle = answers(httpx.Response(409))
    with pytest.raises(Conflict):
        talking_to(handle).prompts.add("p", np.ones((2, 3)))
    assert len(seen) == 1


def test_deleting_what_an_earlier_attempt_deleted_is_done(talking_to: Make) -> None:
    _, handle = answers(httpx.ReadError("reset"), httpx.Response(404))
    talking_to(handle).prompts.delete("p")
    _, handle = answers(httpx.Response(404))
    with pytest.raises(NotFound):
        talking_to(handle).prompts.delete("p")
