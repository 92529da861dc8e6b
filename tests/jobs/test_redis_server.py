import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ptsys.config import Settings
from ptsys.errors import Unavailable
from ptsys.jobs.redis_server import EmbeddedRedis, locate, running_address

HOLDER = """
import sys, time
from pathlib import Path
from ptsys.jobs.redis_server import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


def _gone(pid: int, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_it_answers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        pid = server.pid
        assert pid is not None
        server.address.check()
        assert locate(Settings(data_dir=tmp_path, redis_url=None)) == server.address
    assert _gone(pid)
    assert running_address(tmp_path) is None
    assert {path.name for path in tmp_path.iterdir()} <= {"redis.log", "redis.lock"}
    server.stop()  # again is no error


def test_only_its_user_can_open_it_and_it_keeps_nothing(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, server.address.client() as client:
        mode = stat.S_IMODE((tmp_path / "redis.sock").stat().st_mode)
        assert mode == 0o700
        settings = client.config_get("*")
        assert settings["port"] == "0"
        assert settings["save"] == ""
        assert settings["appendonly"] == "no"
        assert settings["slowlog-log-slower-than"] == "-1"


def test_a_second_start_uses_the_running_one(tmp_path: Path) -> None:
    first, second = EmbeddedRedis(tmp_path), EmbeddedRedis(tmp_path)
    first.start()
    assert second.start() == first.address
    assert (first.owned, second.owned) == (True, False)
    second.stop()
    first.address.check()
    first.stop()


def test_of_many_starts_at_once_one_makes_the_server(tmp_path: Path) -> None:
    servers = [EmbeddedRedis(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        addresses = set(pool.map(EmbeddedRedis.start, servers))
    assert len(addresses) == 1
    assert sum(server.owned for server in servers) == 1
    for server in servers:
        server.stop()


def test_it_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    time.sleep(0.3)
    server.address.check()
    server.stop()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_process(tmp_path: Path, how: signal.Signals) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())
    assert running_address(tmp_path) is not None
    holder.send_signal(how)
    holder.wait(timeout=10)
    assert _gone(pid)
    with EmbeddedRedis(tmp_path) as server:  # what it left does not disturb the next one
        assert server.owned


def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert _gone(pid)
        server.start()
        assert server.pid != pid
        server.address.check()


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 30)
    with EmbeddedRedis(root) as server:
        socket = Path(server.address.redis_url.removeprefix("unix://").partition("?")[0])
        assert socket.exists()
        assert running_address(root) == server.address
    assert not socket.parent.exists()


def test_without_a_server_the_way_out_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="ptsys up"):
        locate(Settings(data_dir=tmp_path, redis_url=None))
    chosen = Settings(data_dir=tmp_path, redis_url="redis://elsewhere:6379/0")
    assert locate(chosen).url == "redis://elsewhere:6379/0"


def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "redis.log").mkdir()
    with pytest.raises(Unavailable, match=r"redis\.log"):
        EmbeddedRedis(tmp_path).start()


@pytest.mark.parametrize("act", ["copied", "swapped", "moved"])
def test_another_folder_never_joins_it(tmp_path: Path, act: str) -> None:
    """A backup's jobs must not be run by the original's worker."""
    root = tmp_path / "data"
    with EmbeddedRedis(root) as server, server.address.client() as client:
        client.set("whose", "the original's")
        other = tmp_path / "other"
        if act == "moved":
            root.rename(other)
        else:
            subprocess.run(["cp", "-a", root, other], check=True)
        if act == "swapped":  # the copy takes the original's place and name
            root.rename(tmp_path / "before")
            other.rename(root)
            other = root
        assert running_address(other) is None
        with pytest.raises(Unavailable, match="no service runs"):
            locate(Settings(data_dir=other, redis_url=None))
        with EmbeddedRedis(other) as second, second.address.client() as its:
            assert second.owned
            assert its.get("whose") is None
            assert running_address(other) == second.address
        assert server.pid is not None
        assert not _gone(server.pid, within=0)


def test_a_server_that_is_only_slow_gets_no_second_one_beside_it(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        wake = threading.Timer(4.0, os.kill, (server.pid, signal.SIGCONT))
        wake.start()
        assert running_address(tmp_path) is None
        other = EmbeddedRedis(tmp_path)
        assert other.start() == server.address
        assert not other.owned
        wake.join()
