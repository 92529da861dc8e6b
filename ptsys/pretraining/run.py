"""`ptsys run --gin_file=gin/runs/pretrain_tiny.gin`: train a small T5 from nothing.

The result is a model folder (weights, vocabulary, shared prompt initialization) that
`ptsys models import` takes and that ships in the package as the built-in model.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.progress import Progress
from safetensors.numpy import save_file

from ptsys.config import Settings
from ptsys.data.shown_examples import LABEL
from ptsys.data.vocabulary import SentencePieceVocabulary
from ptsys.data.vocabulary_training import train_vocabulary
from ptsys.errors import InvalidInput
from ptsys.generated import GeneratedTask, sample_tasks
from ptsys.models.builtin_format import write_builtin
from ptsys.models.execution import Execution
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import create
from ptsys.passes.emit import MEANS
from ptsys.passes.frozen import Frozen, Structure, freeze
from ptsys.pretraining.episodes import EPISODES, EpisodeConfig, EpisodeShape
from ptsys.pretraining.mixture import KINDS, MixtureConfig, Shape, numbered_traits, trait_count
from ptsys.pretraining.pools import Chunk, PoolConfig, Pools, Recipe
from ptsys.pretraining.reading_step import READ, Reading, ReadingMetrics, Tasks, reading_step
from ptsys.pretraining.step import (
    PretrainMetrics,
    PretrainOptimizer,
    PretrainState,
    Steering,
    TaskRows,
    initial_state,
    optimizer,
    pretrain_step,
    untie,
)
from ptsys.store.checkpoints import Checkpoints
from ptsys.store.model_folders import VOCABULARY


@dataclasses.dataclass(frozen=True)
class PretrainRun:
    """A pretraining run. `corpus` names UTF-8 text files; everything else has a default.

    `positions` is how many positions a step computes, prompts and texts counted; `reading_share` of
    the steps are on episodes, the others on rows. With `seconds` (0: without) it ends by then
    at the latest, and the learning rate falls with the time that is spent, if that is sooner.
    """

    output: str
    corpus: tuple[str, ...]
    model: T5Config
    mixture: MixtureConfig = MixtureConfig()
    episodes: EpisodeConfig = EpisodeConfig()
    pools: PoolConfig = PoolConfig()
    optimizer: PretrainOptimizer = PretrainOptimizer()
    steering: Steering = Steering()
    reading: Reading = Reading()
    reading_share: float = 0.5
    positions: int = 2000
    steps: int = 6000
    seconds: float = 0
    seed: int = 0
    sentinels: int = 64
    bank_tasks: int = 400
    instructed_tasks: int = 3000
    prompt_length: int = 16
    vocabulary_lines: int = 200_000
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
        self.bank = sample_tasks(config.seed, config.bank_tasks)
        self.recipe = Recipe(
            config.seed,
            config.bank_tasks,
            config.instructed_tasks,
            config.mixture,
            config.episodes,
            self.output / VOCABULARY,
            config.sentinels,
            self.output / "text.npy",
        )
        self._prepare()
        self.traits = trait_count(numbered_traits([task.traits for task in self.bank]))
        # The head is the token table while training, so that what is learned of a word as input
        # serves it as an answer too; the exported model has a head of its own (T5 1.1).
        tied = dataclasses.replace(config.model, tie_embeddings=True)
        self.model = create(tied, config.seed)
        whole = Execution(vocabulary_block=None)  # the head learns too
        self.structure: Structure = freeze(self.model, execution=whole).structure
        self.transform: optax.GradientTransformation = optimizer(config.optimizer, self.structure)

    def _prepare(self) -> None:
        """The vocabulary and the text as its tokens, unless an earlier start made them."""
        config, recipe = self.config, self.recipe
        if recipe.vocabulary.exists() and recipe.text.exists():
            return
        text = read_corpus(config.corpus)
        if not recipe.vocabulary.exists():
            lines = [line for part in text for line in part.splitlines() if line.strip()]
            if len(lines) > config.vocabulary_lines:
                lines = random.Random("lines").sample(lines, config.vocabulary_lines)
            instructed = sample_tasks(config.seed + 1, config.instructed_tasks)
            pieces = config.model.vocab_size - config.sentinels
            rows = sample_rows(instructed, 30_000)
            train_vocabulary([*lines, *rows], recipe.vocabulary, pieces)
        vocabulary = SentencePieceVocabulary(recipe.vocabulary, config.sentinels)
        ids = [i for part in text for i in vocabulary.encode(part.replace("\n", " "))]
        part = recipe.text.with_suffix(".part.npy")
        np.save(part, np.array(ids, np.uint16))
        part.replace(recipe.text)

    def run(self) -> dict[str, Any]:
        """Train to the last step, checkpointing on the way, and export the model."""
        config = self.config
        state = initial_state(
            self.model, self.traits, config.prompt_length, self.transform, config.seed
        )
        began: float | None = None  # when the first step was done, compiled
        pools = Pools(self.recipe, config.pools)
        try:
            with Checkpoints(self.output / "checkpoints") as checkpoints, Progress() as progress:
                if checkpoints.latest() is not None:
                    state, _ = checkpoints.restore(state)
                step = int(state.step)
                task = progress.add_task("pretraining", total=config.steps, completed=step)
                log = Log(self.output / "metrics.jsonl", progress)
                for update in self._updates(pools, state):
                    spent = 0.0 if began is None else time.monotonic() - began
                    done = max(step / config.steps, spent / (config.seconds or math.inf))
                    if done >= 1:
                        break
                    state, metrics = update(state._replace(rate=jnp.float32(rate(done))))
                    began = began or time.monotonic()
                    step += 1
                    log.add(metrics)
                    progress.update(task, completed=step)
                    if step % config.log_every == 0:
                        log.write(step)
                    if step % config.checkpoint_every == 0:
                        checkpoints.save(step, state, {})
                        self._export(state, {"steps": step, **log.last})
                checkpoints.save(step, state, {})
        finally:
            pools.close()
        summary = {"steps": step, "bank": [task.name for task in self.bank], **log.last}
        self._export(state, summary)
        return {"output": str(self.output), "steps": step, **log.last}

    def _updates(self, pools: Pools, state: PretrainState) -> Iterator[Update]:
        """What every step from the state's own on does to it."""
        number, skip = divmod(int(state.step), self.config.pools.steps)
        programs = Programs(self.config, self.structure, self.transform, state)
        for chunk in pools.chunks(number):
            draw = random.Random(f"{self.config.seed}/{number}/steps")
            yield from list(programs.updates(chunk, draw))[skip:]
            number, skip = number + 1, 0

    def _export(self, state: PretrainState, summary: dict[str, Any]) -> None:
        trained = state.trained
        frozen = Frozen(trained.leaves, self.structure)
        write_builtin(
            untie(frozen.model()),
            self.output / "model",
            vocabulary=(self.output / VOCABULARY).read_bytes(),
            sentinels=self.config.sentinels,
            initialization=np.asarray(trained.shared),
        )
        meta = {name: np.asarray(x, np.float16) for name, x in trained.meta._asdict().items()}
        save_file(meta, self.output / "meta_prompt.safetensors")
        (self.output / "summary.json").write_text(json.dumps(summary, indent=1))


Update = Callable[[PretrainState], tuple[PretrainState, PretrainMetrics | ReadingMetrics]]


class Programs:
    """The compiled steps of a run, by shape, and the pools they draw from. Pools keep the size
    that they had first, so that nothing compiles anew; what a chunk needs compiles at once."""

    def __init__(
        self,
        config: PretrainRun,
        structure: Structure,
        transform: optax.GradientTransformation,
        state: PretrainState,
    ) -> None:
        self._config = config
        self._static = (structure, transform)
        self._state = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
        self._sizes: dict[Any, int] = {}
        self._compiled: dict[Any, Future[Any]] = {}
        self._compiling = ThreadPoolExecutor(os.cpu_count() or 1)

    def updates(self, chunk: Chunk, draw: random.Random) -> Iterator[Update]:
        """The steps that draw from one chunk."""
        rows = {shape: self._placed(shape, pool) for shape, pool in chunk.rows.items()}
        tasks = {key: self._placed(key, pool) for key, pool in chunk.tasks.items()}
        shapes = [s for s in EPISODES if ("bank", s) in tasks and ("fresh", s) in tasks]
        readings = {s: self._reading(s, tasks["bank", s], tasks["fresh", s]) for s in shapes}
        batches = {shape: self._rows(shape, rows[shape]) for shape in rows}
        weights: dict[Any, float] = {
            **{s: len(chunk.rows[s].kind) / self._batch(s) for s in rows},
            **{
                s: sum(len(chunk.tasks[source, s].rows) for source in ("bank", "fresh"))
                / self._episodes(s)
                for s in shapes
            },
        }
        for program in self._compiled.values():
            program.result()
        for _ in range(self._config.pools.steps):
            reading = shapes and draw.random() < self._config.reading_share
            steps: Mapping[Any, Update] = readings if reading else batches
            places = list(steps)
            yield steps[draw.choices(places, [weights[place] for place in places])[0]]

    def _batch(self, shape: Shape) -> int:
        each = shape.inputs + shape.targets + self._config.steering.short
        return max(8, self._config.positions // each)

    def _episodes(self, shape: EpisodeShape) -> int:
        reading = (shape.examples + 1) * (shape.reading + MEANS + 1)
        each = self._config.reading.width // 2 + MEANS + shape.inputs + shape.targets
        return max(2, 2 * (self._config.positions // (reading + shape.queries * each) // 2))

    def _rows(self, shape: Shape, pool: dict[str, Any]) -> Update:
        rows = TaskRows(*(pool[name] for name in ("inputs", "targets", "kind", "traits")))
        static = (*self._static, self._batch(shape), self._config.steering)
        return self._update(shape, pretrain_step, static, rows, pool["total"])

    def _reading(self, shape: EpisodeShape, bank: dict[str, Any], fresh: dict[str, Any]) -> Update:
        static = (
            *self._static,
            *(self._episodes(shape), shape.examples, shape.queries, LABEL),
            *(self._config.steering, self._config.reading),
        )
        return self._update(shape, reading_step, static, Tasks(**bank), Tasks(**fresh))

    def _update(self, shape: Any, step: Any, static: tuple[Any, ...], *pools: Any) -> Update:
        if shape not in self._compiled:
            lowered = step.lower(*static, self._state, *pools)
            self._compiled[shape] = self._compiling.submit(lowered.compile)
        compiled = self._compiled[shape]
        return lambda state: compiled.result()(state, *pools)

    def _placed(self, key: Any, pool: Any) -> dict[str, Any]:
        """A pool on the device, with as many rows as its first one had, `total` of them real."""
        fields = {field.name: getattr(pool, field.name) for field in dataclasses.fields(pool)}
        count = len(next(iter(fields.values())))
        size = self._sizes.setdefault(key, count)
        placed = {
            name: jnp.asarray(np.resize(x, (size, *x.shape[1:])) if count < size else x[:size])
            for name, x in fields.items()
        }
        return placed | {"total": jnp.asarray(min(count, size), jnp.int32)}


def rate(done: float) -> float:
    """Of the learning rate what is left when so much of a run is done: a cosine to 2 %."""
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1)))


class Log:
    """Metrics summed between two lines of the log; read one step late, so the device never
    waits for the host."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path = path
        self._progress = progress
        self._pending: list[PretrainMetrics | ReadingMetrics] = []
        self._since = time.monotonic()
        self.last: dict[str, float] = {}

    def add(self, metrics: PretrainMetrics | ReadingMetrics) -> None:
        """Remember a step's sums without reading them."""
        self._pending.append(metrics)
        if len(self._pending) > 2:
            jax.block_until_ready(self._pending[-3])  # bound the queue of dispatched steps

    def write(self, step: int) -> None:
        """Append one line: loss and share of rows predicted whole, by kind of row."""
        now = time.monotonic()
        line: dict[str, float] = {"step": step, "seconds": round(now - self._since, 1)}
        for names, kind in ((KINDS, PretrainMetrics), (READ, ReadingMetrics)):
            found = [metrics for metrics in self._pending if isinstance(metrics, kind)]
            if not found:
                continue
            total = jax.tree.map(lambda *xs: np.sum([np.asarray(x) for x in xs], axis=0), *found)
            for i, name in enumerate(names):
                line[f"{name}_loss"] = round(float(total.loss[i] / max(total.tokens[i], 1)), 4)
                line[f"{name}_exact"] = round(float(total.exact[i] / max(total.rows[i], 1)), 4)
        self._pending, self._since, self.last = [], now, line
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._progress.console.print(json.dumps(line), soft_wrap=True)


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
    rng = random.Random("vocabulary")
    for _ in range(count):
        task = rng.choice(tasks)
        source, target = task.draw(rng)
        yield f"{rng.choice(task.instructions)} {source}"
        yield target
