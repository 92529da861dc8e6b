"""Several worker processes that serve one model together, to be killed one at a time."""

from __future__ import annotations

import socket
from typing import Any

import tiny_model
from waiting import until
from worker_deployment import Deployment, Worker

from ptsys.engine.engine import Engine
from ptsys.engine.trainings import Finished, TrainingTask
from ptsys.engine.workbench import load_workbench
from ptsys.kinds.trees import Tree
from ptsys.sharding.mesh import local_mesh
from ptsys.training.start import first_prompt
from ptsys.types.records import Job

ONE_DEVICE = "--xla_force_host_platform_device_count=1"


class WorkerGroup:
    """`processes` workers of a deployment; number 0 leads. Started again it has the same ports."""

    def __init__(self, deployment: Deployment, processes: int, **settings: Any) -> None:
        self.deployment = deployment
        self.processes = processes
        self.coordinator = f"127.0.0.1:{two_free_ports()}"
        self._settings = {"join_seconds": 120.0, "flags": ONE_DEVICE, **settings}
        self.workers: list[Worker] = []

    def start_one(self, process: int, **settings: Any) -> Worker:
        return self.deployment.start_worker(
            coordinator=self.coordinator,
            processes=self.processes,
            process_id=process,
            **{**self._settings, **settings},
        )

    def start(self) -> "WorkerGroup":
        self.workers = [self.start_one(process) for process in range(self.processes)]
        for worker in self.workers:
            worker.ready()
        return self

    @property
    def leader(self) -> Worker:
        return self.workers[0]

    def exit_codes(self, timeout: float = 30.0) -> list[int]:
        """How all have ended, by number."""
        until(lambda: all(w.process.poll() is not None for w in self.workers), timeout)
        return [worker.process.returncode for worker in self.workers]


class Alone:
    """What one process with one device gives."""

    def __init__(self, deployment: Deployment) -> None:
        self.bench = load_workbench(deployment.root, tiny_model.NAME, local_mesh(1))
        self.engine = Engine(self.bench.served).start()

    def prompt(self, job: Job) -> Any:
        """The soft tokens that a job on `colours` ends with."""
        return self.tree(job)["prompt"]

    def tree(self, job: Job) -> Tree:
        """The prompt of any kind that a job on `colours` ends with."""
        spec: Any = job.spec
        examples = self.engine.encode(spec, tiny_model.rows())
        start = first_prompt(self.bench, spec, examples.texts)
        task = TrainingTask(job.id, "u", spec, examples, start, kind=spec.prompt_kind)
        training = self.engine.train(task)
        event = training.events.get(timeout=200)
        while not isinstance(event, Finished):
            event = training.events.get(timeout=200)
        return event.snapshot.values

    def close(self) -> None:
        self.engine.close()


def two_free_ports() -> int:
    """A free port whose next one is free too."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
