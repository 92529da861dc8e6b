"""How fast Redis and the database answer a process, asked when somebody looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text

from ptsys.errors import Unavailable
from ptsys.jobs.redis_address import RedisAddress
from ptsys.store.database import Database


class Pings(Collector):
    """Seconds of a round trip to each, and whether it answered."""

    def __init__(self, database: Database, address: RedisAddress) -> None:
        self._checks: dict[str, Callable[[], None]] = {
            "database": lambda: _select(database),
            "redis": address.check,
        }

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is, is looked up when it is collected."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Ask both now."""
        up = GaugeMetricFamily("ptsys_dependency_up", "It answers.", labels=("name",))
        took = GaugeMetricFamily(
            "ptsys_dependency_seconds", "Time of a round trip to it.", labels=("name",)
        )
        for name, check in self._checks.items():
            since = time.perf_counter()
            try:
                check()
            except Unavailable:
                up.add_metric([name], 0)
            else:
                up.add_metric([name], 1)
                took.add_metric([name], time.perf_counter() - since)
        return [up, took]


def _select(database: Database) -> None:
    with database.reading() as session:
        session.execute(text("SELECT 1"))
