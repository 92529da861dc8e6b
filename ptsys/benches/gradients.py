"""`ptsys bench gradients`: the whole path of a gradient request, against the compiled pass alone.

HTTP, the API's process, Redis, Celery's wake-up, a worker's engine and back, all real and all on
this machine, loaded by clients that send one row each and wait for its gradient. The same rows
sent straight to the compiled pass in one process, right afterwards, say what the path costs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ptsys.benches.http_load import Load, http_load
from ptsys.config import Settings
from ptsys.jobs.presence import Presence, workers
from ptsys.jobs.service import Service
from ptsys.prompts.safetensors_format import encode
from ptsys.stack.ports import free_port
from ptsys.stack.stack import Stack

if TYPE_CHECKING:
    from ptsys.engine.model import ServedModel

Which = Literal["tiny", "small"]
PATH, TENSORS = "/v1/gradients", "application/x-safetensors"
INPUT, TARGET = "red, green, blue, small, large", "green"
PRESENCE_SECONDS = 3.0  # a worker's counts are told every so often
STRAIGHT_SECONDS = 3.0
WARM_UPS, CALM = 12, 3  # loads before the one that counts: the last three compiled nothing


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One number of clients; latencies in milliseconds."""

    model: str
    clients: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    rows_per_batch: float
    straight_rows_per_second: float
    straight_ms: float

    @property
    def ratio(self) -> float:
        """Rows a second through the whole path, for one straight to the pass."""
        return self.requests_per_second / self.straight_rows_per_second


def measure(
    root: Path,
    model: Which,
    clients: Sequence[int],
    length: int,
    seconds: float,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Measurement]:
    """The benchmark in a folder of its own, `seconds` for each number of clients; `progress` is
    told what is under way."""
    settings = Settings(
        data_dir=root,
        redis_url=None,
        database_url=None,
        model=model,
        api_port=free_port("127.0.0.1", 0, 0),
        rows_per_minute=10**9,
    )
    served = load_model(root, model)
    random = np.random.default_rng(0)
    prompt = np.float32(0.1) * random.standard_normal(
        (length, served.frozen.config.d_model), np.float32
    )
    with contextlib.closing(Service(settings)) as service:
        if model != "tiny":
            import_model(service, root, model)
        _, key = service.keys.create("bench")
        with Stack(settings, model=model, api_port=settings.api_port) as stack:
            progress("starting")
            stack.wait_until_ready(progress)
            request = {"model": model, "inputs": [INPUT], "targets": [TARGET]}
            body = encode(prompt, {"request": json.dumps(request)})
            headers = {"Authorization": f"Bearer {key}", "Content-Type": TENSORS}
            return [
                _loaded(stack, settings, served, prompt, count, headers, body, seconds, progress)
                for count in clients
            ]


def _loaded(
    stack: Stack,
    settings: Settings,
    served: ServedModel,
    prompt: np.ndarray,
    clients: int,
    headers: dict[str, str],
    body: bytes,
    seconds: float,
    progress: Callable[[str], None],
) -> Measurement:
    def load(duration: float) -> Load:
        return http_load(
            settings.api_host,
            settings.api_port,
            PATH,
            headers,
            body,
            clients=clients,
            seconds=duration,
        )

    progress(f"{clients} clients: warming up")
    calm = 0  # shapes are compiled as they are met, beside the work
    for _ in range(WARM_UPS):
        load(seconds)
        before = _counts(stack)
        calm = 0 if before.compiling else calm + 1
        if calm == CALM:
            break
    progress(f"{clients} clients")
    seen = load(seconds)
    after = _counts(stack)
    steps = after.interactive_steps - before.interactive_steps
    rows = after.interactive_rows - before.interactive_rows
    progress("the compiled pass alone")
    straight = _straight(served, prompt, clients)
    return Measurement(
        model=served.name,
        clients=clients,
        requests_per_second=seen.rate,
        p50_ms=seen.percentile(0.5) * 1000,
        p99_ms=seen.percentile(0.99) * 1000,
        rows_per_batch=rows / max(steps, 1),
        straight_rows_per_second=clients / straight,
        straight_ms=straight * 1000,
    )


def _counts(stack: Stack) -> Presence:
    """What the worker tells of itself: steps and rows so far, and what it compiles."""
    time.sleep(PRESENCE_SECONDS + 1)
    [worker] = [one for one in workers(stack.address) if one.model is not None]
    return worker


def _straight(served: ServedModel, prompt: np.ndarray, count: int) -> float:
    """Seconds of the compiled pass over `count` users' rows, one each, in this process."""
    import jax

    from ptsys.engine.calls import Call, lay_apart, readings_of, rows_of
    from ptsys.engine.groups import Group, Shape
    from ptsys.kinds.buckets import ROWS, fit
    from ptsys.kinds.registry import kind_of
    from ptsys.kinds.trees import shapes_of
    from ptsys.passes.gradients import gradients
    from ptsys.sharding.mesh import shards_of

    shards, tree = shards_of(served.frozen.mesh), {"prompt": prompt}
    question = served.rows.taught([INPUT], [TARGET])
    group = Group("gradients", kind_of(tree).layout(shapes_of(tree)), question.layout)
    calls = [
        Call(key, "bench", group, tree, key, question.features, (0,), Future())
        for key in range(count)
    ]
    layout = lay_apart(calls, shards)
    each = fit(layout.rows, ROWS, "rows")  # rows of a shard, each with its own prompt
    shape = Shape(group, each, each)
    placements = layout.placed(shape)
    batch = (
        readings_of(placements, layout, shape),
        rows_of(placements, shape, shards),
    )
    arguments = (served.frozen, *jax.tree.map(jax.numpy.asarray, batch))
    jax.block_until_ready(gradients(*arguments))
    times: list[float] = []
    while sum(times) < STRAIGHT_SECONDS or len(times) < 3:
        since = time.perf_counter()
        np.asarray(gradients(*arguments).values["prompt"])
        times.append(time.perf_counter() - since)
    return sorted(times)[len(times) // 2]


def load_model(root: Path, model: Which) -> ServedModel:
    """The built-in model, or the shape of T5 1.1 small with random weights, which is written to
    a folder as well, for the worker to load."""
    from ptsys.engine.model import serve
    from ptsys.models.registry import load_builtin
    from ptsys.sharding.mesh import use_every_core

    use_every_core()
    builtin = load_builtin("tiny")
    if model == "tiny":
        return serve(builtin)
    from ptsys.models.builtin_format import read_builtin, write_builtin
    from ptsys.models.t5.gin_bindings import config_from_gin
    from ptsys.models.t5.gin_search import REPOSITORY
    from ptsys.models.t5.network import create

    config = config_from_gin([REPOSITORY / "gin/models/small.gin"])
    assert builtin.vocabulary_path is not None
    vocabulary = builtin.vocabulary_path.read_bytes()
    write_builtin(create(config), root / "random", vocabulary=vocabulary, source="random weights")
    return serve(read_builtin(root / "random", model))


def import_model(service: Service, root: Path, model: str) -> None:
    """Let workers find the model that `load_model` wrote."""
    from ptsys.models.registry import Registry

    service.models.add(Registry(service.settings.root).import_model(root / "random", model))
