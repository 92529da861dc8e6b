"""`ptsys backup` and `ptsys restore`."""

from pathlib import Path
from typing import Any

from commands import call

from ptsys.config import Settings
from ptsys.jobs.service import Service
from ptsys.types.example import Example


def test_there_and_back(tmp_path: Path) -> None:
    service = Service(Settings(data_dir=tmp_path / "a", redis_url=None, database_url=None))
    made = service.datasets.add("d", "local", [Example("a", "b")])
    service.close()
    file = tmp_path / "b.tar"
    told: Any = call("--data", tmp_path / "a", "backup", file, "--json").json
    assert (told["datasets"], told["damaged"]) == (1, [])
    assert call("--data", tmp_path / "a", "backup", file).code == 2
    checked: Any = call("restore", file, "--check", "--json").json
    assert checked["files"] > 5
    assert call("--data", tmp_path / "b", "restore", file).code == 0
    again = Service(Settings(data_dir=tmp_path / "b", redis_url=None, database_url=None))
    assert again.datasets.read(made.id) == [Example("a", "b")]
    again.close()
    assert call("--data", tmp_path / "b", "restore", file).code == 2
    file.write_bytes(file.read_bytes()[:3000])
    ended = call("restore", file, "--check")
    assert ended.code == 2
    assert "damaged" in ended.err
