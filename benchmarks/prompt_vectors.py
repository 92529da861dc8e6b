"""Which vector of a prompt finds related tasks best.

    python benchmarks/prompt_vectors.py TASKS_FOLDER --cache FOLDER

For every task of the folder a prompt tuned on all of its rows is in the library, and one tuned on
16 of them is the query; the task and its near-twins are hidden. Two truths judge a kind of vector:

    family   tasks that exercise the same ability (benchmarks/kin.json): the area under the ROC
             curve of similarity, and how many of the first three are relatives, of those that
             could be
    best     the prompt with the lowest loss on 32 test rows of the target: how often it is among
             the first three, and the first 24, which augmentation tries on the user's rows

Kinds are those of `ptsys.library.vectors`, and the change as it is, flattened; each for prompts at
the end of training and, with SPoT's early checkpoints, after 50 steps (Vu et al. 2022, section 4).
The cache is that of benchmarks/augmentation.py and may be shared with it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from augmentation import (
    FEW,
    Array,
    TaskRows,
    read_tasks,
    shared,
    train_library,
    words,
)
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ptsys.engine.compilation import keep_compilations
from ptsys.engine.engine import Engine
from ptsys.engine.model import serve
from ptsys.library.vectors import prompt_vector
from ptsys.models.registry import load_builtin
from ptsys.sharding.host_memory import keep_freed_memory
from ptsys.sharding.mesh import use_every_core

KINDS = ("mean", "token", "projection", "flat")
EARLY, TOP, TRIED, TEST_ROWS = 50, 3, 24, 32


def vector(prompt: Array, start: Array, kind: str) -> Array:
    """A prompt's unit vector."""
    change = prompt - start
    flat = change.ravel() if kind == "flat" else prompt_vector(change, kind)  # type: ignore[arg-type]
    return flat / np.linalg.norm(flat)


def losses(
    engine: Engine, tasks: Mapping[str, TaskRows], prompts: Mapping[str, Array], file: Path
) -> dict[str, dict[str, float]]:
    """Every prompt's loss on test rows of every task, nats a token; kept in `file`."""
    known: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
    for target, rows in tasks.items():
        if target in known:
            continue
        test = rows.test[:TEST_ROWS]
        asked = {
            name: engine.gradients([x.input for x in test], [x.target or "" for x in test], prompt)
            for name, prompt in prompts.items()
        }
        known[target] = {name: float(future.result().loss) for name, future in asked.items()}
        file.write_text(json.dumps(known))
    return known


def judged(
    similarity: Mapping[str, NDArray[np.float64]],
    others: Mapping[str, list[str]],
    kin: Mapping[str, str | None],
    loss: Mapping[str, Mapping[str, float]],
) -> dict[str, float]:
    """All four figures, each the mean over the targets that have them."""
    found: dict[str, list[float]] = {"auc": [], "relatives": [], "best in 3": [], "best in 24": []}
    for target, scores in similarity.items():
        names = others[target]
        order = [names[place] for place in np.argsort(-scores, kind="stable")]
        best = min(names, key=loss[target].__getitem__)
        found["best in 3"].append(best in order[:TOP])
        found["best in 24"].append(best in order[:TRIED])
        related = np.array([kin.get(name) == kin.get(target) for name in names])
        if kin.get(target) is None or not related.any() or related.all():
            continue
        pairs = scores[related][:, None] > scores[~related][None]
        found["auc"].append(float(pairs.mean()))
        first = sum(kin.get(name) == kin[target] for name in order[:TOP])
        found["relatives"].append(first / min(TOP, int(related.sum())))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--full-steps", type=int, default=300)
    parser.add_argument("--query-steps", type=int, default=100)
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    keep_compilations(options.cache / "compilations")
    keep_freed_memory()
    use_every_core()
    engine = Engine(serve(load_builtin("tiny"))).start()
    tasks, cache = read_tasks(options.tasks), options.cache
    few = {name: TaskRows(rows.train[:FEW]) for name, rows in tasks.items()}
    late = train_library(engine, tasks, options.full_steps, cache / "pack.npz")
    early = train_library(engine, tasks, EARLY, cache / "early.npz")
    queries = train_library(engine, few, options.query_steps, cache / "queries.npz")
    early_queries = train_library(engine, few, EARLY, cache / "early_queries.npz")
    loss = losses(engine, tasks, late, cache / "losses.json")
    kin = json.loads((Path(__file__).parent / "kin.json").read_text())
    others = {t: [n for n in tasks if words(n) != words(t)] for t in tasks}
    start = shared(engine)
    table = Table(title=f"{len(tasks)} targets, their near-twins hidden, query from {FEW} examples")
    for heading in ("vector", "prompts", "AUC", "relatives in 3", "best in 3", "best in 24"):
        table.add_column(heading, justify="left" if heading in ("vector", "prompts") else "right")
    for told, asked, library in (("final", queries, late), ("early", early_queries, early)):
        for kind in KINDS:
            sources = {name: vector(prompt, start, kind) for name, prompt in library.items()}
            similarity = {}
            for target in tasks:
                query = vector(asked[target], start, kind)
                similarity[target] = np.array([sources[name] @ query for name in others[target]])
            row = judged(similarity, others, kin, loss)
            table.add_row(kind, told, f"{row['auc']:.3f}", *(f"{100 * x:.0f} %" for x in (
                row["relatives"], row["best in 3"], row["best in 24"])))  # fmt: skip
    Console(width=100).print(table)
    engine.close()


if __name__ == "__main__":
    main()
