"""From a job's row to its value, and the numbering of its events."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from ptsys.store.tables import EventRow, JobRow
from ptsys.types.model import UNKNOWN
from ptsys.types.records import Event, Job

_LONGEST_ERROR = 500
_LONGEST_TRACEBACK = 20_000


def job_value(row: JobRow) -> Job:
    """The job as users see it. What a newer version wrote into its spec beside is left out: while
    a service is upgraded, both versions read the same jobs."""
    values = {field: getattr(row, field) for field in _COLUMNS}
    while True:
        try:
            return Job.model_validate(values)
        except ValidationError as error:
            unknown = [one["loc"] for one in error.errors() if one["type"] == UNKNOWN]
            if len(unknown) != error.error_count():
                raise
            values = _without(values, unknown)


def _without(values: dict[str, Any], places: Sequence[tuple[int | str, ...]]) -> dict[str, Any]:
    kept = copy.deepcopy(values)
    for *way, last in places:
        inner: Any = kept
        for step in way:
            inner = inner[step]
        del inner[last]
    return kept


_COLUMNS = [field for field in Job.model_fields if field != "queue"]  # told to those who ask for it


def event_value(row: EventRow) -> Event:
    """The event as users see it."""
    return Event.model_validate({field: getattr(row, field) for field in Event.model_fields})


def record_event(
    session: Session, row: JobRow, kind: str, data: dict[str, Any], now: datetime.datetime
) -> None:
    """Write the job's next event.

    The job's row must already be changed in this transaction: that locks it, so the numbers have
    no gaps and become visible in order, and a reader who asks for what came after N misses none.
    """
    row.sequence += 1
    session.add(EventRow(job=row.id, sequence=row.sequence, time=now, kind=kind, data=data))


def one_line(reason: str) -> str:
    """The reason in one line of bounded length, fit for every database and terminal."""
    line = " ".join(reason.replace("\0", " ").split()) or "no reason was given"
    return line if len(line) <= _LONGEST_ERROR else line[: _LONGEST_ERROR - 1] + "…"


def bounded_traceback(text: str | None) -> str | None:
    """The traceback's end, where the cause is."""
    return text.replace("\0", " ")[-_LONGEST_TRACEBACK:] if text is not None else None
