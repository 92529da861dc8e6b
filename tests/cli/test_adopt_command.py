"""`ptsys adopt`: how to go on when a database or a folder was lost."""

from pathlib import Path

from commands import call

from ptsys.config import Settings
from ptsys.jobs.service import Service
from ptsys.types.example import Example


def test_a_lost_database_is_told_with_the_way_on(tmp_path: Path) -> None:
    service = Service(Settings(data_dir=tmp_path, redis_url=None, database_url=None))
    service.datasets.add("d", "ann", [Example("a", "b")])
    service.close()
    for path in tmp_path.glob("ptsys.db*"):
        path.unlink()
    refused = call("--data", tmp_path, "keys", "list")
    assert refused.code == 1
    assert refused.err.count("\n") == 1
    assert "ptsys adopt" in refused.err
    assert call("--data", tmp_path, "adopt", "--yes").code == 0
    assert call("--data", tmp_path, "keys", "list").code == 0
    assert len(list((tmp_path / "datasets").iterdir())) == 1
