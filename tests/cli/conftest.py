"""Commands on a data directory with a tiny random model, and on a running stack."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from commands import (
    MODEL,
    Ended,
    Run,
    call,
    clean_environment,
    command,
    examples,
    imported,
    model_folder,
    stack,
    write_rows,
)
from waiting import until

from ptsys.config import Settings
from ptsys.jobs.service import Service

__all__ = ["imported", "model_folder", "stack"]


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> str:
    """Where commands work: on a `folder`, or on the service at a `url`."""
    return str(request.param)


@pytest.fixture(scope="module")
def root(imported: Path, place: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with that model, of this test file and place alone."""
    folder = tmp_path_factory.mktemp("data")
    subprocess.run(["cp", "-r", f"{imported}/.", str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[str]:
    """The address of a real API process on `root`, whose default model is the random one."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        command("--data", root, "api", "--port", port),
        env=clean_environment(PTSYS_MODEL=MODEL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _answers(url), 60, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def run(
    request: pytest.FixtureRequest, place: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run commands on `root`, with the random model as the default one: on the folder itself, or
    from elsewhere, on the service over HTTP."""
    for name in [name for name in os.environ if name.startswith("PTSYS_")]:
        monkeypatch.delenv(name)
    if place == "folder":
        monkeypatch.setenv("PTSYS_MODEL", MODEL)
        return lambda *arguments: call("--data", root, *arguments)
    monkeypatch.setenv("PTSYS_URL", request.getfixturevalue("server"))
    monkeypatch.setenv("HOME", str(root / "nobody"))  # no folder is to be found
    keys: dict[object, str] = {}

    def asked(*arguments: object) -> Ended:
        user, rest = "local", arguments
        if arguments[:1] == ("--user",):
            user, rest = arguments[1], arguments[2:]
        if user not in keys:
            keys[user] = _key(root, str(user))
        monkeypatch.setenv("PTSYS_API_KEY", keys[user])
        return call(*rest)

    return asked


def _key(root: Path, user: str) -> str:
    service = Service(Settings(data_dir=root, redis_url=None, database_url=None))
    try:
        return service.keys.create(user, role="admin")[1]
    finally:
        service.close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.HTTPError:
        return False


ON_BOTH = {
    "test_augment_command",
    "test_commands_on_both",
    "test_library_commands",
    "test_meta_library",
    "test_round_trip",
    "test_rows_at_the_door",
    "test_select_command",
    "test_search_command",
}
"""What works on a folder as on a service; the rest is about this machine, or about the command line
alone."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        both = metafunc.module.__name__ in ON_BOTH
        places = ["folder", "url"] if both else ["folder"]
        metafunc.parametrize("place", places, indirect=True, scope="module")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "doors.jsonl", examples(24))
