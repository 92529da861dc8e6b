"""A backup, taken while the service works, is the service as it was: on either database."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, select

from ptsys.config import Settings
from ptsys.errors import Conflict, InvalidInput, Unauthenticated, WrongDeployment
from ptsys.jobs.service import Service
from ptsys.prompts.orbax_form import read_orbax, write_orbax
from ptsys.store.backup import back_up
from ptsys.store.clock import utc_now
from ptsys.store.database import Database
from ptsys.store.deployment import read_mark
from ptsys.store.restore import check_backup, restore
from ptsys.store.tables import PromptRow, PromptVectorRow, Row
from ptsys.types.example import Example
from ptsys.types.records import JobState, Parent, Prompt
from ptsys.types.training import TrainingSpec

ROWS = [Example("Größe ✓", "ja"), Example("line\u2028separator\nnew", "no")]


@pytest.fixture
def service(url: str, tmp_path: Path) -> Iterator[Service]:
    service = Service(Settings(data_dir=tmp_path / "data", database_url=url, redis_url=None))
    yield service
    service.close()


@contextlib.contextmanager
def again(file: Path, root: Path, url: str | None) -> Iterator[Service]:
    settings = Settings(data_dir=root, database_url=url, redis_url=None)
    database = Database(settings.sqlalchemy_url)
    restore(file, database, root)
    database.close()
    service = Service(settings)
    try:
        yield service
    finally:
        service.close()


def add_prompt(service: Service, name: str, **told: object) -> Prompt:
    prompt = Prompt(
        id=service.prompts.new_id(),
        name=name,
        owner="ann",
        model="tiny",
        model_fingerprint="f",
        length=2,
        d_model=4,
        created=utc_now(),
        **told,  # type: ignore[arg-type]
    )
    number = float(int.from_bytes(prompt.id.encode()[-2:]))
    write_orbax(service.prompts.tensor_path(prompt.id), np.full((2, 4), number, np.float32))
    return service.prompts.add(prompt)


def fill(service: Service) -> dict[str, str]:
    """Some of everything; the secret of ann's key and the ids of her jobs."""
    service.datasets.add("d", "ann", ROWS, visibility="shared", shared_with=["bob"])
    first = add_prompt(service, "first", scores={"accuracy": 0.5}, tags=("a", "b"))
    parent = Parent(prompt=first.id, role="second", similarity=0.25, weight=None)
    second = add_prompt(service, "second", parents=(parent,), visibility="public")
    vector = np.arange(4, dtype="<f4").tobytes()
    with service.database.session() as session:
        session.add(PromptVectorRow(prompt=second.id, kind="mean", vector=vector))
    found = {}
    for name in ("waits", "runs", "ended"):
        spec = TrainingSpec(name=name, dataset="d")
        found[name] = service.submit(spec, "ann", idempotency_key=name).id
    claim = service.leases.claim(found["runs"], "worker-1")
    assert claim is not None
    service.leases.progress(claim, 7, {"loss": float("nan")})
    service.cancel(found["ended"], "ann")
    for step in (10, 9):
        place = service.settings.root / "jobs" / found["runs"] / "checkpoints" / str(step)
        place.mkdir(parents=True)
        (place / "state").write_text(f"of {step}")
    weights = service.settings.root / "models" / "mine" / "weights"
    weights.mkdir(parents=True)
    (weights / "w").write_bytes(os.urandom(100_000))
    _, found["secret"] = service.keys.create("ann")
    return found


def tables(service: Service) -> dict[str, list[tuple[object, ...]]]:
    with service.database.reading() as session:
        return {
            table.name: sorted(map(tuple, session.execute(select(table))), key=repr)
            for table in Row.metadata.sorted_tables
        }


def files(root: Path) -> dict[str, bytes]:
    found = [
        path for name in ("datasets", "prompts", "models") for path in (root / name).rglob("*")
    ]
    return {str(path.relative_to(root)): path.read_bytes() for path in found if path.is_file()}


@pytest.mark.parametrize("into", ["sqlite", "postgres"])
def test_all_of_it_comes_back(
    service: Service, into: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if into == "postgres" and service.database.file is None:
        pytest.skip("one database of PostgreSQL a test")
    url = None if into == "sqlite" else request.getfixturevalue("postgres_url")
    told = fill(service)
    made = back_up(service.database, service.settings.root, tmp_path / "b.tar")
    assert (made.datasets, made.prompts, made.jobs, made.models) == (1, 2, 1, 1)
    assert made.damaged == ()
    assert (tmp_path / "b.tar").stat().st_mode & 0o077 == 0
    with again(tmp_path / "b.tar", tmp_path / "again", url) as restored:
        before, after = tables(service), tables(restored)
        for name in ("jobs", "deployment"):  # what is meant to differ
            before.pop(name), after.pop(name)
        assert after == before
        assert files(restored.settings.root) == files(service.settings.root)
        assert restored.deployment != service.deployment
        mark = read_mark(restored.settings.root)
        assert mark is not None
        assert mark.deployment == restored.deployment
        states = {name: restored.get(told[name], "ann") for name in ("waits", "runs", "ended")}
        assert [job.state for job in states.values()] == [
            JobState.QUEUED,
            JobState.QUEUED,
            JobState.CANCELLED,
        ]
        assert states["runs"].step == 7
        checkpoints = restored.settings.root / "jobs" / told["runs"] / "checkpoints"
        assert [path.name for path in checkpoints.iterdir()] == ["10"]
        assert restored.leases.claim(told["runs"], "worker-2") is not None
        assert restored.keys.authenticate(told["secret"]).user == "ann"
        assert restored.datasets.read(restored.datasets.get("ann/d", "bob").id) == ROWS


def test_it_is_whole_while_the_service_works(service: Service, tmp_path: Path) -> None:
    stop, made = threading.Event(), []

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            service.datasets.add(f"d{number}", "ann", ROWS)
            add_prompt(service, f"p{number}")
            if number > 3:
                service.datasets.delete(f"d{number - 3}", "ann")
                service.prompts.delete(f"p{number - 3}", "ann")
            made.append(number)

    threads = [threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    while len(made) < 5:
        stop.wait(0.01)
    found = [
        back_up(service.database, service.settings.root, tmp_path / f"{number}.tar")
        for number in range(5)
    ]
    stop.set()
    for thread in threads:
        thread.join()
    for number, backup in enumerate(found):
        assert backup.damaged == ()
        with again(tmp_path / f"{number}.tar", tmp_path / f"again{number}", None) as restored:
            datasets, prompts = restored.datasets.list("ann"), restored.prompts.list("ann")
            assert len(datasets) == backup.datasets
            assert all(restored.datasets.read(dataset.id) == ROWS for dataset in datasets)
            assert len(prompts) == backup.prompts
            for prompt in prompts:
                wanted = float(int.from_bytes(prompt.id.encode()[-2:]))
                tensor = read_orbax(restored.prompts.tensor_path(prompt.id))
                np.testing.assert_array_equal(tensor, np.full((2, 4), wanted))


def test_what_is_on_its_way_out_is_not_taken_for_whole(service: Service, tmp_path: Path) -> None:
    stays, goes = add_prompt(service, "stays"), add_prompt(service, "goes")

    def begin_to_delete(told: str) -> None:
        """The record is gone, and of the folder's files one: a slow moment of another process."""
        if "tables" in told:
            with service.database.session() as session:
                session.execute(delete(PromptRow).where(PromptRow.id == goes.id))
            folder = Path(service.prompts.tensor_path(goes.id))
            next(path for path in sorted(folder.rglob("*")) if path.is_file()).unlink()

    made = back_up(
        service.database, service.settings.root, tmp_path / "b.tar", told=begin_to_delete
    )
    assert (made.prompts, made.damaged) == (1, ())
    with again(tmp_path / "b.tar", tmp_path / "again", None) as restored:
        assert [prompt.id for prompt in restored.prompts.list("ann")] == [stays.id]


def test_a_damaged_backup_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    service = Service(Settings(data_dir=tmp_path / "data", redis_url=None, database_url=None))
    fill(service)
    back_up(service.database, service.settings.root, tmp_path / "b.tar")
    service.close()
    whole = (tmp_path / "b.tar").read_bytes()
    assert len(check_backup(tmp_path / "b.tar")[1]["files"]) > 10
    draw = np.random.default_rng(0)
    cuts = [whole[: int(end)] for end in draw.integers(0, len(whole) - 20_000, 6)]
    flips = []
    for marker in (b"Gr\\u00f6", "Größe".encode(), b"of 10"):
        place = whole.find(marker)
        if place >= 0:
            flips.append(whole[:place] + b"X" + whole[place + 1 :])
    assert len(flips) >= 2
    for number, content in enumerate([*cuts, *flips, b"", b"no tar at all" * 1000]):
        file = tmp_path / f"damaged{number}.tar"
        file.write_bytes(content)
        root = tmp_path / f"again{number}"
        with pytest.raises(InvalidInput, match=r"damaged|backup"):
            check_backup(file)
        with pytest.raises(InvalidInput):
            restore(file, Database(f"sqlite:///{root / 'ptsys.db'}"), root)
        assert list(root.iterdir()) == []


def test_nothing_is_written_over(service: Service, url: str, tmp_path: Path) -> None:
    fill(service)
    root = service.settings.root
    back_up(service.database, root, tmp_path / "b.tar")
    with pytest.raises(Conflict, match="new file"):
        back_up(service.database, root, tmp_path / "b.tar")
    with pytest.raises(Conflict, match="new folder"):
        restore(tmp_path / "b.tar", service.database, root)
    with pytest.raises(Conflict, match="not empty"):
        restore(tmp_path / "b.tar", service.database, tmp_path / "new")
    assert service.keys.list() != []
    with pytest.raises(Unauthenticated):
        service.keys.authenticate("ptsys_" + "x" * 43)
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    other.migrate()
    with pytest.raises(WrongDeployment):  # a backup of a pair that is none
        back_up(other, root, tmp_path / "c.tar")


def test_what_was_damaged_before_is_told(service: Service, tmp_path: Path) -> None:
    fill(service)
    prompt = service.prompts.get("first", "ann")
    for path in Path(service.prompts.tensor_path(prompt.id)).rglob("*"):
        if path.is_file():
            path.unlink()
    dataset = service.datasets.get("d", "ann")
    Path(service.datasets.path(dataset.id)).write_text("{}")
    made = back_up(service.database, service.settings.root, tmp_path / "b.tar")
    assert set(made.damaged) == {prompt.id, dataset.id}
