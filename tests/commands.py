"""Commands as they are typed, on a data directory with a tiny random model, and on a running stack.

The folders whose tests type commands name the fixtures in their conftest.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from ptsys.cli import main, output
from ptsys.config import Settings
from ptsys.data.vocabulary_training import train_vocabulary
from ptsys.generated import sample_tasks
from ptsys.models.builtin_format import write_builtin
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import create
from ptsys.pretraining.run import sample_rows
from ptsys.stack.stack import Stack
from ptsys.types.example import Example

MODEL = "random"
SENTINELS = 32
CONFIG = T5Config(
    vocab_size=600 + SENTINELS,
    d_model=32,
    num_heads=2,
    head_dim=16,
    d_ff=64,
    encoder_layers=2,
    decoder_layers=1,
    max_input_length=64,
    max_target_length=32,
)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


Run = Callable[..., Ended]


def call(*arguments: object) -> Ended:
    """One command in this process, as if typed."""
    out, err = io.StringIO(), io.StringIO()
    for console in (output.messages, output.results):
        console.cache_clear()
    with redirect_stdout(out), redirect_stderr(err):
        code = main.call([str(argument) for argument in arguments])
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model, in the form that `ptsys models import` takes."""
    folder = tmp_path_factory.mktemp("model")
    vocabulary = folder / "vocabulary.model"
    train_vocabulary(sample_rows(sample_tasks(0, 50), 3000), vocabulary, 600)
    write_builtin(
        create(CONFIG, seed=0),
        folder / "model",
        vocabulary=vocabulary.read_bytes(),
        sentinels=SENTINELS,
        storage="float32",
    )
    return folder / "model"


@pytest.fixture(scope="session")
def imported(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with that model, and the session's compiled programs; no test changes it."""
    root = tmp_path_factory.mktemp("imported")
    (root / "compilations").symlink_to(os.environ["PTSYS_TEST_COMPILED"])
    ended = call("--data", root, "models", "import", model_folder, "--name", MODEL)
    assert ended.code == 0, ended.err
    return root


@pytest.fixture(scope="module")
def root(imported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with that model, of this test file alone."""
    folder = tmp_path_factory.mktemp("data")
    subprocess.run(["cp", "-r", f"{imported}/.", str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def stack(root: Path) -> Iterator[Stack]:
    """Redis and a worker on `root`."""
    settings = Settings(data_dir=root, redis_url=None, database_url=None, model=MODEL)
    with Stack(settings, model=MODEL) as stack:
        stack.wait_until_ready()
        yield stack


def write_rows(path: Path, rows: Sequence[Example]) -> Path:
    path.write_text("".join(row.to_json() + "\n" for row in rows))
    return path


def examples(count: int) -> list[Example]:
    words = ("red", "green", "blue", "black")
    return [Example(f"the {words[i % 4]} door {i}", words[i % 4]) for i in range(count)]


def command(*arguments: object) -> list[str]:
    """The command line of a `ptsys` of its own process."""
    return [sys.executable, "-m", "ptsys.cli.main", *map(str, arguments)]


def clean_environment(**values: object) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PTSYS_")}
    return kept | {name: str(value) for name, value in values.items()}


def running(marker: str) -> list[int]:
    """Processes other than this one whose command line or environment names `marker`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if marker.encode() in text and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found
