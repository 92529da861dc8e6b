"""A deployment for tests: a real Redis, a real database, and worker processes to be killed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tiny_model
from blocking_asker import BlockingAsker
from waiting import until

from ptsys.config import Settings
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.service import Service
from ptsys.kinds.trees import Tree
from ptsys.models.registry import Registry
from ptsys.prompts.storage import load_tree
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.records import Event, Job
from ptsys.types.training import Optimizer, TrainingSpec

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 150.0
FAST = {"lease_seconds": 3.0, "reconcile_seconds": 0.5, "resend_seconds": 1.5, "max_residents": 4}
ADAFACTOR = Optimizer(kind="adafactor", learning_rate=0.3)


class Worker:
    """One `python -m workers`."""

    def __init__(
        self, root: Path, number: int, arguments: Sequence[str], flags: str = "", **settings: Any
    ) -> None:
        self.log = root / f"worker-{number}.log"
        kept = {name: x for name, x in os.environ.items() if not name.startswith("PTSYS_")}
        values = {**FAST, "data_dir": root, **settings}
        given = {f"PTSYS_{name.upper()}": str(value) for name, value in values.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers", *arguments],
                env={**kept, **given, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def ready(self) -> "Worker":
        until(lambda: "ready:" in self.said or self.process.poll() is not None, START_SECONDS)
        assert self.process.poll() is None, self.said
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout: float = 30.0) -> tuple[int, float]:
        """Its exit code, and how many seconds it took to end."""
        since = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout), time.monotonic() - since


class Deployment:
    """Users `ann`, `bob` and `eve`, each with a dataset `colours`, on the model `mini`."""

    def __init__(self, template: Path, root: Path, **settings: Any) -> None:
        root.mkdir(parents=True)
        shutil.copytree(template / "models", root / "models")
        (root / "compilations").symlink_to(template / "compilations")
        self.root = root
        self._changes = settings
        self.settings = Settings(data_dir=root, redis_url=None, **{**FAST, **settings})
        self.redis = EmbeddedRedis(root)
        self.redis.start()
        self.service = Service(self.settings)
        self.service.models.add(Registry(root).describe(tiny_model.NAME))
        for owner in ("ann", "bob", "eve"):
            self.service.datasets.add("colours", owner, tiny_model.rows())
        self.workers: list[Worker] = []
        self.askers: list[BlockingAsker] = []

    def start_worker(self, *arguments: str, **settings: Any) -> Worker:
        """A worker on its way; `.ready()` waits for it."""
        wanted = arguments or ("--model", tiny_model.NAME)
        number = len(self.workers) + 1
        worker = Worker(self.root, number, wanted, **{**self._changes, **settings})
        self.workers.append(worker)
        return worker

    def submit(self, name: str, owner: str = "ann", **spec: Any) -> Job:
        values = {
            "name": name,
            "model": tiny_model.NAME,
            "dataset": "colours",
            "steps": 40,
            "length": 8,
            "batch_size": 16,
            "checkpoint_every": 10,
            "optimizer": ADAFACTOR,
        }
        return self.service.submit(TrainingSpec(**{**values, **spec}), owner)

    def submit_tasks(self, name: str, datasets: Sequence[str], **spec: Any) -> Job:
        """A multi-task job of ann's; each dataset is a task of its name."""
        values = {
            "name": name,
            "model": tiny_model.NAME,
            "tasks": [{"name": dataset, "dataset": dataset} for dataset in datasets],
            "steps": 40,
            "length": 6,
            "task_length": 4,
            "batch_size": 24,
            "checkpoint_every": 10,
            "optimizer": ADAFACTOR,
        }
        return self.service.submit(MultiTaskSpec.model_validate({**values, **spec}), "ann")

    def submit_augmentation(self, name: str, owner: str = "ann", **spec: Any) -> Job:
        """An augmentation on the owner's `colours`."""
        values = {
            "name": name,
            "model": tiny_model.NAME,
            "dataset": "colours",
            "query_steps": 20,
            "second_steps": 20,
            "steps": 20,
            "polish_steps": 10,
            "length": 8,
            "batch_size": 16,
            "checkpoint_every": 10,
            "optimizer": ADAFACTOR,
        }
        return self.service.submit(AugmentSpec.model_validate({**values, **spec}), owner)

    def add_rows(self, name: str, examples: Sequence[Example], owner: str = "ann") -> None:
        self.service.datasets.add(name, owner, examples)

    def job(self, job: Job) -> Job:
        return self.service.get(job.id, job.owner)

    def wait(self, job: Job, timeout: float = 240.0) -> Job:
        """The job once it succeeded; the workers' logs tell why if it did not."""
        try:
            return self.service.wait(job.id, job.owner, timeout=timeout)
        except Exception as error:
            error.add_note("\n".join(worker.said[-3000:] for worker in self.workers))
            raise

    def ended(self, job: Job, timeout: float = 240.0) -> Job:
        """The job once it ended, however it did."""
        until(lambda: self.job(job).state.final, timeout)
        return self.job(job)

    def events(self, job: Job, kind: str | None = None) -> list[Event]:
        found = self.service.events(job.id, job.owner, limit=10_000)
        return [event for event in found if kind is None or event.kind == kind]

    def checkpoints(self, job: Job) -> list[int]:
        """The steps of the checkpoints it told of."""
        return [event.data["step"] for event in self.events(job, "checkpoint")]

    def past_checkpoint(self, job: Job, number: int = 2, beyond: int = 5) -> int:
        """Wait until the job is at least `beyond` steps after its checkpoint; its step."""

        def there() -> bool:
            steps = self.checkpoints(job)
            return len(steps) >= number and self.job(job).step >= steps[-1] + beyond

        until(there, 200)
        return self.job(job).step

    def tensor(self, job: Job) -> np.ndarray:
        return self.tree(job)["prompt"]

    def tree(self, job: Job) -> Tree:
        prompt = self.job(job).prompt
        assert prompt is not None
        return load_tree(self.service.prompts.tensor_path(prompt))

    def asker(self) -> BlockingAsker:
        asker = BlockingAsker(self.redis.address)
        self.askers.append(asker)
        return asker

    def lose_redis(self) -> None:
        """Kill Redis: what it held is gone."""
        assert self.redis.pid is not None
        os.kill(self.redis.pid, signal.SIGKILL)
        until(lambda: not alive(self.redis.pid), 10)

    def close(self) -> None:
        """End everything, and see that no process of it stays."""
        try:
            for worker in self.workers:
                if worker.process.poll() is None:
                    worker.process.terminate()
            for worker in self.workers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(20)
                if worker.process.poll() is None:
                    worker.kill()
            for asker in self.askers:
                asker.close()
        finally:
            self.redis.stop()
            self.service.close()
        assert not processes_of(self.root)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def metric(text: str, name: str) -> float:
    """The sum of a metric's samples."""
    values = [line.split()[-1] for line in text.splitlines() if line.startswith(name)]
    assert values, name
    return sum(map(float, values))


def alive(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_of(root: Path) -> list[int]:
    """Processes other than this one whose command line or environment names the folder."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if os.fsencode(f"{root}") in text and alive(int(folder.name)):
                found.append(int(folder.name))
    return found
