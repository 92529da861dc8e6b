"""The database: SQLite by default, PostgreSQL by its URL, the same transactions on both."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import sqlalchemy
from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Delete,
    Engine,
    Update,
    event,
    exc,
    make_url,
    text,
)
from sqlalchemy.orm import Session

from ptsys.errors import Conflict, InvalidInput, StorageFull, Unavailable
from ptsys.store.columns import portable_json
from ptsys.store.durable import make_private_folder
from ptsys.store.migrations import HEAD

_BUSY_SECONDS = 60.0
_MIGRATE_TRIES = 30
_WAIT_AGAIN = (
    "UPDATE jobs SET state = CASE state WHEN 'running' THEN 'queued' ELSE state END, "
    "worker = NULL, lease_expires = NULL, sent = NULL WHERE state IN ('running', 'queued')"
)
_DISK_FULL = "53100"  # PostgreSQL's SQLSTATE
_FULL = "nothing was kept: the service's disk is full; try again when its operator has made room"
_AWAY = "the service's database did not answer; try again soon"
_migrating = threading.Lock()  # alembic's state is global


class Database:
    """Transactions on one database, from any number of threads and processes.

    SQLite admits one writer at a time. `session()` therefore takes the write lock when it begins
    (BEGIN IMMEDIATE), so that it waits there and never fails half-way with "database is locked";
    the threads of one process queue up in memory first, which is both faster and fairer than
    SQLite's own polling. `reading()` never waits: readers see the last committed state (WAL).
    """

    def __init__(self, url: str) -> None:
        """Connect lazily. Raises InvalidInput for a URL that cannot work."""
        self._url = _normalised(url)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(self._url) if self._sqlite else _server_engine(self._url)
        self._reader = self._engine.execution_options(ptsys_reading=True)
        self._writing = threading.Lock()

    def __repr__(self) -> str:
        return f"Database({self.display!r})"

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine, for migrations and inspection."""
        return self._engine

    @property
    def file(self) -> Path | None:
        """The file it is, absolute; None on a server."""
        return Path(str(self._url.database)).absolute() if self._sqlite else None

    @property
    def display(self) -> str:
        """The address without its password, for messages and logs."""
        return self._url.render_as_string(hide_password=True)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """One writing transaction: committed when the block ends, rolled back when it raises.

        Keep blocks short and never open one inside another. Raises Unavailable when the database
        does not answer.
        """
        lock = self._writing if self._sqlite else contextlib.nullcontext()
        with (
            lock,
            self._answering(),
            Session(self._engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """One transaction that only reads. Raises Unavailable when the database does not answer."""
        with self._answering(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    def revision(self) -> str | None:
        """The version of its tables; None if it has none yet. Raises Unavailable."""
        with self._answering():
            return _revision(self._engine)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One reading transaction that sees the same from beginning to end, however long it takes.
        Raises Unavailable when the database does not answer."""
        options: dict[str, Any] = {"ptsys_reading": True}
        if not self._sqlite:  # there a transaction is a snapshot anyway
            options["isolation_level"] = "REPEATABLE READ"
        with (
            self._answering(),
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    def refuse_filled(self) -> None:
        """Raise Conflict if there are tables of ptsys already."""
        with self._answering():
            if _revision(self._engine) is not None:
                raise Conflict(
                    f"the database {self.display} is not empty; name an empty one in "
                    "PTSYS_DATABASE_URL"
                )

    def fill(self, folder: Path, revision: str) -> None:
        """Make the tables of that version, put in what `ptsys.store.dump` wrote, and bring them up
        to date, all or nothing. What ran when it was written waits again."""
        from ptsys.store.dump import read_tables

        with self._answering():
            if self._sqlite:
                _enable_write_ahead_log(self._engine, self._url)
            with _migrating, self._engine.begin() as connection:
                _upgrade(connection, revision)
                read_tables(connection, folder)
                connection.execute(text(_WAIT_AGAIN))
                _upgrade(connection)

    def migrate(self) -> None:
        """Bring the tables to this version's form; safe when several processes call it at once.

        Raises Unavailable when the database does not answer, or holds a newer version's tables.
        """
        with self._answering():
            if self._sqlite:
                _enable_write_ahead_log(self._engine, self._url)
            for attempt in range(_MIGRATE_TRIES):
                if _revision(self._engine) == HEAD:
                    return
                try:
                    with _migrating, self._engine.begin() as connection:
                        _upgrade(connection)
                    return
                except exc.DatabaseError:  # another process made the same tables just before us
                    if attempt == _MIGRATE_TRIES - 1:
                        raise
                    time.sleep(0.2)

    def close(self) -> None:
        """Close every pooled connection; the object can be used again afterwards."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            raise self._unavailable(getattr(error, "orig", None) or error) from error
        except sqlite3.DatabaseError as error:  # from a new connection, before SQLAlchemy has it
            raise self._unavailable(error) from error
        except exc.DatabaseError as error:
            if type(error) is not exc.DatabaseError:  # a kind of its own, for the caller to judge
                raise
            raise self._unavailable(error.orig or error) from error

    def _unavailable(self, cause: BaseException) -> Unavailable:
        reason = str(cause).strip().partition("\n")[0]
        full = "disk is full" in reason or getattr(cause, "sqlstate", None) == _DISK_FULL
        found = (StorageFull if full else Unavailable)(
            f"the database {self.display} did not answer ({reason}); check that it runs, that its "
            "disk has room, and PTSYS_DATABASE_URL or PTSYS_DATA_DIR"
        )
        found.public = _FULL if full else _AWAY
        return found


def changed(session: Session, statement: Update | Delete) -> int:
    """Carry out an UPDATE or DELETE and say how many rows it touched.

    Its WHERE is the whole decision, made by the database: objects already loaded stay as they are.
    """
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


def _normalised(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise InvalidInput(
            "the database URL cannot be read; write sqlite:////path/to/file or "
            "postgresql://user:password@host/name",
            field="database_url",
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InvalidInput(
            "a SQLite database in memory cannot be shared with workers; name a file",
            field="database_url",
        )
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    folder = Path(str(url.database)).parent
    try:
        make_private_folder(folder)
    except OSError as error:
        raise Unavailable(
            f"the data directory {folder} cannot be made ({error.strerror}); set PTSYS_DATA_DIR to "
            "one that can"
        ) from error
    engine = sqlalchemy.create_engine(
        url,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        json_serializer=portable_json,
        pool_size=8,
        max_overflow=-1,  # a connection is a file handle: never make a thread wait for one
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")  # what is committed survives a power loss
        connection.create_function("lower", 1, _lower, deterministic=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("ptsys_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _lower(text: Any) -> Any:
    """SQLite's own knows ASCII alone."""
    return text.lower() if isinstance(text, str) else text


def _server_engine(url: URL) -> Engine:
    arguments = {"connect_timeout": 10} if url.get_backend_name() == "postgresql" else {}
    try:
        engine = sqlalchemy.create_engine(
            url,
            connect_args=arguments,
            json_serializer=portable_json,
            pool_size=8,
            max_overflow=56,
            pool_pre_ping=True,
        )
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"the database's driver {error.name} is not installed; for PostgreSQL: "
            "pip install 'ptsys[postgres]'"
        ) from error
    if url.get_backend_name() == "postgresql":
        event.listen(engine, "connect", _compile_nothing)
    return engine


def _compile_nothing(connection: Any, _record: object) -> None:
    """Our searches look dear to PostgreSQL's planner: it would compile each of them to machine
    code, which takes longer than they do."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('jit', 'off', false) FROM pg_settings WHERE name = 'jit'")
    connection.commit()


def _enable_write_ahead_log(engine: Engine, url: URL) -> None:
    """Switch the file to WAL, which it remembers. SQLite does not wait for others here: we do."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        connection = engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            if cursor.fetchone() == ("wal",):
                return
        except Exception as error:
            if "locked" not in str(error):
                raise exc.OperationalError("PRAGMA journal_mode=WAL", None, error) from error
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise Unavailable(
                f"another program holds {url.database}; is it open in an editor, or on a network "
                "file system? SQLite needs a local disk: use PostgreSQL (PTSYS_DATABASE_URL) there"
            )
        time.sleep(0.05)


def _revision(engine: Engine) -> str | None:
    """The version of the tables; read without alembic, whose import costs half a second."""
    with engine.execution_options(ptsys_reading=True).connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, revision: str = "head") -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise Unavailable(
            f"the database was made by another version of ptsys ({error}); upgrade ptsys"
        ) from error
