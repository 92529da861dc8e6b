"""A JSON log has one object a line, with the ids of what it belongs to."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ptsys.process import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    written = io.StringIO()
    yield written
    root.handlers, root.level = before, level


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_carry_the_ids_of_their_request_and_job(stream: io.StringIO) -> None:
    logs.configure("json", "INFO", stream)
    log = logging.getLogger("a.room")
    with logs.naming(request="r1"):
        with logs.naming(job="job-1"):
            log.info("both %d", 1)
        log.warning("one", extra={"status": 503})
    log.info("none")
    both, one, none = lines(stream)
    assert (both["request"], both["job"], both["message"]) == ("r1", "job-1", "both 1")
    assert (both["level"], both["logger"]) == ("info", "a.room")
    assert (one["request"], one["status"]) == ("r1", 503)
    assert "job" not in one
    assert "request" not in none
    assert both["time"].endswith("Z")


def test_another_threads_lines_carry_none_of_ours(stream: io.StringIO) -> None:
    logs.configure("json", "INFO", stream)
    with logs.naming(job="job-1"):
        thread = threading.Thread(target=logging.getLogger().info, args=("elsewhere",))
        thread.start()
        thread.join()
    assert "job" not in lines(stream)[0]


def test_whatever_is_logged_stays_one_line(stream: io.StringIO) -> None:
    logs.configure("json", "INFO", stream)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger().exception("a\nb")
    (line,) = lines(stream)
    assert line["message"] == "a\nb"
    assert line["exception"].endswith("ValueError: two\nlines")


def test_text_is_as_it_was(stream: io.StringIO) -> None:
    logs.configure("text", "INFO", stream)
    with logs.naming(job="job-1"):
        logging.getLogger("a").info("done")
    assert stream.getvalue().endswith(" INFO a: done\n")
