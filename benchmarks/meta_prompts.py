"""What meta-prompts write for tasks that they did not learn from, beside tuning.

    python benchmarks/meta_prompts.py TASKS_FOLDER --cache FOLDER [--seeds 3]

Twenty-four targets of the folder; the meta-prompts of the table learn from its other tasks, less
near-twins of a target, and from generated tasks, less the families that exercise a target's ability
(benchmarks/kin.json). A seed draws 16 examples of each target. The arms, exact match on 100 test
rows in percent:

    zero           the frozen model, the task's description before the input
    in-context     the frozen model, as many examples before the input as it holds
    mean prompt    the mean of the prompts that were tuned on the other tasks
    nearest        of these the one nearest to the prompt tuned on the 16 rows
    generic        written by the meta-prompt that ships with the model, from the 16 examples
    joint          the same, trained further by joint training
    own            the same, with a generator of its own that learned too
    l2, cosine, vmf  the same, trained by regression on the other tasks' prompts
    described      by the joint one, from the description alone
    shuffled       by the joint one, from examples whose answers changed places (control)
    undescribed    by the joint one, from another task's description (control)
    generic+10, generic+60, joint+10, joint+60   written, then tuned so many steps on the 16 rows
    tuned 10, tuned  tuned for 10 and for 60 steps from the shared start
    full           tuned for 300 steps on 400 rows

Then by the number of examples, and by how 5 and 10 of 400 were chosen; and what a prompt costs. All
with 95 % bootstrap intervals over targets. The cache keeps prompts, meta-prompts and scores.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from augmentation import (
    LENGTH,
    Array,
    Silent,
    finished,
    generated_tasks,
    interval,
    matched,
    optimizer,
    read_tasks,
    shared,
    train_library,
    words,
)
from rich.console import Console
from rich.table import Table

from ptsys.engine.compilation import keep_compilations
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.model import serve
from ptsys.engine.trainings import Snapshot, TrainingTask
from ptsys.kinds.registry import GENERATOR
from ptsys.kinds.trees import Tree
from ptsys.library.vectors import prompt_vector
from ptsys.models.registry import load_builtin
from ptsys.prompts.meta import META
from ptsys.selection.pool import Pool
from ptsys.selection.registry import choose
from ptsys.sharding.host_memory import keep_freed_memory
from ptsys.sharding.mesh import use_every_core
from ptsys.training.course import Completed
from ptsys.training.loop import Loop
from ptsys.training.meta import MetaTaskData, MetaTraining
from ptsys.types.example import Example
from ptsys.types.meta_training import MetaSpec
from ptsys.types.requests import Aggregate
from ptsys.types.selection import SelectionMethod
from ptsys.types.training import Optimizer, TrainingSpec

FEW, MEANS = 16, 8
TARGETS = (
    *(f"clinc_{x}" for x in ("auto_and_commute", "banking", "credit_cards")),
    *(f"clinc_{x}" for x in ("kitchen_and_dining", "meta", "small_talk", "work")),
    *("fv_alphabetically_first_5", "fv_alphabetically_last_5", "fv_animal_v_object_5"),
    *("fv_capitalize", "fv_capitalize_first_letter", "fv_choose_first_of_5"),
    *("fv_choose_last_of_5", "fv_choose_middle_of_5", "fv_color_v_animal_5"),
    *("fv_fruit_v_animal_5", "fv_lowercase_first_letter", "fv_object_v_concept_5"),
    *("fv_present_past", "fv_singular_plural", "fv_verb_v_adjective_5", "snips", "trec"),
)
COUNTS = (1, 2, 4, 8, 16, 32)
METHODS: tuple[SelectionMethod, ...] = ("random", "kmeans", "contrastive")


class Bench:
    """The engine, the tasks and what was learned of them."""

    def __init__(self, engine: Engine, options: argparse.Namespace) -> None:
        self.engine, self.options = engine, options
        pack = read_tasks(options.tasks)
        described = json.loads((options.tasks / "tasks.json").read_text())
        self.descriptions = {one["name"]: one["description"] for one in described}
        self.targets = {name: pack[name] for name in TARGETS[: options.targets]}
        twins = {words(name) for name in self.targets}
        kin = json.loads((Path(__file__).parent / "kin.json").read_text())
        families = {kin.get(name) for name in self.targets}
        made = generated_tasks(options.generated)
        others = {
            name: rows
            for name, rows in pack.items()
            if name not in self.targets and words(name) not in twins
        }
        others |= {x: rows for x, rows in made.items() if x.partition("/")[0] not in families}
        self.others = others
        say(f"{len(others)} tasks to learn from, {len(self.targets)} targets")
        cache = options.cache
        self.prompts = train_library(engine, others, 100, cache / "others.npz")
        self.full = train_library(engine, self.targets, 300, cache / "full.npz")
        assert engine.model.meta_prompt is not None
        shipped = META.check(engine.model.meta_prompt, engine.device.config)
        self.metas: dict[str, Tree] = {"generic": shipped}
        for name, given in {
            "joint": {},
            "own": {"generator": "own-trained"},
            **{loss: {"method": "regression", "loss": loss} for loss in ("l2", "cosine", "vmf")},
        }.items():
            self.metas[name] = self._trained(name, given)

    def aggregate(self, meta: str) -> Aggregate:
        """What a meta-prompt learned to write; what stands side by side has no tuned prompt."""
        return "each" if meta in ("generic", "joint", "own") else "mean"

    def _trained(self, name: str, given: Mapping[str, object]) -> Tree:
        file = self.options.cache / f"meta-{name}-{self.options.steps}-{self.options.rate}.npz"
        if file.exists():
            return dict(np.load(file))
        began = time.monotonic()
        tasks = [{"name": f"t{n}", "dataset": "x", "prompt": "x"} for n in range(len(self.others))]
        spec = MetaSpec.model_validate(
            {
                "name": name,
                "tasks": tasks,
                "aggregate": self.aggregate(name),
                "held_out": 12,
                "evaluate_every": 100,
                "checkpoint_every": 10**6,
                "truncate": True,
                "max_input_length": 48,
                "steps": self.options.steps,
                "optimizer": Optimizer(
                    kind="adamw", learning_rate=self.options.rate, warmup_steps=20, decay="linear"
                ),
                **given,
            }
        )
        coder = self.engine.model.rows
        draw = np.random.default_rng(0)
        order = [list(self.others)[place] for place in draw.permutation(len(self.others))]
        data = [
            MetaTaskData(rows, self.engine.encode(spec, rows), self.prompts[task])
            for task in order
            for rows in (self.others[task].train[: self.options.rows],)
        ]
        heard = Heard(name)
        start = self.metas["generic"]
        if spec.generator != "shared":
            encoder = self.engine.encoder().result()
            start = start | {GENERATOR + path: array for path, array in encoder.items()}
        course = MetaTraining(name, name, spec, data, coder, start, None, heard)
        ending = Loop(self.engine).run(course)
        if not isinstance(ending, Completed):
            raise RuntimeError(str(ending))
        [made] = ending.prompts
        say(f"{name}: kept step {made.steps}, {time.monotonic() - began:.0f} s")
        np.savez(file, **made.values)
        return made.values

    # ---- arms ---------------------------------------------------------------------------------

    def written(
        self, meta: str, rows: Sequence[Example] = (), description: str | None = None
    ) -> Array:
        """A prompt, in one pass."""
        how = self.aggregate(meta)
        return self.engine.written(self.metas[meta], rows, description, aggregate=how).result()

    def tuned(self, start: Array, rows: Sequence[Example], steps: int, seed: int) -> Array:
        """A prompt tuned from this start, as long as prompts are."""
        spec = TrainingSpec(
            name="x", dataset="x", steps=steps, optimizer=optimizer(), batch_size=8, seed=seed,
            checkpoint_every=10**6, truncate=True,
        )  # fmt: skip
        key = f"{time.monotonic_ns()}"
        begun = Snapshot.start(fitted(start, shared(self.engine)))
        encoded = self.engine.encode(spec, rows)
        return finished(self.engine.train(TrainingTask(key, key, spec, encoded, begun)))

    def score(self, name: str, prompt: Array | None, lead: str = "") -> float:
        """Exact match on the target's test rows."""
        test = self.targets[name].test
        inputs = [lead + row.input for row in test]
        targets = [row.target for row in test]
        return 100 * matched(self.engine.evaluate(inputs, targets, prompt, "bench"), test)

    def target(self, name: str, seed: int, known: Mapping[str, float]) -> dict[str, float]:
        """The arms of one target and seed that are not `known`."""
        return {arm: score() for arm, score in self._arms(name, seed).items() if arm not in known}

    def _arms(self, name: str, seed: int) -> dict[str, Callable[[], float]]:
        rows, start, text = self.targets[name], shared(self.engine), self.descriptions[name]
        order = np.random.default_rng([seed, len(name)]).permutation(len(rows.train))
        few = [rows.train[place] for place in order[:FEW]]
        plain = functools.cache(lambda: self.tuned(start, few, 60, seed))
        names = list(self.targets)
        other = self.descriptions[names[(names.index(name) + len(names) // 2) % len(names)]]

        def nearest() -> Array:
            known = np.stack([_vector(prompt - start) for prompt in self.prompts.values()])
            near = int(np.argmax(known @ _vector(plain() - start)))
            return list(self.prompts.values())[near]

        def further(meta: str, steps: int) -> Array:
            begun = self.engine.written(self.metas[meta], few, aggregate="mean").result()
            return self.tuned(begun, few, steps, seed)

        def chosen(method: SelectionMethod, count: int) -> Array:
            picks = choose(method, self._pool(name), count, seed=seed)
            return self.written("joint", [rows.train[pick.row] for pick in picks])

        prompts: dict[str, Callable[[], Array]] = {
            "mean prompt": lambda: np.mean(list(self.prompts.values()), axis=0),
            "nearest": nearest,
            **{meta: functools.partial(self.written, meta, few) for meta in self.metas},
            "described": lambda: self.written("joint", (), text),
            "shuffled": lambda: self.written("joint", _shuffled(few, seed)),
            "undescribed": lambda: self.written("joint", (), other),
            "tuned 10": lambda: self.tuned(start, few, 10, seed),
            "tuned": plain,
            "full": lambda: self.full[name],
            **{
                f"{meta}+{steps}": functools.partial(further, meta, steps)
                for meta in ("generic", "joint")
                for steps in (10, 60)
            },
            **{
                f"k={count}": functools.partial(
                    self.written, "joint", [rows.train[place] for place in order[:count]]
                )
                for count in COUNTS
            },
            **{
                f"{method} {count}": functools.partial(chosen, method, count)
                for count in (5, 10)
                for method in METHODS
            },
        }
        return {
            "zero": lambda: self.score(name, None, f"{text} "),
            "in-context": lambda: self.score(name, None, self._lead(few)),
            **{
                arm: lambda write=write: self.score(name, write())  # type: ignore[misc]
                for arm, write in prompts.items()
            },
        }

    def _lead(self, few: Sequence[Example]) -> str:
        encode, lead = self.engine.model.vocabulary.encode, ""
        for row in few:
            longer = f"{lead}{row.input} -> {row.target} ; "
            if len(encode(longer)) > self.engine.device.config.max_input_length - 64:
                break
            lead = longer
        return lead

    def _pool(self, name: str) -> Pool:
        rows = self.targets[name].train
        encodings = np.stack(self.engine.encodings([row.input for row in rows]).result())
        return Pool([row.target for row in rows], encodings.astype(np.float32))

    # ---- cost ---------------------------------------------------------------------------------

    def cost(self) -> dict[str, float]:
        """Seconds a prompt, alone and of all targets at once."""
        few = {name: rows.train[:FEW] for name, rows in self.targets.items()}
        start = shared(self.engine)

        def many(make: Callable[[Sequence[Example]], object]) -> float:
            with concurrent.futures.ThreadPoolExecutor(len(few)) as pool:
                list(pool.map(make, few.values()))  # compiled
                began = time.monotonic()
                list(pool.map(make, few.values()))
            return (time.monotonic() - began) / len(few)

        def one(make: Callable[[Sequence[Example]], object]) -> float:
            own = list(few.values())[-4:]
            for rows in own:
                make(rows)
            began = time.monotonic()
            for rows in own:
                make(rows)
            return (time.monotonic() - began) / len(own)

        def write(rows: Sequence[Example]) -> Array:
            return self.written("generic", rows)

        def tune(rows: Sequence[Example]) -> Array:
            return self.tuned(start, rows, 60, 0)

        return {
            "written alone": one(write),
            "tuned alone": one(tune),
            "written in batch": many(write),
            "tuned in batch": many(tune),
        }


class Heard(Silent):
    """Says the scores of what is held out."""

    def __init__(self, name: str) -> None:
        self._name = name

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        """Say it."""
        say(f"{self._name}: step {step}, held out {100 * scores['accuracy']:.1f}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def fitted(prompt: Array, start: Array) -> Array:
    """As long as `start`, whose beginning stands before a shorter one."""
    own = prompt[-LENGTH:]
    return np.concatenate([start[: LENGTH - len(own)], own])


def _shuffled(rows: Sequence[Example], seed: int) -> list[Example]:
    """The same inputs, each with the answer of another."""
    turned = np.roll(np.random.default_rng(seed).permutation(len(rows)), 1)
    return [Example(row.input, rows[place].target) for row, place in zip(rows, turned, strict=True)]


def _vector(change: Array) -> Array:
    vector = prompt_vector(change, "token")
    return vector / np.linalg.norm(vector)


ARMS = (
    *("zero", "in-context", "mean prompt", "nearest", "generic", "joint", "own"),
    *("l2", "cosine", "vmf"),
    *("described", "undescribed", "shuffled", "tuned 10", "generic+10", "joint+10"),
    *("tuned", "generic+60", "joint+60", "full"),
)


def report(
    scores: Mapping[str, Mapping[str, float]], cost: Mapping[str, float]
) -> dict[str, object]:
    """Means and their gains over what is tuned on the same rows; `scores` by "target/seed"."""
    targets = sorted({key.rpartition("/")[0] for key in scores})

    def mean(target: str, arm: str) -> float:
        return float(np.mean([x[arm] for k, x in scores.items() if k.rpartition("/")[0] == target]))

    told: dict[str, object] = {"runs": len(scores), "cost": dict(cost)}
    console = Console(width=110)

    def table(title: str, arms: Sequence[str], over: str) -> None:
        shown = Table("arm", "mean", f"over {over}", "95 % interval", "intents", title=title)
        for arm in arms:
            gain = interval([mean(t, arm) - mean(t, over) for t in targets])
            all_of_it = float(np.mean([mean(t, arm) for t in targets]))
            intents = float(np.mean([mean(t, arm) for t in targets if t.startswith("clinc_")]))
            told[arm] = {"mean": all_of_it, "gain": gain, "intents": intents}
            low, high = gain[1:]
            shown.add_row(
                *(arm, f"{all_of_it:.1f}", f"{gain[0]:+.1f}", f"{low:+.1f} to {high:+.1f}"),
                f"{intents:.1f}",
            )
        console.print(shown)

    table(f"{len(targets)} targets, {len(scores)} runs", ARMS, "tuned")
    table("examples (joint)", [f"k={count}" for count in COUNTS], "k=16")
    for count in (5, 10):
        table("chosen", [f"{method} {count}" for method in METHODS], f"random {count}")
    each = Table("target", *ARMS, title="each target")
    for target in targets:
        each.add_row(target, *(f"{mean(target, arm):.0f}" for arm in ARMS))
    Console(width=200).print(each)
    for name, seconds in cost.items():
        console.print(f"{name}: {1000 * seconds:.1f} ms a prompt")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--targets", type=int, default=len(TARGETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generated", type=int, default=160, help="generated tasks to learn from")
    parser.add_argument("--rows", type=int, default=200, help="rows of a task to learn from")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--json", type=Path, help="write all scores there")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    keep_compilations(options.cache / "compilations")
    keep_freed_memory()
    use_every_core()
    engine = Engine(serve(load_builtin("tiny")), EngineOptions(max_residents=64)).start()
    bench = Bench(engine, options)
    kept = options.cache / f"scores-{options.steps}-{options.rate}-{options.generated}.json"
    scores: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    wanted = [(name, seed) for seed in range(options.seeds) for name in bench.targets]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        running = {
            pool.submit(bench.target, *one, scores.get(f"{one[0]}/{one[1]}", {})): one
            for one in wanted
        }
        for number, future in enumerate(concurrent.futures.as_completed(running), start=1):
            name, seed = running[future]
            scores[f"{name}/{seed}"] = scores.get(f"{name}/{seed}", {}) | future.result()
            kept.write_text(json.dumps(scores))
            say(f"{number} of {len(wanted)}: {name}, seed {seed}")
    told = report({f"{n}/{s}": scores[f"{n}/{s}"] for n, s in wanted}, bench.cost())
    if options.json:
        options.json.write_text(json.dumps({**told, "scores": scores}, indent=1))
    engine.close()


if __name__ == "__main__":
    main()
