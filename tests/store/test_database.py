import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text, update

import ptsys.store.migrations
from ptsys.errors import InvalidInput, Unavailable
from ptsys.store.clock import utc_now
from ptsys.store.columns import portable_json
from ptsys.store.database import Database, changed
from ptsys.store.tables import JobRow, JobSourceRow, ModelRow, PromptRow, Row

WRITER = """
import sys
from sqlalchemy import select, update
from ptsys.store.database import Database, changed
from ptsys.store.tables import ModelRow
database = Database(sys.argv[1])
database.migrate()
for _ in range(50):
    with database.session() as session:
        session.scalar(select(ModelRow.parameters))  # first read, then write: SQLite's hard case
        changed(session, update(ModelRow).values(parameters=ModelRow.parameters + 1))
"""


def _model() -> ModelRow:
    return ModelRow(
        name="m",
        fingerprint="f",
        source="s",
        parameters=0,
        d_model=1,
        vocab_size=1,
        builtin=False,
        created=utc_now(),
    )


def test_migrations_lead_to_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Row.metadata) == []


def test_the_head_that_is_named_is_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(ptsys.store.migrations.__path__[0])))
    assert ScriptDirectory.from_config(config).get_heads() == [ptsys.store.migrations.HEAD]


def test_many_may_migrate_at_once(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Database(url).migrate(), range(8)))
    assert inspect(Database(url).engine).has_table("jobs")


def test_processes_may_migrate_and_write_at_once(url: str) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = [process.communicate(timeout=120)[1] for process in writers]
    assert [process.returncode for process in writers] == [0] * 4, errors


def test_64_threads_and_another_process_lose_no_write(database: Database, url: str) -> None:
    with database.session() as session:
        session.add(_model())
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(5):
                with database.session() as session:
                    changed(session, update(ModelRow).values(parameters=ModelRow.parameters + 1))
                with database.reading() as session:
                    session.scalar(select(ModelRow.parameters))
        except BaseException as error:
            failures.append(error)

    other = subprocess.Popen([sys.executable, "-c", WRITER, url])
    threads = [threading.Thread(target=write) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.wait(timeout=60) == 0
    assert failures == []
    with database.reading() as session:
        assert session.scalar(select(ModelRow.parameters)) == 64 * 5 + 50


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def broken() -> None:
        with database.session() as session:
            session.add(_model())
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    with database.reading() as session:
        assert session.scalars(select(ModelRow)).all() == []


def test_moments_come_back_aware_and_naive_ones_are_refused(database: Database) -> None:
    row = _model()
    created = row.created
    with database.session() as session:
        session.add(row)
    with database.reading() as session:
        assert session.scalars(select(ModelRow)).one().created == created
    naive = _model()
    naive.name, naive.created = "n", created.replace(tzinfo=None)
    with pytest.raises(Exception, match="time zone"), database.session() as session:
        session.add(naive)


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("this is text, not a database, and longer than its header")
    with pytest.raises(Unavailable, match="PTSYS_DATA_DIR"):
        Database(f"sqlite:///{tmp_path / 'file'}").migrate()


def test_a_password_is_never_shown() -> None:
    database = Database("postgresql://user:hush@127.0.0.1:1/none")
    assert "hush" not in repr(database)
    with pytest.raises(Unavailable, match="did not answer") as caught:
        database.migrate()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["sqlite://", "sqlite:///:memory:", "no url"])
def test_urls_that_cannot_work_are_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Database(wrong)
    assert caught.value.field == "database_url"


def test_json_of_a_diverged_job_is_still_json() -> None:
    diverged = {"loss": float("nan"), "list": [float("inf"), {"x": -float("inf")}], "step": 1.5}
    assert (
        portable_json(diverged) == '{"loss":"NaN","list":["Infinity",{"x":"-Infinity"}],"step":1.5}'
    )


def test_an_absent_driver_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(Unavailable, match="driver pymssql is not installed"):
        Database("mssql+pymssql://host/name")


def test_jobs_of_before_keep_their_datasets(url: str) -> None:
    """Migration 0003 moves them to a table of their own, and nothing else of the job changes."""
    database = Database(url)
    engine = database.engine
    config = Config()
    config.set_main_option("script_location", str(Path(ptsys.store.migrations.__path__[0])))
    old = {"id": "job-1", "kind": "train", "owner": "ann", "name": "p", "active_name": "p"}
    columns = {**old, "model": "tiny", "dataset": "ds-1", "validation": "ds-2", "spec": "{}"}
    columns |= {"state": "queued", "step": 0, "metrics": "{}", "attempts": 0, "fence": 0}
    columns |= {"cancel_requested": False, "sequence": 1, "created": utc_now()}
    names = ", ".join(columns)
    insert = f"INSERT INTO jobs ({names}) VALUES ({', '.join(f':{name}' for name in columns)})"
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for job, validation in (("job-1", "ds-2"), ("job-2", "ds-1"), ("job-3", None)):
            changes = {"id": job, "active_name": job, "validation": validation}
            connection.execute(text(insert), {**columns, **changes})
    database.migrate()
    with database.reading() as session:
        found = {(row.job, row.source) for row in session.scalars(select(JobSourceRow))}
        jobs = list(session.scalars(select(JobRow.id).order_by(JobRow.id)))
    database.close()
    assert found == {("job-1", "ds-1"), ("job-1", "ds-2"), ("job-2", "ds-1"), ("job-3", "ds-1")}
    assert jobs == ["job-1", "job-2", "job-3"]


def test_uses_of_before_no_longer_count_what_was_made_from_a_prompt(url: str) -> None:
    """Migration 0005 takes those out that are still there: they are counted when it is read."""
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", str(Path(ptsys.store.migrations.__path__[0])))
    columns = {"owner": "ann", "visibility": "private", "created": utc_now(), "changed": utc_now()}
    columns |= {"model": "m", "model_fingerprint": "f", "length": 1, "d_model": 1, "steps": 0}
    columns |= {"initialization": "{}", "hyperparameters": "{}", "scores": "{}", "tags": "[]"}
    prompts = [("pr-a", 5), ("pr-b", 1), ("pr-c", 3), ("pr-d", 0)]
    ties = [("pr-b", "pr-a", "second"), ("pr-b", "pr-a", "start"), ("pr-d", "pr-a", "second")]
    ties += [("pr-b", "pr-c", "query")]
    names = ["id", "name", "uses", *columns]
    insert = f"INSERT INTO prompts ({', '.join(names)}) VALUES (:{', :'.join(names)})"
    tie = "INSERT INTO prompt_parents (prompt, place, parent, role) VALUES (:p, :place, :q, :r)"
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        for name, uses in prompts:
            connection.execute(text(insert), {"id": name, "name": name, "uses": uses, **columns})
        for place, (child, parent, role) in enumerate(ties):
            connection.execute(text(tie), {"p": child, "place": place, "q": parent, "r": role})
    database.migrate()
    with database.reading() as session:
        found = {row.id: row.uses for row in session.scalars(select(PromptRow))}
    database.close()
    assert found == {"pr-a": 3, "pr-b": 1, "pr-c": 3, "pr-d": 0}


def test_postgres_compiles_no_query_of_ours(postgres_url: str) -> None:
    database = Database(postgres_url)
    for _ in range(2):  # a connection that came back from the pool, too
        with database.session() as session:
            assert session.scalar(text("SHOW jit")) == "off"
    database.close()
