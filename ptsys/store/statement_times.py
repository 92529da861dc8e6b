"""How long the database takes for statements."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, event

_SINCE = "ptsys_statement_since"


def time_statements(engine: Engine, tell: Callable[[float], object]) -> None:
    """Call `tell` with the seconds of every statement that succeeds on this engine."""

    @event.listens_for(engine, "before_cursor_execute")
    def _begins(connection: Connection, *_: Any) -> None:
        connection.info[_SINCE] = time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def _ends(connection: Connection, *_: Any) -> None:
        since = connection.info.pop(_SINCE, None)
        if since is not None:
            tell(time.perf_counter() - since)
