"""What the way of a gradient request costs without the model: HTTP, API, Redis and back.

    python benchmarks/request_path.py [--seconds 4]

The API's process and Redis are real; in the worker's place a thread sends every prompt back as if
it were its gradient. A line a prompt size: the median latency of one client, and requests a second
of 32. `ptsys bench gradients` measures the same way with the model at its end.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from ptsys.benches.gradients import INPUT, PATH, TARGET, TENSORS, import_model, load_model
from ptsys.benches.http_load import http_load
from ptsys.config import Settings
from ptsys.errors import Unavailable
from ptsys.jobs.presence import Presence, announce
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.requests import RequestChannel
from ptsys.jobs.service import Service
from ptsys.prompts.safetensors_format import decode, encode
from ptsys.stack.ports import free_port

HOST, MODEL, LENGTHS = "127.0.0.1", "small", (4, 100, 800)


def echo(redis: EmbeddedRedis, stopping: threading.Event) -> None:
    """Answer every request with its own prompt."""
    channel = RequestChannel(redis.address)
    since = datetime.datetime.now(datetime.UTC)
    presence = Presence(worker="echo", model=MODEL, ready=True, host=HOST, pid=1, since=since)
    told = 0.0
    while not stopping.is_set():
        with contextlib.suppress(Unavailable):
            if time.monotonic() - told > 2:
                announce(redis.address, presence)
                told = time.monotonic()
            for request in channel.take(MODEL, block_seconds=0.5):
                array, _ = decode(request.tensors or b"")
                header = {"loss": 1.0, "tokens": 2, "row_losses": [1.0], "predictions": [""]}
                channel.reply([(request, (header, encode(array, tensor="gradient")))])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        root, port = Path(folder), free_port(HOST, 0, 0)
        settings = Settings(data_dir=root, redis_url=None, database_url=None, api_port=port)
        environment = {
            **os.environ,
            "PTSYS_DATA_DIR": folder,
            "PTSYS_ROWS_PER_MINUTE": "1000000000",
        }
        load_model(root, MODEL)
        stopping = threading.Event()
        with contextlib.closing(Service(settings)) as service, EmbeddedRedis(root) as redis:
            import_model(service, root, MODEL)
            _, key = service.keys.create("bench")
            worker = threading.Thread(target=echo, args=(redis, stopping))
            worker.start()
            command = [sys.executable, "-m", "ptsys.api", "--port", str(port)]
            api = subprocess.Popen(command, env=environment)
            try:
                time.sleep(5)
                for length in LENGTHS:
                    measure(port, key, length, seconds)
            finally:
                stopping.set()
                worker.join()
                api.terminate()
                api.wait()


def measure(port: int, key: str, length: int, seconds: float) -> None:
    """Print one size's line."""
    question = json.dumps({"model": MODEL, "inputs": [INPUT], "targets": [TARGET]})
    body = encode(np.zeros((length, 512), np.float32), {"request": question})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": TENSORS}
    alone, crowd = (
        http_load(HOST, port, PATH, headers, body, clients=clients, seconds=seconds)
        for clients in (1, 32)
    )
    print(
        f"{length * 2048:9,} bytes: one client {alone.percentile(0.5) * 1000:6.2f} ms (p50), "
        f"32 clients {crowd.rate:5.0f} requests/s",
        flush=True,
    )


if __name__ == "__main__":
    main()
