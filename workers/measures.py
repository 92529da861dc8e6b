"""What a worker counts, for Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import ptsys
from ptsys.engine.steps import StepEnded
from ptsys.jobs.presence import Presence

_STEP_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15, 60)
_COMPILE_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300)
_ENDINGS = ("succeeded", "failed", "retried", "cancelled", "given back", "lost")
_STATEMENT_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.03, 0.1, 0.3, 1, 5)


class Measures:
    """Counters of one worker, in a registry of their own. Users are named only if `users` says."""

    def __init__(self, model: str, *, users: bool = False) -> None:
        self.registry = registry = CollectorRegistry()
        self._users = users
        build = Gauge("ptsys_build", "Always 1.", ("version", "model"), registry=registry)
        build.labels(ptsys.__version__, model).set(1)
        self._steps = Histogram(
            "ptsys_step_seconds",
            "How long the device was busy with a step.",
            ("kind",),
            buckets=_STEP_SECONDS,
            registry=registry,
        )
        self._failed = Counter(
            "ptsys_steps_failed", "Steps that failed on the device.", ("kind",), registry=registry
        )
        self._rows = Counter("ptsys_step_rows", "Rows in steps.", ("kind",), registry=registry)
        self._room = Counter(
            "ptsys_step_room", "Rows that steps had room for.", ("kind",), registry=registry
        )
        self._user_rows = Counter(
            "ptsys_user_rows", "Rows in steps, by user.", ("user", "kind"), registry=registry
        )
        self._user_seconds = Counter(
            "ptsys_user_device_seconds",
            "Time of the device, shared among a step's users by their rows.",
            ("user", "kind"),
            registry=registry,
        )
        self._compiles = Histogram(
            "ptsys_compile_seconds",
            "Compilations of shapes, or readings of them from the cache.",
            ("kind",),
            buckets=_COMPILE_SECONDS,
            registry=registry,
        )
        self.statements = Histogram(
            "ptsys_database_statement_seconds",
            "How long the database took for a statement.",
            buckets=_STATEMENT_SECONDS,
            registry=registry,
        )
        self._ended = Counter(
            "ptsys_jobs_ended", "Runs of jobs that ended here.", ("how",), registry=registry
        )
        for how in _ENDINGS:  # what begins at 1 never grew, for Prometheus
            self._ended.labels(how)
        self._leases_lost = Counter(
            "ptsys_leases_lost", "Jobs that another worker took from this one.", registry=registry
        )
        self._leases_late = Counter(
            "ptsys_leases_not_renewed",
            "Times that leases could not be renewed because the database was away.",
            registry=registry,
        )

    def step(self, ended: StepEnded) -> None:
        """A step of the device has ended."""
        self._steps.labels(ended.kind).observe(ended.seconds)
        self._failed.labels(ended.kind).inc(ended.failed)
        self._rows.labels(ended.kind).inc(ended.rows)
        self._room.labels(ended.kind).inc(ended.room)
        if self._users:
            for user, rows in ended.users.items():
                self._user_rows.labels(user, ended.kind).inc(rows)
                seconds = ended.seconds * rows / ended.rows
                self._user_seconds.labels(user, ended.kind).inc(seconds)

    def compiled(self, key: Hashable, seconds: float) -> None:
        """A shape was compiled."""
        group = getattr(key, "group", None)
        self._compiles.labels(getattr(group, "operation", "other")).observe(seconds)

    def job_ended(self, how: str) -> None:
        """A run of a job ended here, in one of `_ENDINGS`."""
        self._ended.labels(how).inc()
        if how == "lost":
            self._leases_lost.inc()

    def not_renewed(self) -> None:
        """The leases could not be renewed."""
        self._leases_late.inc()


class LogCounter(logging.Handler):
    """Counts what is logged as a warning or worse."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(logging.WARNING)
        self._logged = Counter(
            "ptsys_logged", "Warnings and errors logged.", ("level",), registry=registry
        )
        for level in ("warning", "error"):
            self._logged.labels(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Count it."""
        worse = record.levelno >= logging.ERROR
        self._logged.labels("error" if worse else "warning").inc()


class Standing(Collector):
    """How the worker is now."""

    def __init__(self, describe: Callable[[], Presence]) -> None:
        self._describe = describe

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is, is looked up when it is collected."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Whether it is ready, the jobs it holds and the shapes it compiles."""
        now = self._describe()
        return [
            GaugeMetricFamily("ptsys_worker_ready", "This worker serves.", value=now.ready),
            GaugeMetricFamily("ptsys_jobs_held", "Jobs held here.", value=now.residents),
            GaugeMetricFamily("ptsys_compiling", "Shapes being compiled.", value=now.compiling),
        ]


class DeviceMemory(Collector):
    """Memory of this process's devices, as far as they tell: CPUs do not."""

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is, is looked up when it is collected."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Bytes in use, and the most that can be."""
        import jax

        used = GaugeMetricFamily(
            "ptsys_device_memory_bytes", "Memory in use on a device.", labels=("device",)
        )
        limit = GaugeMetricFamily(
            "ptsys_device_memory_limit_bytes", "Memory of a device.", labels=("device",)
        )
        for device in jax.local_devices():
            stats = device.memory_stats() or {}
            for family, name in ((used, "bytes_in_use"), (limit, "bytes_limit")):
                if name in stats:
                    family.add_metric([str(device.id)], stats[name])
        return [used, limit]
