"""Three small tasks, and runs on them as they are typed."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from commands import MODEL, Ended, call, clean_environment, examples, write_rows

from ptsys.prompts.storage import load_part
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.prompts import Prompts
from ptsys.types.example import Example

TASKS = ("colours", "parity", "shout")
SMALL = {
    "MODEL": MODEL,
    "STEPS": 8,
    "LENGTH": 4,
    "BATCH_SIZE": 4,
    "MAX_INPUT_LENGTH": 32,
    "INIT": "shared",
    "EVALUATE_EVERY": 4,
    "CHECKPOINT_EVERY": 2,
}

_KILLED = """
import os, signal, sys
from {module} import {holder}
from ptsys.cli import main
count = 0
done = {holder}.{method}
def then_die(*given, **named):
    global count
    result = done(*given, **named)
    count += 1
    if count == {after}:
        os.kill(os.getpid(), {number})
    return result
{holder}.{method} = then_die
{extra}
sys.exit(main.call(sys.argv[1:]))
"""


def rows(task: str, start: int, count: int) -> list[Example]:
    if task == "colours":
        return examples(start + count)[start:]
    numbers = range(start, start + count)
    if task == "parity":
        return [Example(f"number {i}", "odd" if i % 2 else "even") for i in numbers]
    return [Example(f"say door {i}", "DOOR") for i in numbers]


def write_tasks(folder: Path) -> Path:
    for name in TASKS:
        (folder / name).mkdir(parents=True)
        for part, start, count in (("train", 0, 24), ("validation", 24, 8), ("test", 32, 8)):
            write_rows(folder / name / f"{part}.jsonl", rows(name, start, count))
    return folder


def flags(run: str, values: Mapping[str, object], *files: str) -> list[str]:
    named = [f"--gin_file=gin/runs/{run}.gin", *(f"--gin_file={file}" for file in files)]
    return [*named, *(f"--gin.{name}={value!r}" for name, value in values.items())]


def start(root: Path, run: str, *more: str, files: tuple[str, ...] = (), **values: object) -> Ended:
    """A run in this process; a value's name is a macro's, or a binding's with `__` for the dot."""
    bound = {name.replace("__", "."): value for name, value in values.items()}
    return call("--data", root, "run", *flags(run, bound, *files), *more)


def killed(
    arguments: list[str],
    place: str,
    after: int,
    extra: str = "",
    number: signal.Signals = signal.SIGKILL,
) -> None:
    """The command in a process that gets this signal, -9 unless another is named, after that many
    calls of `module:Class.method`."""
    module, _, name = place.partition(":")
    holder, _, method = name.partition(".")
    script = _KILLED.format(
        module=module, holder=holder, method=method, after=after, extra=extra, number=int(number)
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=clean_environment(XLA_FLAGS=os.environ["XLA_FLAGS"], JAX_PLATFORMS="cpu"),
        timeout=250,
    )
    code = -signal.SIGKILL if number is signal.SIGKILL else 130
    assert ended.returncode == code, ended.stderr[-3000:]


def stores(root: Path) -> tuple[Datasets, Prompts]:
    database = Database(f"sqlite:///{root / 'ptsys.db'}")
    return Datasets(database, root), Prompts(database, root)


def tensors(root: Path) -> dict[str, np.ndarray]:
    prompts = stores(root)[1]
    kept = [x for x in prompts.list("local") if x.kind == "tokens"]
    found = {x.name: load_part(prompts.tensor_path(x.id)) for x in kept}
    return {name: part.rows for name, part in found.items() if part.rows is not None}
