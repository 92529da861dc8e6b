"""`python -m workers`: one worker process, from its start to an orderly end."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

import ptsys
from ptsys.config import Settings
from ptsys.errors import PtsysError
from ptsys.jobs.leases import new_worker_id
from ptsys.jobs.presence import Presence
from ptsys.jobs.queue import QUEUE_CPU, device_queue
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import locate
from ptsys.jobs.service import Service
from ptsys.process import logs, traces
from ptsys.process.supervisor import tell, watchdog_seconds
from ptsys.sharding.absent_tpu import silence_absent_tpu
from ptsys.sharding.group import GROUP_ENDED, Group, group_of
from ptsys.store.clock import utc_now
from ptsys.store.private_files import keep_private
from workers.app import make_app
from workers.consumer import Consumer
from workers.idleness import Idleness
from workers.probes import Probes, open_probes
from workers.tasks import add_cpu_tasks, add_device_tasks
from workers.upkeep import Upkeep

if TYPE_CHECKING:
    from ptsys.sharding.leading import Followers, Loss
    from workers.host import ModelHost
    from workers.measures import Measures

logger = logging.getLogger("workers")


class WorkerProcess:
    """The parts of one worker, and how it ends."""

    def __init__(
        self, arguments: argparse.Namespace, settings: Settings, group: Group | None = None
    ) -> None:
        """Find Redis and the database. `group` is what this process leads, if it leads one. Raises
        Unavailable if one is missing."""
        self._arguments = arguments
        self._settings = settings
        self._group = group
        self._followers: Followers | None = None
        self._lost = False
        self._asked = False  # a signal came
        self._signal = 0  # which
        self._service = Service(self._settings)  # first: it gives the folder its id
        self._address: RedisAddress = locate(self._settings)
        self._id = new_worker_id()
        self._since = utc_now()
        self._model: str | None = None
        if not arguments.cpu_only:
            self._model = arguments.model or self._settings.model
        self._host: ModelHost | None = None
        self._ready = False
        self._stop = threading.Event()
        self._parent = os.getppid()
        self._consumer: Consumer | None = None
        self._pulse = watchdog_seconds()
        self._probes: Probes | None = None

    def run(self) -> int:
        """Work until a signal comes; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        upkeep = Upkeep(self._service, self._address, self._describe)
        upkeep.start()
        self._probes = open_probes(self._settings, self._unready, self._unwell)
        try:
            consumer = self._consumer = self._make_consumer()
        except BaseException:
            upkeep.stop()
            raise
        self._ready = True
        if self._host is not None:
            self._host.start()
        if not consumer.start():
            logger.warning("Redis at %s does not answer yet", self._address)
        upkeep.announce_soon()
        logger.info("ready: %s", self._what())
        tell(ready=1, status=f"serves {self._what()}")
        code = self._wait(consumer)
        self._end(consumer, upkeep)
        if self._followers is not None:
            self._followers.end(code, "process 0 ends")
        return code

    def _make_consumer(self) -> Consumer:
        """Load what is to be served, and get ready to listen for it."""
        app = make_app(self._settings, self._address)
        add_cpu_tasks(app, self._service)
        queues = [QUEUE_CPU]
        if self._model is not None:
            self._host = self._make_host(self._model)
            add_device_tasks(app, self._host)
            queues.append(device_queue(self._model))
        return Consumer(app, queues, f"{self._id}@{socket.gethostname()}")

    def _make_host(self, model: str) -> ModelHost:
        from ptsys.sharding.host_memory import keep_freed_memory
        from ptsys.sharding.mesh import use_every_core  # jax: the CPU queue does without
        from workers.host import ModelHost
        from workers.warmup import common_shapes

        use_every_core()
        keep_freed_memory()
        ahead = common_shapes if self._arguments.compile_ahead else None
        if self._group is not None:
            self._followers = self._gather(self._group, model)
        return ModelHost(
            self._service,
            self._address,
            model,
            self._id,
            ahead=ahead,
            followers=self._followers,
            measures=self._make_measures(model),
        )

    def _make_measures(self, model: str) -> Measures:
        """What this worker counts; shown where its probes are."""
        from ptsys.jobs.pings import Pings
        from ptsys.store.statement_times import time_statements
        from workers.measures import DeviceMemory, LogCounter, Measures, Standing

        measures = Measures(model, users=self._settings.metrics_users)
        time_statements(self._service.database.engine, measures.statements.observe)
        logging.getLogger().addHandler(LogCounter(measures.registry))
        measures.registry.register(DeviceMemory())
        measures.registry.register(Pings(self._service.database, self._address))
        measures.registry.register(Standing(self._describe))
        if self._probes is not None:
            self._probes.registry = measures.registry
        return measures

    def _unready(self) -> str | None:
        if self._stop.is_set():
            return "is ending"
        return None if self._ready else "loads its model"

    def _unwell(self) -> str | None:
        """Why this worker should be started again, if it should."""
        if not self._ready or self._stop.is_set():
            return None
        if self._consumer is not None and not self._consumer.alive:
            return "the Celery consumer ended"
        if self._host is None:
            return None
        if not self._host.alive:
            return "the device thread ended"
        seconds = self._host.step_seconds
        if seconds > self._settings.step_seconds:
            return f"a step has been running for {seconds:.0f} s"
        return None

    def _gather(self, group: Group, model: str) -> Followers:
        """Wait for the other processes of the group, and share one mesh with them."""
        from ptsys.sharding.group import initialize
        from ptsys.sharding.leading import Followers

        terms = {"model": model, "capacity": self._settings.max_residents}
        followers = Followers(group, ptsys.__version__, terms)
        followers.on_loss, followers.on_leaving = self._on_loss, self._on_leaving
        logger.info("process 0 waits for %d others", group.processes - 1)
        followers.gather()
        initialize(group)
        return followers

    def _on_loss(self, loss: Loss) -> None:
        logger.error("the group ends: %s", loss.message)
        if not self._ready or self._host is None:
            logging.shutdown()
            os._exit(GROUP_ENDED)  # nothing is held yet
        self._lost = True
        self._host.lose(loss)
        self._stop.set()

    def _on_leaving(self, name: str) -> None:
        logger.info("%s was asked to end: the group ends", name)
        if not self._ready:
            os._exit(GROUP_ENDED)
        self._stop.set()

    def _wait(self, consumer: Consumer) -> int:
        """Until the end is asked for, or cannot be avoided."""
        pulsed, idle = 0.0, Idleness(self._settings.idle_exit_seconds)
        while not self._stop.wait(1.0):
            now = time.monotonic()
            if self._pulse is not None and now - pulsed >= self._pulse and not self._unwell():
                pulsed = now
                tell(watchdog=1)
            if not consumer.alive:
                logger.error("the Celery consumer ended by itself; this worker ends too")
                return 1
            if self._host is not None and not self._host.alive:
                if self._lost:
                    return GROUP_ENDED
                logger.error("the device thread ended by itself; this worker ends too")
                return 1
            if self._host is not None and idle.over(self._host.residents, self._host.work, now):
                logger.info("nothing came for %g s", idle.limit)
                return 0
            if self._arguments.with_parent and os.getppid() != self._parent:
                logger.info("the process that started this worker is gone")
                return 0
        if self._lost or not self._asked:
            return GROUP_ENDED
        return self._drained

    @property
    def _drained(self) -> int:
        """What a worker that a signal ended in order ends with: Ctrl-C asks for no new one."""
        return self._settings.drained_exit_code if self._signal == signal.SIGTERM else 0

    def _end(self, consumer: Consumer, upkeep: Upkeep) -> None:
        tell(stopping=1, status="gives its jobs back")
        logger.info("ending: jobs stop after the step under way and are given back")
        stopping = threading.Thread(target=consumer.stop, name="celery-stop", daemon=True)
        stopping.start()
        if self._host is not None and not self._host.drain():
            logger.warning("not everything was done in time; the reconciler takes it up")
        upkeep.stop()
        stopping.join(3.0)
        logger.info("ended")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._asked:
            os._exit(128 + number)  # the second one
        self._signal = number
        if not self._ready:
            os._exit(self._drained)  # nothing is held yet
        self._asked = True
        self._stop.set()

    def _describe(self) -> Presence:
        host = self._host
        return Presence(
            worker=self._id,
            model=self._model,
            fingerprint=None if host is None else host.bench.served.fingerprint,
            ready=self._ready,
            residents=0 if host is None else host.residents,
            capacity=0 if host is None else self._settings.max_residents,
            **({} if host is None else host.work),
            host=socket.gethostname(),
            pid=os.getpid(),
            since=self._since,
            clock=utc_now(),
        )

    def _what(self) -> str:
        if self._host is None:
            return f"no model, queue {QUEUE_CPU} alone"
        served = self._host.bench.served
        return f"model {served.name} (fingerprint {served.fingerprint})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; the exit code."""
    parsed = _parser().parse_args(arguments)
    silence_absent_tpu()
    logs.configure(level=parsed.loglevel.upper())
    if parsed.loglevel != "debug":
        for name in ("celery", "kombu", "absl", "orbax", "jax", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
    try:
        settings = Settings()
        logs.configure(settings.log_format, parsed.loglevel.upper())
        if settings.traces:
            traces.start("ptsys-worker")
        group = None if parsed.cpu_only else group_of(settings)
        if group is not None and not group.leads:
            from workers.follower import Follower  # jax

            return Follower(group, settings, with_parent=parsed.with_parent).run()
        return WorkerProcess(parsed, settings, group).run()
    except PtsysError as error:
        logger.error("%s", error)
        return 1
    except OSError as error:
        if error.filename is None:
            raise  # no file's fault
        logger.error("%s: %s", error.filename, error.strerror)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workers",
        description="Serve one frozen model. Further settings come from PTSYS_* variables.",
    )
    parser.add_argument("--model", help="its name; unset is PTSYS_MODEL")
    parser.add_argument("--cpu-only", action="store_true", help="serve no model, load no jax")
    parser.add_argument(
        "--compile-ahead", action="store_true", help="compile common shapes before they are needed"
    )
    parser.add_argument(
        "--with-parent", action="store_true", help="end when the starting process has ended"
    )
    parser.add_argument("--loglevel", choices=("debug", "info", "warning", "error"), default="info")
    return parser


if __name__ == "__main__":
    keep_private()
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a compilation under way would hold the process up; nothing is left to save
