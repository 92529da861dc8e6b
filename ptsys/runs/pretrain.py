"""`ptsys run --gin_file=gin/runs/pretrain_tiny.gin`: train a small T5 from nothing.

The result is a model folder (weights, vocabulary, shared prompt initialization) that
`ptsys models import` takes and that ships in the package as the built-in model.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray
from rich.progress import Progress

from ptsys.config import Settings
from ptsys.data.generated import GeneratedTask, sample_tasks
from ptsys.data.mixture import KINDS, Mixture, MixtureConfig
from ptsys.data.vocabulary import SentencePieceVocabulary
from ptsys.data.vocabulary_training import train_vocabulary
from ptsys.errors import InvalidInput
from ptsys.models.builtin_format import write_builtin
from ptsys.models.config import T5Config
from ptsys.models.execution import Execution
from ptsys.models.t5 import create
from ptsys.passes.frozen import Frozen, Structure, freeze
from ptsys.passes.pretrain import (
    PretrainMetrics,
    PretrainOptimizer,
    PretrainState,
    TaskRows,
    initial_state,
    optimizer,
    pretrain_step,
    untie,
)
from ptsys.store.checkpoints import Checkpoints


@dataclasses.dataclass(frozen=True)
class PretrainRun:
    """A pretraining run. `corpus` names UTF-8 text files; everything else has a default."""

    output: str
    corpus: tuple[str, ...]
    model: T5Config
    mixture: MixtureConfig = MixtureConfig()
    optimizer: PretrainOptimizer = PretrainOptimizer()
    steps: int = 6000
    seed: int = 0
    sentinels: int = 64
    bank_tasks: int = 400
    instructed_tasks: int = 3000
    prompt_length: int = 16
    prompt_noise: float = 0.0
    short_prompt_length: int = 8
    short_prompt_share: float = 0.7
    log_every: int = 50
    checkpoint_every: int = 500

    def __call__(self, _settings: Settings | None = None) -> dict[str, Any]:
        """Run, or go on where an earlier run was stopped. Returns a summary. It touches no
        deployment."""
        return Pretraining(self).run()

    def plan(self, _settings: Settings) -> dict[str, Any]:
        """What it would do. Raises InvalidInput for a corpus that is not there."""
        texts = read_corpus(self.corpus)
        size = sum(len(text.encode()) for text in texts)
        return {"corpus_bytes": size, "steps": self.steps, "output": self.output}


class Pretraining:
    """One run in progress."""

    def __init__(self, config: PretrainRun) -> None:
        self.config = config
        self.output = Path(config.output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.text = read_corpus(config.corpus)
        self.bank = sample_tasks(config.seed, config.bank_tasks)
        self.instructed = sample_tasks(config.seed + 1, config.instructed_tasks)
        self.vocabulary = self._vocabulary()
        self.mixture = Mixture(
            config.mixture, self.vocabulary, self.bank, self.instructed, self._tokens()
        )
        # The head is the token table while training, so that what is learned of a word as input
        # serves it as an answer too; the exported model has a head of its own (T5 1.1).
        tied = dataclasses.replace(config.model, tie_embeddings=True)
        self.model = create(tied, config.seed)
        whole = Execution(vocabulary_block=None)  # the head learns too
        self.structure: Structure = freeze(self.model, execution=whole).structure
        self.transform: optax.GradientTransformation = optimizer(
            config.optimizer, config.steps, self.structure
        )

    def _vocabulary(self) -> SentencePieceVocabulary:
        path = self.output / "vocabulary.model"
        pieces = self.config.model.vocab_size - self.config.sentinels
        if not path.exists():
            lines = [line for text in self.text for line in text.splitlines() if line.strip()]
            train_vocabulary([*lines, *sample_rows(self.instructed, 30_000)], path, pieces)
        return SentencePieceVocabulary(path, self.config.sentinels)

    def _tokens(self) -> NDArray[np.int32]:
        ids = [i for text in self.text for i in self.vocabulary.encode(text.replace("\n", " "))]
        return np.array(ids, np.int32)

    def run(self) -> dict[str, Any]:
        """Train to the last step, checkpointing on the way, and export the model."""
        config = self.config
        state = initial_state(
            self.model,
            self.mixture.traits,
            config.prompt_length,
            self.transform,
            config.seed,
        )
        position = (0, 0)
        with Checkpoints(self.output / "checkpoints") as checkpoints, Progress() as progress:
            if checkpoints.latest() is not None:
                state, notes = checkpoints.restore(state)
                position = (notes["chunk"], notes["batch"])
            task = progress.add_task("pretraining", total=config.steps, completed=int(state.step))
            log = Log(self.output / "metrics.jsonl", progress)
            step = int(state.step)
            for chunk, batch, rows, length in self._batches(position):
                if step >= config.steps:
                    break
                state, metrics = pretrain_step(
                    self.structure,
                    self.transform,
                    length,
                    config.prompt_noise,
                    state,
                    rows,
                )
                step += 1
                log.add(metrics)
                progress.update(task, completed=step)
                if step % config.log_every == 0:
                    log.write(step)
                if step % config.checkpoint_every == 0 or step == config.steps:
                    checkpoints.save(step, state, {"chunk": chunk, "batch": batch + 1})
        summary = {"steps": step, "bank": [task.name for task in self.bank], **log.last}
        self._export(state, summary)
        return {"output": str(self.output), "steps": step, **log.last}

    def _batches(self, position: tuple[int, int]) -> Iterator[tuple[int, int, TaskRows, int]]:
        config = self.config
        chunk, skip = position
        while True:
            lengths = np.random.default_rng([config.seed, chunk])
            for number, batch in enumerate(self.mixture.batches(config.seed, chunk)):
                short = lengths.random() < config.short_prompt_share
                if number >= skip:
                    rows = TaskRows(
                        *(
                            jnp.asarray(x)
                            for x in (batch.inputs, batch.targets, batch.kind, batch.traits)
                        )
                    )
                    length = config.short_prompt_length if short else config.prompt_length
                    yield chunk, number, rows, length
            chunk, skip = chunk + 1, 0

    def _export(self, state: PretrainState, summary: dict[str, Any]) -> None:
        trained = state.trained
        frozen = Frozen(trained.leaves, self.structure)
        write_builtin(
            untie(frozen.model()),
            self.output / "model",
            vocabulary=(self.output / "vocabulary.model").read_bytes(),
            sentinels=self.config.sentinels,
            initialization=np.asarray(trained.shared),
        )
        (self.output / "summary.json").write_text(json.dumps(summary, indent=1))


class Log:
    """Metrics summed between two lines of the log; read one step late, so the device never
    waits for the host."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path = path
        self._progress = progress
        self._pending: list[PretrainMetrics] = []
        self._since = time.monotonic()
        self.last: dict[str, float] = {}

    def add(self, metrics: PretrainMetrics) -> None:
        """Remember a step's sums without reading them."""
        self._pending.append(metrics)
        if len(self._pending) > 2:
            jax.block_until_ready(self._pending[-3])  # bound the queue of dispatched steps

    def write(self, step: int) -> None:
        """Append one line: loss and share of rows predicted whole, by kind of row."""
        total = jax.tree.map(
            lambda *xs: np.sum([np.asarray(x) for x in xs], axis=0), *self._pending
        )
        now = time.monotonic()
        line: dict[str, float] = {"step": step, "seconds": round(now - self._since, 1)}
        for i, kind in enumerate(KINDS):
            line[f"{kind}_loss"] = round(float(total.loss[i] / max(total.tokens[i], 1)), 4)
            line[f"{kind}_exact"] = round(float(total.exact[i] / max(total.rows[i], 1)), 4)
        self._pending, self._since, self.last = [], now, line
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._progress.console.print(json.dumps(line))


def read_corpus(paths: tuple[str, ...]) -> list[str]:
    """The text files of a run; raises InvalidInput naming a missing or empty one."""
    texts = []
    for name in paths:
        try:
            text = Path(name).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"corpus file {name}: {error}", field="corpus") from error
        if not text.strip():
            raise InvalidInput(f"corpus file {name} is empty", field="corpus")
        texts.append(text)
    if not texts:
        raise InvalidInput(
            "name at least one UTF-8 text file: --gin.PretrainRun.corpus='(\"a.txt\",)'",
            field="corpus",
        )
    return texts


def sample_rows(tasks: list[GeneratedTask], count: int) -> Iterator[str]:
    """Texts of generated rows, for the vocabulary."""
    import random

    rng = random.Random("vocabulary")
    for _ in range(count):
        task = rng.choice(tasks)
        source, target = task.draw(rng)
        yield f"{rng.choice(task.instructions)} {source}"
        yield target
