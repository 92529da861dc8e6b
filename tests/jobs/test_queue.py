import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest
from kombu import Connection

from benchmarks.drill.proxy import FaultProxy
from ptsys.config import Settings
from ptsys.errors import Unavailable
from ptsys.jobs.queue import Queue, celery_config, device_queue
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import EmbeddedRedis

WORKER = """
import sys
from celery import Celery
from ptsys.config import Settings
from ptsys.jobs.queue import celery_config
app = Celery("test_worker", set_as_current=False)
app.conf.update(celery_config(Settings()))

@app.task(name="ptsys.look")
def look(job):
    print("LOOK", job, flush=True)

@app.task(name="ptsys.serve")
def serve(model):
    print("SERVE", model, flush=True)

app.worker_main(["worker", "-Q", "ptsys.device.tiny,ptsys.cpu", "--concurrency", "4",
                 "--without-mingle", "--without-gossip", "--loglevel", "ERROR"])
"""


def test_a_message_holds_json_and_names_only(queue: Queue, address: RedisAddress) -> None:
    queue.send_look("job-1", "tiny")
    queue.send_serve("tiny")
    queue.send_cpu("ptsys.refresh", "tiny")
    with address.client() as client:
        queues = (device_queue("tiny"), "ptsys.cpu")
        raw = [text for one in queues for text in client.lrange(address.keys.celery + one, 0, -1)]
    messages = [json.loads(message) for message in raw]
    assert {message["content-type"] for message in messages} == {"application/json"}
    bodies = [json.loads(base64.b64decode(message["body"])) for message in messages]
    calls = {(m["headers"]["task"], tuple(b[0])) for m, b in zip(messages, bodies, strict=True)}
    assert calls == {
        ("ptsys.look", ("job-1",)),
        ("ptsys.serve", ("tiny",)),
        ("ptsys.refresh", ("tiny",)),
    }


def test_the_configuration_accepts_no_pickle(server: EmbeddedRedis, tmp_path: Path) -> None:
    config = celery_config(Settings(data_dir=tmp_path / "data", redis_url=None))
    assert config["broker_url"] == server.address.celery_url
    assert set(config["accept_content"]) == {"json", "msgpack"}
    assert config["task_serializer"] == "json"
    assert config["result_backend"] is None


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
def test_a_missing_redis_is_told_soon(url: str) -> None:
    queue = Queue(RedisAddress(url))
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="PTSYS_REDIS_URL"):
        queue.send_look("job-1", "tiny")
    with pytest.raises(Unavailable):
        queue.depth("tiny")
    assert time.monotonic() - begun < 5


@pytest.mark.device
def test_a_real_worker_takes_messages_also_after_redis_was_away(
    server: EmbeddedRedis, queue: Queue, tmp_path: Path
) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env={"PTSYS_DATA_DIR": str(tmp_path / "data"), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout is not None
        queue.send_look("job-1", "tiny")
        said = _said(worker.stdout)
        assert next(said) == "LOOK job-1"
        queue.send_serve("tiny")
        assert next(said) == "SERVE tiny"
        server.stop()
        time.sleep(1.0)
        server.start()
        queue.send_look("job-2", "tiny")
        assert next(said) == "LOOK job-2"
        _send_pickle(queue.address, tmp_path / "executed")
        queue.send_look("job-3", "tiny")
        assert next(said) == "LOOK job-3"
        assert not (tmp_path / "executed").exists()
    finally:
        worker.terminate()
        errors = worker.communicate(timeout=20)[1]
    assert "Trying again" in errors
    assert "pickle" in errors  # refused, and said so
    assert worker.returncode == 0


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def _send_pickle(address: RedisAddress, trap: Path) -> None:
    options = {"global_keyprefix": address.keys.celery}
    with Connection(address.celery_url, transport_options=options) as connection:
        connection.Producer().publish(
            ([Trap(trap)], {}, {}),
            routing_key=device_queue("tiny"),
            serializer="pickle",
            headers={"task": "ptsys.look", "id": "x", "lang": "py"},
        )


def _said(output: IO[str]) -> Iterator[str]:
    """What the tasks printed, without Celery's banner."""
    return (line.strip() for line in output if line.startswith(("LOOK", "SERVE")))


def test_a_connection_that_breaks_in_the_act_is_an_absent_redis(address: RedisAddress) -> None:
    proxy = FaultProxy(Path(address.url.removeprefix("unix://")))
    queue = Queue(RedisAddress(f"redis://127.0.0.1:{proxy.port}/0"))
    over = threading.Event()

    def send() -> set[str]:
        told = set()
        while not over.is_set():
            try:
                queue.send_look("job", "tiny")
            except Exception as error:
                told.add(type(error).__name__)
        return told

    with ThreadPoolExecutor(6) as pool:
        senders = [pool.submit(send) for _ in range(6)]
        for _ in range(30):
            proxy.set("cut")
            time.sleep(0.03)
            proxy.set("pass")
            time.sleep(0.1)
        over.set()
    assert set().union(*(sender.result() for sender in senders)) == {"Unavailable"}
    queue.send_look("job", "tiny")
    queue.close()
    proxy.close()
