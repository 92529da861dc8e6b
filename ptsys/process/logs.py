"""Logs as lines of text, or as lines of JSON that carry the ids of the request and the job."""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any, Literal, TextIO

Form = Literal["text", "json"]

_request: contextvars.ContextVar[str | None] = contextvars.ContextVar("request", default=None)
_job: contextvars.ContextVar[str | None] = contextvars.ContextVar("job", default=None)
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LONGEST = 20_000  # characters of a traceback
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(
    form: Form = "text", level: int | str = logging.WARNING, stream: TextIO | None = None
) -> None:
    """Let this process's log go to stderr, or to `stream`, in that form and from that level on."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(_TEXT))
    # absl, which jax's libraries bring, likes to be first
    logging.basicConfig(level=level, handlers=[handler], force=True)


@contextlib.contextmanager
def naming(*, request: str | None = None, job: str | None = None) -> Iterator[None]:
    """What is logged within, in this thread or task and those that copy its context, belongs to
    this request or job."""
    tokens = [
        (variable, variable.set(value))
        for variable, value in ((_request, request), (_job, job))
        if value is not None
    ]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)


def request_named() -> str | None:
    """The id of the request that this thread or task works for."""
    return _request.get()


class JsonLines(logging.Formatter):
    """One JSON object a line: `time` (UTC), `level`, `logger`, `message`, `process`, and where they
    are known `request`, `job`, `exception` and whatever `extra` a log call gave."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        told: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": os.getpid(),
            "request": _request.get(),
            "job": _job.get(),
        }
        told.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)[-_LONGEST:]
        kept = {name: value for name, value in told.items() if value is not None}
        return json.dumps(kept, default=str, ensure_ascii=False)
