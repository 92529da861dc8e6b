"""A full disk and a folder that may not be written, for real: in a small file system of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Runs in a mount namespace, with 4 MiB at argv[1]: writes until nothing fits, then asks.
SCRIPT = """
import contextlib, ctypes, io, json, os, pathlib, sys
root = pathlib.Path(sys.argv[1])
sys.path[:0] = sys.argv[2:]
from http_clients import InProcess
import httpx
from ptsys.api.app import create_app
from ptsys.cli.main import call
from ptsys.config import Settings
from ptsys.errors import Unavailable
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.service import Service
from ptsys.store.disk import disk_state

service = Service(Settings(data_dir=root, redis_url=None))
_, secret = service.keys.create("ann")
client = httpx.Client(
    transport=InProcess(create_app(service=service)), base_url="http://ptsys",
    headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/x-ndjson"},
)
row = b'{"input": "' + b"x" * 1000 + b'", "target": "y"}' + bytes([10])
told = {"before": disk_state(root)}
def upload(name, count):
    answer = client.post(f"/v1/datasets?name={name}", content=row * count)
    return {"status": answer.status_code, **answer.json()}
told["fits"] = upload("small", 10)
if sys.argv[1].endswith("full"):
    told["refused"] = upload("large", 40_000)
    told["left"] = sorted(path.name for path in (root / "datasets").iterdir())
    with open(root / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    told["record"] = upload("another", 1)
else:
    service.close()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"none", bytes(root), None, 32 | 1, None) == 0, ctypes.get_errno()
    told["refused"] = upload("large", 10)
    told["said"] = []
    for command in (["keys", "list"], ["up"], ["adopt", "--yes"]):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            code = call(["--data", str(root), *command])
        told["said"].append([code, said.getvalue().replace(str(root), "ROOT").count(chr(10))])
    try:
        EmbeddedRedis(root).start()
    except Unavailable:
        told["said"].append([1, 1])
told["ready"] = client.get("/readyz").json()
told["after"] = disk_state(root)
told["listed"] = len(client.get("/v1/datasets").json().get("data", []))
print(json.dumps(told))
"""


def tell(tmp_path: Path, kind: str) -> Any:
    root = tmp_path / kind
    root.mkdir()
    inside = f'mount -t tmpfs -o size=24m none {root} && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside, "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False).returncode
    ):
        pytest.skip("no file system of one's own can be mounted here (unshare --user --mount)")
    here = Path(__file__).parent
    places = [str(here), str(here.parent)]
    done = subprocess.run(
        [*command, sys.executable, "-c", SCRIPT, str(root), *places],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert str(root) not in done.stdout  # no path of the service, in no answer
    return json.loads(done.stdout.splitlines()[-1])


def test_a_full_disk_is_told_as_such_and_costs_nothing_that_was_kept(tmp_path: Path) -> None:
    told = tell(tmp_path, "full")
    assert (told["before"], told["fits"]["status"]) == ("ok", 201)
    for answer in (told["refused"], told["record"]):
        assert answer["status"] == 507
        assert answer["title"] == "The service's disk is full"
    assert len(told["left"]) == 1  # no half of a file stays
    assert told["ready"]["status"] == "unavailable"
    assert told["ready"]["disk"] == told["after"] == "full"
    assert told["listed"] == 1


def test_a_read_only_folder_is_told_as_such(tmp_path: Path) -> None:
    told = tell(tmp_path, "closed")
    assert told["fits"]["status"] == 201
    assert told["refused"]["status"] == 503
    assert told["said"] == [[1, 1]] * 4  # one line each, no traceback
    assert told["ready"]["disk"] == told["after"] == "read-only"
