"""How far one database goes: what the service asks of it, with 100,000 users' rows there.

    python -m benchmarks.many_users [--users 100000] [--postgres]

Fills an empty database in bulk: for each user a key, a dataset, a prompt and three jobs that have
ended, with five events each; of all, so many that wait and run as are told. Then times the very
calls of API, workers and reconciler, each as the median of several, and prints them as a table with
the size of the database and of this process.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import text

from ptsys.config import Settings
from ptsys.jobs.backlog import backlog
from ptsys.jobs.leases import new_worker_id
from ptsys.jobs.queue_places import with_places
from ptsys.jobs.reconciler import reconcile
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.retention import forget_jobs
from ptsys.jobs.service import Service
from ptsys.store.keys import PREFIX
from ptsys.store.prompt_search import PromptSearch
from ptsys.store.tables import ApiKeyRow, DatasetRow, EventRow, IdempotencyRow, JobRow, PromptRow
from ptsys.types.example import Example
from ptsys.types.library import Filters
from ptsys.types.training import TrainingSpec

_AT_ONCE = 5000
_ENDED = 3  # jobs a user
_EVENTS = 5  # a job
_WORDS = ("reviews", "support", "intents", "news", "moods", "routes", "claims", "names")
MODEL, FINGERPRINT = "tiny", "29deae3df5f81bba"
_SPEC = TrainingSpec(name="p", model=MODEL, dataset="d").model_dump(mode="json")


def secret(number: int) -> str:
    """The key of a user."""
    return f"{PREFIX}{number:043d}"


def fill(service: Service, users: int, waiting: int, running: int) -> None:
    """Put the rows of so many users there, oldest first."""
    now = datetime.datetime.now(datetime.UTC)
    tables: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (ApiKeyRow, DatasetRow, PromptRow, JobRow, IdempotencyRow, EventRow)
    }
    for number in range(users):
        for table, row in _rows(number, users, waiting, running, now):
            tables[table].append(row)
        if len(tables[PromptRow]) >= _AT_ONCE or number == users - 1:
            with service.database.session() as session:
                for table, rows in tables.items():
                    if rows:
                        session.execute(table.__table__.insert(), rows)
                    rows.clear()
    if service.database.file is None:
        with service.database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


def _rows(
    number: int, users: int, waiting: int, running: int, now: datetime.datetime
) -> Iterator[tuple[Any, dict[str, Any]]]:
    owner = f"user-{number:06d}"
    made = now - datetime.timedelta(minutes=2 * (users - number))
    word = _WORDS[number % len(_WORDS)]
    dataset, prompt = f"ds-{number:010d}", f"pr-{number:010d}"
    key = hashlib.sha256(secret(number).encode()).hexdigest()
    yield (
        ApiKeyRow,
        {"id": f"key-{number:010d}", "hash": key, "user": owner, "role": "user", "created": made},
    )
    own = {"owner": owner, "created": made, "name": f"{word}-{number}"}
    visibility = "public" if number % 20 == 0 else "private"
    yield (
        DatasetRow,
        {
            "id": dataset,
            **own,
            "visibility": visibility,
            "rows": 200,
            "bytes": 20000,
            "digest": key,
        },
    )
    yield (
        PromptRow,
        {
            "id": prompt, **own, "visibility": visibility, "model": MODEL,
            "model_fingerprint": FINGERPRINT, "length": 16, "d_model": 128, "dataset": dataset,
            "initialization": {"kind": "vocabulary"}, "hyperparameters": {"steps": 300},
            "steps": 300, "scores": {"accuracy": 0.9}, "tags": [word], "bytes": 8192,
            "changed": made, "uses": 0, "description": f"{word} of customers, in a few words",
        },
    )  # fmt: skip
    spec = {**_SPEC, "name": own["name"], "dataset": dataset}
    states = ["succeeded"] * _ENDED
    states += ["queued"] * (number >= users - waiting)
    states += ["running"] * (users - waiting - running <= number < users - waiting)
    for place, state in enumerate(states):
        job = f"job-{number:010d}{place}"
        ended = state == "succeeded"
        yield (
            JobRow,
            {
                "id": job, "kind": "train", "owner": owner, "name": own["name"], "model": MODEL,
                "active_name": None if ended else own["name"], "spec": spec, "state": state,
                "step": 300 if ended else 0, "metrics": {"loss": 0.1}, "sequence": _EVENTS,
                "created": made, "waiting": None if ended else made, "sent": now,
                "started": None if state == "queued" else made,
                "finished": made if ended else None,
                "worker": "worker-other" if state == "running" else None,
                "lease_expires": now + datetime.timedelta(hours=1) if state == "running" else None,
                "claimed": made if state == "running" else None,
                "claimed_step": 0 if state == "running" else None,
            },
        )  # fmt: skip
        yield (
            IdempotencyRow,
            {"owner": owner, "key": job, "request": key, "job": job, "created": now},
        )
        for sequence in range(1, _EVENTS + 1):
            data = {"step": 30 * sequence, "loss": 0.25, "rows": 960}
            row = {"job": job, "sequence": sequence, "time": made, "kind": "progress"}
            yield EventRow, {**row, "data": data}


def calls(service: Service, users: int, waiting: int) -> dict[str, Callable[[], Any]]:
    """What is asked, by who asks it."""
    user, places = f"user-{users // 2:06d}", {MODEL: 64}
    last = f"user-{users - 1:06d}"
    search, numbers = PromptSearch(service.database), iter(range(10**6))
    service.datasets.add("fresh", user, [Example("good", "yes")])
    worker = new_worker_id()

    def submit() -> Any:
        spec = TrainingSpec(name=f"new-{next(numbers)}", model=MODEL, dataset="fresh")
        return service.submit(spec, user, idempotency_key=spec.name, most_unfinished=10_000)

    def claim_and_tell() -> Any:
        claim = service.leases.claim_next(worker, [MODEL])
        assert claim is not None
        service.leases.progress(claim, 10, {"loss": 0.5})
        return claim

    def one_listed() -> Any:
        return with_places(service, service.list(last, limit=20), places)

    return {
        "a request's key": lambda: service.keys.authenticate(secret(users // 2)),
        "a user's usage": lambda: service.storage.usage(user),
        "submit a job": submit,
        "a user's jobs": lambda: service.list(user),
        f"the same, with places in a queue of {waiting:,}": one_listed,
        "all jobs that wait, a page": lambda: service.list(None, state="queued"),  # type: ignore[arg-type]
        "an event stream's look": lambda: service.events(f"job-{users // 2:010d}0", None),
        "prompts that a user sees, a page": lambda: service.prompts.list(user),
        "his own prompts": lambda: service.prompts.list(user, owner=user),
        "datasets that he sees, a page": lambda: service.datasets.list(user),
        "a prompt by name": lambda: service.prompts.get(f"user-{0:06d}/reviews-0", user),
        "prompts by a word": lambda: search.by_text("reviews", user, Filters(), 20),
        "prompts by a word that none has": lambda: search.by_text("zebra", user, Filters(), 20),
        "claim the next job, and a progress": claim_and_tell,
        "who makes room": lambda: service.leases.turns.make_room("worker-other", [MODEL]),
        "a look of the reconciler": lambda: reconcile(service),
        "what /metrics counts": lambda: backlog(service.database),
        "forget 500 jobs of long ago": lambda: forget_jobs(service, 500),
    }


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL of this run's own."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    from postgres_server import PostgresServer

    server = PostgresServer(quick=False).start()
    try:
        yield server.url()
    finally:
        server.remove()


def size(service: Service) -> float:
    """MiB of the database."""
    if service.database.file is not None:
        return float(service.database.file.stat().st_size) / 2**20
    with service.database.reading() as session:
        query = text("SELECT pg_database_size(current_database())")
        return float(session.execute(query).scalar_one()) / 2**20


def run(url: str | None, users: int, waiting: int, running: int) -> None:
    """Fill, ask, tell."""
    with tempfile.TemporaryDirectory(prefix="ptsys-many-") as folder:
        redis = EmbeddedRedis(Path(folder))
        redis.start()
        service = Service(Settings(data_dir=Path(folder), database_url=url, redis_url=None))
        since = time.monotonic()
        fill(service, users, waiting, running)
        print(
            f"{users:,} users, {size(service):.0f} MiB, filled in {time.monotonic() - since:.0f} s"
        )
        for name, call in calls(service, users, waiting).items():
            taken = []
            begun = time.perf_counter()
            while len(taken) < 3 or (len(taken) < 15 and time.perf_counter() - begun < 3):
                since = time.perf_counter()
                call()
                taken.append(time.perf_counter() - since)
            print(f"| {name} | {1000 * statistics.median(taken):.1f} |", flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"this process had at most {peak:.0f} MiB")
        service.close()
        redis.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=5000)
    parser.add_argument("--running", type=int, default=1000)
    parser.add_argument("--postgres", action="store_true")
    asked = parser.parse_args()
    if asked.postgres:
        with postgres() as address:
            run(address, asked.users, asked.waiting, asked.running)
    else:
        run(None, asked.users, asked.waiting, asked.running)
