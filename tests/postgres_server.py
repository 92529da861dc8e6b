"""A PostgreSQL of the tests' own: a folder that is thrown away, a Unix socket, no port."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import sqlalchemy

START_SECONDS = 60.0
_ACCOUNTS = ("postgres", "nobody")  # whom root becomes, as PostgreSQL refuses to run as root
_QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_PLACES = ("/usr/lib/postgresql", "/usr/local/lib/postgresql", "/opt/postgresql")


class NoPostgres(Exception):
    """There are no PostgreSQL binaries on this machine."""


def binaries() -> Path:
    """The folder with `initdb` and `postgres`, the newest version's. Raises NoPostgres."""
    found = [path for place in _PLACES for path in Path(place).glob("*/bin/initdb")]
    newest = sorted(found, key=lambda path: int(path.parts[-3].partition(".")[0]))
    on_path = shutil.which("initdb")
    if not newest and on_path is None:
        raise NoPostgres("PostgreSQL is not installed: apt-get install postgresql")
    return newest[-1].parent if newest else Path(on_path or "").resolve().parent


class PostgresServer:
    """A server for as long as this process: the kernel ends it together with its parent.

    It keeps what was committed through kills of its own processes with `quick=False`, but never
    through a loss of power: it does not wait for the disk.
    """

    def __init__(self, *, quick: bool = True) -> None:
        """Make the cluster; nothing runs yet. Raises NoPostgres."""
        self._binaries = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="ptsys-postgres-"))
        self._account = _account()
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        self._settings = _QUICK if quick else {"fsync": "off"}
        self._process: subprocess.Popen[bytes] | None = None
        data = ["-D", str(self.folder / "data"), "--username=postgres", "--auth=trust"]
        form = ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        made = subprocess.run(
            self._command("initdb", *data, *form), capture_output=True, text=True, cwd="/"
        )
        if made.returncode != 0:
            self.remove()
            raise RuntimeError(f"initdb failed: {made.stderr}")

    @property
    def pid(self) -> int | None:
        """The postmaster's process, while there is one."""
        return None if self._process is None else self._process.pid

    def url(self, database: str = "postgres") -> str:
        """Of that database, for SQLAlchemy."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def start(self) -> "PostgresServer":
        """Start it and wait until it answers."""
        given = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "300",
            "shared_buffers": "32MB",
            **self._settings,
        }
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", "-D", str(self.folder / "data"), *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {self.said[-2000:]}")
            time.sleep(0.05)
        return self

    @property
    def said(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """Stop it at once; the cluster stays. Can be repeated."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)  # "fast": it waits for nobody
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(20)

    def remove(self) -> None:
        """Stop it and remove the cluster."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self, program: str, *arguments: str) -> Sequence[str]:
        """As an account that may run it, and with a parent whose end it follows."""
        prefix = []
        if shutil.which("setpriv"):
            prefix = ["setpriv", "--pdeathsig", "INT"]
            if self._account is not None:
                user, group = self._account.pw_uid, self._account.pw_gid
                prefix += [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        elif self._account is not None:
            prefix = ["runuser", "-u", self._account.pw_name, "--"]
        return [*prefix, str(self._binaries / program), *arguments]

    def _answers(self) -> bool:
        engine = sqlalchemy.create_engine(self.url())
        try:
            with engine.connect():
                return True
        except sqlalchemy.exc.OperationalError:
            return False
        finally:
            engine.dispose()


@contextlib.contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The URL of a database of its own on the server of that URL, dropped afterwards."""
    name = f"ptsys_test_{uuid.uuid4().hex}"
    admin = sqlalchemy.make_url(server).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(admin, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        yield admin.set(database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()


def _account() -> pwd.struct_passwd | None:
    """Whom to become: nobody else, unless this is root."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise NoPostgres(f"root cannot run PostgreSQL, and there is none of the accounts {_ACCOUNTS}")
