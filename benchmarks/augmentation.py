"""What the prompt library does for a prompt trained on sixteen examples: leave-one-out over tasks.

    python benchmarks/augmentation.py TASKS_FOLDER --cache FOLDER [--seeds 3] [--targets 24]

The library holds a prompt for every task of the folder (tuned on its rows, 400 at most) and for
some generated tasks. Each target in turn is hidden with its near-twins, those of the same words but
for numbers, in whatever order; it gives 16 examples, and for every arm the test rows are scored:

    plain           the few-shot prompt alone, which is the query of all others
    curriculum, multitask, initialization   the strategies, with second prompts that are found
    second          the second prompt that answers the 16 examples best, as it is
    auto            the one of these, plain, or the best second prompt as it is, that is best on
                    validation rows
    random ...      the same with second prompts drawn at random, as the control
    full            a prompt tuned on all rows of the task

`--validation N` gives auto so many rows of the task's validation set to choose by, as a user with
16 + N labelled rows would; 0 lets it hold out a quarter of the 16. Means over the targets, each the
mean of its seeds, with 95 % bootstrap intervals over targets (10,000 resamples). Targets are tasks
that the model can do (full tuning beats the majority answer by 20 points), one of each group of
twins, those with the shortest inputs first. The cache keeps the library's prompts, which take
longest, and every finished target's scores, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import datetime
import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ptsys.data.examples import read_examples
from ptsys.data.metrics import exact_match, majority
from ptsys.engine.compilation import keep_compilations
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.model import serve
from ptsys.engine.trainings import Failed, Finished, Snapshot, Training, TrainingTask
from ptsys.generated.registry import FAMILIES, WEIGHTS
from ptsys.library.augmentation import SECOND, hold_out
from ptsys.library.neighbours import Neighbour
from ptsys.library.vectors import prompt_vector
from ptsys.models.registry import load_builtin
from ptsys.sharding.host_memory import keep_freed_memory
from ptsys.sharding.mesh import use_every_core
from ptsys.training.augmentation.course import Augmentation
from ptsys.training.augmentation.task import AugmentationTask
from ptsys.training.course import Checkpoint
from ptsys.training.loop import Loop
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.records import Prompt
from ptsys.types.training import Optimizer, TrainingSpec

FEW, LENGTH, TEST_ROWS = 16, 16, 100
LEARNING_RATE = 0.3
FOUND = ("curriculum", "multitask", "initialization", SECOND)
DECORATED = ("arrow", "equals", "stop", "input", "brackets", "quoted", "text", "word", "q")

Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class TaskRows:
    """A task's rows; a generated one has none to be tested on."""

    train: Sequence[Example]
    validation: Sequence[Example] = ()
    test: Sequence[Example] = ()


# ---- tasks ----------------------------------------------------------------------------------


def read_tasks(folder: Path) -> dict[str, TaskRows]:
    """Every folder that has rows, by name."""
    found = {}
    for task in sorted(path for path in folder.iterdir() if (path / "train.jsonl").is_file()):
        parts = [list(read_examples(task / f"{p}.jsonl")) for p in ("train", "validation", "test")]
        found[task.name] = TaskRows(parts[0][:400], parts[1], parts[2][:TEST_ROWS])
    return found


def generated_tasks(count: int, seed: int = 7) -> dict[str, TaskRows]:
    """Generated tasks without instructions, drawn by the families' shares in pretraining."""
    draw = random.Random(seed)
    found: dict[str, TaskRows] = {}
    families = [name for name in FAMILIES if name != "in_context"]
    weights = [WEIGHTS[name] for name in families]
    while len(found) < count:
        task = FAMILIES[draw.choices(families, weights)[0]](draw)
        last = task.name.rpartition("/")[2]
        if last in DECORATED or last.startswith("frame") or task.name in found:
            continue
        rows: dict[str, str] = {}
        for _ in range(3000):
            source, target = task.draw(draw)
            if len(source) <= 200 and len(target) <= 60:
                rows.setdefault(source, target)
            if len(rows) == 400:
                break
        if len(rows) >= 100:
            found[task.name] = TaskRows([Example(*row) for row in rows.items()])
    return found


def words(name: str) -> frozenset[str]:
    """A task's name without numbers and order: near-twins have the same."""
    parts = name.removeprefix("fv_").split("_")
    return frozenset(part for part in parts if not part.isdigit())


def choose_targets(
    tasks: Mapping[str, TaskRows], full: Mapping[str, float], count: int
) -> list[str]:
    """As the module says. The longer-named of twins, as the ones of five are harder."""
    able = {
        words(name): name
        for name, rows in sorted(tasks.items())
        if full[name] - _majority(rows) >= 0.2
    }
    ordered = sorted(able.values(), key=lambda name: _mean_length(tasks[name].train))
    return sorted(ordered[:count])


def _majority(rows: TaskRows) -> float:
    return majority([row.target for row in rows.train], [row.target for row in rows.test])[1]


def _mean_length(rows: Sequence[Example]) -> float:
    return sum(len(row.input) for row in rows) / len(rows)


# ---- the library ----------------------------------------------------------------------------


def train_library(
    engine: Engine, tasks: Mapping[str, TaskRows], steps: int, file: Path
) -> dict[str, Array]:
    """A prompt of every task, trained together; kept in `file`."""
    known = dict(np.load(file)) if file.exists() else {}
    missing = {name: rows.train for name, rows in tasks.items() if name not in known}
    if missing:
        print(f"training {len(missing)} prompts of the library", file=sys.stderr, flush=True)
        running = {name: submit(engine, name, rows, steps) for name, rows in missing.items()}
        known |= {name: finished(training) for name, training in running.items()}
        np.savez(file, **known)
    return {name: known[name] for name in tasks}


def submit(engine: Engine, name: str, rows: Sequence[Example], steps: int) -> Training:
    spec = TrainingSpec(
        name="x", dataset="x", steps=steps, optimizer=optimizer(), checkpoint_every=10**6
    )
    start = Snapshot.start(shared(engine))
    return engine.train(TrainingTask(name, name, spec, engine.encode(spec, rows), start))


def finished(training: Training) -> Array:
    while not isinstance(event := training.events.get(), Finished):
        if isinstance(event, Failed):
            raise RuntimeError(event.message)
    return event.snapshot.prompt


def shared(engine: Engine) -> Array:
    assert engine.model.initialization is not None
    return np.asarray(engine.model.initialization[-LENGTH:], np.float32)


def optimizer() -> Optimizer:
    return Optimizer(learning_rate=LEARNING_RATE, decay="linear")


class Known:
    """The library as one user sees it: `Sources` in memory."""

    def __init__(
        self,
        start: Array,
        prompts: Mapping[str, Array],
        tasks: Mapping[str, TaskRows],
        count: int,
        draw: random.Random | None = None,
    ) -> None:
        """`draw` makes it tell random prompts instead of near ones."""
        self._start, self._prompts, self._tasks = start, prompts, tasks
        self._count, self._draw = count, draw
        self._names = sorted(prompts)
        vectors = np.stack([self._vector(prompts[name]) for name in self._names])
        self._vectors = vectors

    def find(self, query: Array) -> Sequence[Neighbour]:
        """The nearest, or some at random."""
        scores = self._vectors @ self._vector(query)
        order = np.argsort(-scores, kind="stable")[: self._count].tolist()
        if self._draw is not None:
            order = self._draw.sample(range(len(self._names)), self._count)
        return [
            Neighbour(record(self._names[place]), float(scores[place]), self._names[place])
            for place in order
        ]

    def tensor(self, prompt: str) -> Array | None:
        """A prompt of the library."""
        return self._prompts[prompt]

    def rows(self, dataset: str) -> Sequence[Example] | None:
        """What it was trained on."""
        return self._tasks[dataset].train

    def _vector(self, prompt: Array) -> Array:
        vector = prompt_vector(prompt - self._start, "token")
        return vector / np.linalg.norm(vector)


class Silent:
    """A listener that keeps nothing."""

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        """Not kept."""

    def note(self, message: str, **about: object) -> None:
        """Not kept."""

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        """Not kept."""

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Not kept."""


def record(name: str) -> Prompt:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return Prompt(
        id=name, name="x", owner="x", model="tiny", model_fingerprint="x", length=LENGTH, d_model=1,
        created=moment, dataset=name,
    )  # fmt: skip


# ---- one target -----------------------------------------------------------------------------


class Bench:
    """What all targets share."""

    def __init__(self, engine: Engine, options: argparse.Namespace) -> None:
        self.engine, self.options = engine, options
        self.pack = read_tasks(options.tasks)
        self.tasks = self.pack | generated_tasks(options.generated)
        cache = options.cache
        pack = train_library(engine, self.pack, options.full_steps, cache / "pack.npz")
        made = {name: rows for name, rows in self.tasks.items() if name not in self.pack}
        self.prompts = pack | train_library(engine, made, 150, cache / "generated.npz")
        asked = {name: self.answers(rows.test, pack[name]) for name, rows in self.pack.items()}
        self.full = {name: matched(x, self.pack[name].test) for name, x in asked.items()}

    def answers(self, rows: Sequence[Example], prompt: Array | None) -> Any:
        """The greedy answers, on their way."""
        targets = [row.target or "" for row in rows]
        return self.engine.evaluate([row.input for row in rows], targets, prompt, "bench")

    def target(self, name: str, seed: int) -> dict[str, float]:
        """Every arm's score on the test rows of a task."""
        rows, options = self.pack[name], self.options
        few = list(rows.train[seed * FEW : (seed + 1) * FEW])
        held = list(rows.validation[: options.validation])
        seen = {
            other: prompt
            for other, prompt in self.prompts.items()
            if other not in self.pack or words(other) != words(name)
        }
        if options.no_generated:
            seen = {other: prompt for other, prompt in seen.items() if other in self.pack}
        start = shared(self.engine)
        near = Known(start, seen, self.tasks, options.candidates)
        drawn = Known(start, seen, self.tasks, 3, random.Random(f"{name}/{seed}"))
        found, query, plain = self.augmented(name, seed, few, held, near, None)
        control, _, _ = self.augmented(name, seed, few, held, drawn, query)
        scores = {**found, "plain": plain, "full": self.full[name]}
        return scores | {f"random {arm}": value for arm, value in control.items()}

    def augmented(
        self,
        name: str,
        seed: int,
        few: list[Example],
        held: list[Example],
        sources: Known,
        query: Array | None,
    ) -> tuple[dict[str, float], Array, float]:
        """The scores of auto and its candidates, the query prompt and its score."""
        options, engine = self.options, self.engine
        spec = AugmentSpec(
            name="x", dataset="own", strategy="auto", length=LENGTH, seed=seed,
            optimizer=optimizer(), batch_size=options.batch_size, query_steps=options.query_steps,
            second_steps=options.second_steps, steps=options.steps, polish_steps=20,
            candidates=options.candidates, query=None if query is None else "query",
            checkpoint_every=10**6, evaluate_every=10**6,
        )  # fmt: skip
        own = few
        if not held:
            own, held = hold_out(few, seed)
        task = AugmentationTask(
            id=f"{name}/{seed}/{query is None}", user=name, spec=spec,
            examples=engine.encode(spec, own), start=shared(engine), query=query,
            validation_inputs=[row.input for row in held],
            validation_targets=[row.target or "" for row in held],
        )  # fmt: skip
        augmentation = Augmentation(task, sources, Silent())
        Loop(engine).run(augmentation)
        result = augmentation.result
        assert result is not None
        test = self.pack[name].test
        ways = {way.chain.name: way for way in augmentation.state.ways if way.failed is None}
        asked = {arm: self.answers(test, way.snapshot.prompt) for arm, way in ways.items()}
        scores = {arm: matched(x, test) for arm, x in asked.items()}
        plain = scores.pop("query")
        arms = {arm: scores.get(arm, plain) for arm in FOUND}
        arms["auto"] = {**scores, "query": plain}[result.winner]
        for arm, way in ways.items():  # what auto chose by, kept beside the scores
            arms |= {f"{told} of {arm}": value for told, value in way.scores.items()}
        return arms, ways["query"].snapshot.prompt, plain


def matched(answers: Any, rows: Sequence[Example]) -> float:
    found = [answer.prediction for answer in answers.result()]
    return exact_match(found, [row.target for row in rows])


# ---- all of them ----------------------------------------------------------------------------


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean and its 95 % bootstrap interval over targets."""
    array = np.asarray(values)
    draw = np.random.default_rng(0).integers(len(array), size=(10_000, len(array)))
    low, high = np.percentile(array[draw].mean(axis=1), [2.5, 97.5])
    return float(array.mean()), float(low), float(high)


def report(scores: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Means of all arms and their gains over plain; `scores` by "target/seed"."""
    targets = sorted({key.rpartition("/")[0] for key in scores})
    arms = ["plain", *FOUND, "auto", *(f"random {x}" for x in (*FOUND, "auto")), "full"]

    def mean(target: str, arm: str) -> float:
        found = [x[arm] for key, x in scores.items() if key.rpartition("/")[0] == target]
        return sum(found) / len(found)

    table = Table(title=f"{len(targets)} targets, {len(scores)} runs, test accuracy in percent")
    for heading in ("arm", "mean", "over plain", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    told: dict[str, Any] = {"targets": targets, "runs": len(scores), "arms": {}}
    for arm in arms:
        gain = interval([100 * (mean(t, arm) - mean(t, "plain")) for t in targets])
        average = 100 * sum(mean(t, arm) for t in targets) / len(targets)
        told["arms"][arm] = {"mean": average, "gain": gain}
        table.add_row(arm, f"{average:.1f}", f"{gain[0]:+.1f}", f"{gain[1]:+.1f} to {gain[2]:+.1f}")
    over = interval([100 * (mean(t, "auto") - mean(t, "random auto")) for t in targets])
    told["auto over random"] = over
    console = Console(width=100)
    console.print(table)
    console.print(f"auto over random auto: {over[0]:+.1f} ({over[1]:+.1f} to {over[2]:+.1f})")
    each = Table(title="each target")
    shown = ["plain", *FOUND, "auto", "random auto", "full"]
    for heading in ("target", *shown):
        each.add_column(heading, justify="left" if heading == "target" else "right")
    for target in targets:
        each.add_row(target, *(f"{100 * mean(target, arm):.0f}" for arm in shown))
    console.print(each)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--targets", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generated", type=int, default=320, help="generated tasks of the library")
    parser.add_argument("--no-generated", action="store_true", help="look among the pack alone")
    parser.add_argument("--candidates", type=int, default=192)
    parser.add_argument("--validation", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--full-steps", type=int, default=300)
    parser.add_argument("--query-steps", type=int, default=100)
    parser.add_argument("--second-steps", type=int, default=40)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write all scores there")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    keep_compilations(options.cache / "compilations")
    keep_freed_memory()
    use_every_core()
    engine = Engine(serve(load_builtin("tiny")), EngineOptions(max_residents=64)).start()
    bench = Bench(engine, options)
    targets = choose_targets(bench.pack, bench.full, options.targets)
    settings = {k: v for k, v in vars(options).items() if k not in ("tasks", "cache", "json")}
    kept = options.cache / "-".join(
        ["scores", *(f"{k}={v}" for k, v in sorted(settings.items()) if k not in ("seeds",))]
    )
    scores: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    wanted = [(name, seed) for seed in range(options.seeds) for name in targets]
    open_ones = [(name, seed) for name, seed in wanted if f"{name}/{seed}" not in scores]
    with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
        running = {pool.submit(bench.target, *one): one for one in open_ones}
        for number, future in enumerate(concurrent.futures.as_completed(running), start=1):
            name, seed = running[future]
            scores[f"{name}/{seed}"] = future.result()
            kept.write_text(json.dumps(scores))
            print(f"{number} of {len(open_ones)}: {name}, seed {seed}", file=sys.stderr, flush=True)
    told = report({f"{n}/{s}": scores[f"{n}/{s}"] for n, s in wanted})
    if options.json:
        options.json.write_text(json.dumps({**told, "scores": scores}, indent=1))
    engine.close()


if __name__ == "__main__":
    main()
