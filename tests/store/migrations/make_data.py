"""Makes a data folder with jobs of every kind that stand half-way, to be opened by later commits.

    git worktree add FOLDER COMMIT
    PYTHONPATH=FOLDER:FOLDER/tests python tests/store/migrations/make_data.py COMMIT.tar.xz

It is run with the commit whose data is to be kept, and uses only what that one has. `single` was
left by a worker that died, `tasks` and `augmented` by one that gave them back; `…-whole` are the
same jobs done without a break. All is as small as it can be. `november_2026` is of the last commit
before trainings had a room; there a claimed job was a `workers.holds.Hold`.
"""

from __future__ import annotations

import dataclasses
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import tiny_model

from ptsys.config import Settings
from ptsys.engine.engine import Engine
from ptsys.engine.workbench import keep_start, load_workbench
from ptsys.jobs.service import Service
from ptsys.models.registry import Registry
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.records import Job
from ptsys.types.specs import AnySpec
from ptsys.types.training import TrainingSpec
from workers.claimed_jobs import ClaimedJob, Halt
from workers.job import run_job

STEPS, EVERY = 60, 10
COMMON = {"model": tiny_model.NAME, "length": 2, "batch_size": 4, "checkpoint_every": EVERY}
SPECS: dict[str, tuple[type[AnySpec], dict]] = {  # type: ignore[type-arg]
    "single": (TrainingSpec, {"dataset": "colours", "steps": STEPS, "validation": "near"}),
    "tasks": (
        MultiTaskSpec,
        {
            "tasks": [{"name": name, "dataset": name} for name in ("colours", "near")],
            "steps": STEPS,
            "task_length": 1,
            "combination": "affine",
        },
    ),
    "augmented": (
        AugmentSpec,
        {
            "dataset": "colours",
            "strategy": "curriculum",
            "query_steps": STEPS // 2,
            "second_steps": STEPS,
            "steps": STEPS,
            "neighbours": 1,
            "candidates": 1,
        },
    ),
}


@dataclasses.dataclass
class Deployment:
    """A worker without a queue."""

    service: Service
    engine: Engine
    bench: object

    def submit(self, name: str, kind: type[AnySpec], **fields: object) -> Job:
        """Ann's job."""
        return self.service.submit(kind(name=name, **COMMON, **fields), "ann")  # type: ignore[arg-type]

    def run(self, job: Job, until: Callable[[Job], bool] | None = None, halt: Halt = Halt.LOST):
        """To its end, or until it is halted."""
        claim = self.service.leases.claim(job.id, "worker-before")
        assert claim is not None
        claimed = ClaimedJob(claim)
        arguments = (claimed, self.service, self.engine, self.bench, lambda: 0.01)
        thread = threading.Thread(target=run_job, args=arguments)
        thread.start()
        while thread.is_alive():
            if until is not None and claimed.halt is None and until(job):
                claimed.stop(halt)
            time.sleep(0.001)
        print(job.spec.name, self.service.get(job.id, "ann").state, claimed.outcome)

    def saved(self, job: Job) -> int:
        """The step of the last checkpoint."""
        events = self.service.events(job.id, "ann", limit=1000)
        return max([event.data["step"] for event in events if event.kind == "checkpoint"] or [0])


def main() -> None:
    """Write the folder to the file that is named."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        root.mkdir()
        tiny_model.write_tiny_model(root)
        (root / "vocabulary.model").unlink()
        service = Service(Settings(data_dir=root, redis_url=None))
        service.models.add(Registry(root).describe(tiny_model.NAME))
        service.datasets.add("colours", "ann", tiny_model.rows(12))
        service.datasets.add("near", "ann", tiny_model.rows(16, seed=2))
        bench = load_workbench(root, tiny_model.NAME)
        keep_start(root, bench)
        here = Deployment(service, Engine(bench.served).start(), bench)
        here.run(here.submit("near", TrainingSpec, dataset="near", steps=STEPS))
        for name, (kind, fields) in SPECS.items():
            here.run(here.submit(f"{name}-whole", kind, **fields))
            broken = here.submit(name, kind, **fields)
            first = {"single": 3 * EVERY, "tasks": 3 * EVERY, "augmented": STEPS}[name]
            halt = Halt.LOST if name == "single" else Halt.GIVE_BACK
            here.run(broken, lambda job, first=first: here.saved(job) >= first, halt)
            print(name, "stands at", here.saved(broken))
        here.engine.close()
        service.close()
        with tarfile.open(sys.argv[1], "w:xz") as archive:
            archive.add(root, "data", filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uname = member.gname = ""
    member.uid = member.gid = 0
    return None if "/compilations" in member.name else member


if __name__ == "__main__":
    main()
