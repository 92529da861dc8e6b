"""A run's numbers as they come: lines of JSON, and event files for TensorBoard."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX import SummaryWriter

from ptsys.store.clock import utc_now

METRICS, EVENTS = "metrics.jsonl", "tensorboard"
_TIDY = 6  # digits


class RunMetrics:
    """Writes into a run's folder: names and numbers, never rows.

    A run that was killed and goes on may tell a step twice: what comes later counts. TensorBoard
    shows `<number>/<name>`, so that all of a kind stand together.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is written before the first number."""
        self._folder = folder
        self._events: SummaryWriter | None = None
        self._began = utc_now()

    def __enter__(self) -> RunMetrics:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._events is not None:
            self._events.close()

    def write(self, name: str, step: int, **values: Any) -> None:
        """What is known of a prompt after `step` updates. Numbers that are not finite are left
        out; what is no number stands in the JSON alone."""
        finite = {
            key: round(value, _TIDY) if isinstance(value, float) else value
            for key, value in values.items()
            if not isinstance(value, float) or math.isfinite(value)
        }
        seconds = (utc_now() - self._began) / datetime.timedelta(seconds=1)
        line = {"prompt": name, "seconds": round(seconds, 1), "step": step, **finite}
        with (self._folder / METRICS).open("a") as file:
            file.write(json.dumps(line) + "\n")
        for key, value in finite.items():
            if isinstance(value, float):
                self._writer().add_scalar(f"{key}/{name}", value, step)

    def _writer(self) -> SummaryWriter:
        if self._events is None:
            self._events = SummaryWriter(str(self._folder / EVENTS), flush_secs=10)
        return self._events
