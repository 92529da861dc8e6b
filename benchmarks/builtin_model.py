"""What prompts on the built-in model reach on tasks that had no part in its training.

    python benchmarks/builtin_model.py TASKS_FOLDER [--tasks A,B] [--steps 400] [--no-ceiling]

TASKS_FOLDER holds one folder a task with train.jsonl and test.jsonl, and a tasks.json that
describes them. A line a task: the majority answer's accuracy, zero-shot (the frozen model given the
task's description in words), a prompt tuned on 16 and on 400 examples, and full fine-tuning of
the whole model on the same 400 as the ceiling. `kin` names the family of generated pretraining
tasks that exercises the same ability, if any (benchmarks/kin.json): its rows were not copied, but
the generators can emit some of the same pairs.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import queue
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ptsys.data.examples import read_examples
from ptsys.data.features import pad
from ptsys.data.metrics import exact_match, majority
from ptsys.data.order import BatchOrder
from ptsys.engine.buckets import INPUT_LENGTHS, TARGET_LENGTHS, fit
from ptsys.engine.compilation import keep_compilations
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.model import ServedModel, serve
from ptsys.engine.residents import Failed, Finished, Snapshot, Training, TrainingTask
from ptsys.models.execution import Execution
from ptsys.models.registry import load_builtin
from ptsys.passes.batch import Prompts, Rows
from ptsys.passes.frozen import Frozen
from ptsys.passes.loss import row_losses
from ptsys.sharding.host_memory import keep_freed_memory
from ptsys.sharding.mesh import use_every_core
from ptsys.types.example import Example
from ptsys.types.training import Optimizer, TrainingSpec


def submit(
    engine: Engine, name: str, rows: Sequence[Example], options: argparse.Namespace
) -> Training:
    """One prompt's job, from the shared initialization."""
    spec = TrainingSpec(
        name=name,
        dataset=name,
        steps=options.steps,
        batch_size=options.batch_size,
        optimizer=Optimizer(kind=options.optimizer, learning_rate=options.lr, decay="linear"),
        checkpoint_every=1_000_000,
    )
    prompt = engine.model.initialization[-spec.length :]
    data = engine.encode(spec, rows)
    return engine.train(TrainingTask(name, name, spec, data, Snapshot.start(prompt)))


def prompt_of(training: Training, everyone: Collection[Training]) -> np.ndarray:
    """Wait for the tuned prompt, saying twice a minute how far all of them are."""
    while True:
        try:
            event = training.events.get(timeout=30)
        except queue.Empty:
            done = sum(other.progress.step for other in everyone)
            print(f"{done} steps of {len(everyone)} prompts done", file=sys.stderr, flush=True)
            continue
        if isinstance(event, Finished):
            return event.snapshot.prompt
        if isinstance(event, Failed):
            raise RuntimeError(event.message)


def accuracy(
    engine: Engine, rows: Sequence[Example], prompt: np.ndarray | None, lead: str = ""
) -> float:
    """Exact match of greedy answers."""
    inputs, targets = [lead + row.input for row in rows], [row.target for row in rows]
    answers = engine.evaluate(inputs, targets, prompt, "bench").result()
    return exact_match([answer.prediction for answer in answers], targets)


class FineTuner:
    """The ceiling: every weight trained on a task's rows, behind the shared prompt. One compiled
    step serves all tasks of one padded size."""

    def __init__(self, model: ServedModel, steps: int, batch: int) -> None:
        self.model, self.steps, self.batch = model, steps, batch
        self.transform = optax.adamw(optax.linear_schedule(1e-3, 0.0, steps))
        self.engine = Engine(model)  # not started: it encodes

    def tune(self, rows: Sequence[Example]) -> ServedModel:
        """The model after `steps` updates of AdamW from 1e-3, linearly to 0."""
        data = self.engine.encode(TrainingSpec(name="x", dataset="x"), rows)
        width = fit(data.max_input, INPUT_LENGTHS, "input")
        depth = fit(data.max_target, TARGET_LENGTHS, "target")
        inputs, targets = (pad(data.inputs, width, len(rows)), pad(data.targets, depth, len(rows)))
        frozen, order = self.model.frozen, BatchOrder(len(rows), self.batch, 0)
        leaves, state = frozen.leaves, self.transform.init(frozen.leaves)
        for number in range(self.steps):
            index = order.indices(number)
            leaves, state = self._step(leaves, state, inputs[index], targets[index])
        return dataclasses.replace(self.model, frozen=Frozen(leaves, frozen.structure))

    @functools.partial(jax.jit, static_argnums=0)
    def _step(self, leaves, state, x, y):
        prompts = Prompts(jnp.asarray(self.model.initialization)[None], jnp.array([16]))

        def loss(leaves):
            model = Frozen(leaves, self.model.frozen.structure).model()
            model.execution = Execution(vocabulary_block=None)  # the head learns too
            rows = Rows(x, y, jnp.zeros(len(x), jnp.int32))
            found = row_losses(model, prompts, rows)
            return jnp.sum(found.loss) / jnp.sum(found.tokens)

        updates, state = self.transform.update(jax.grad(loss)(leaves), state, leaves)
        return optax.apply_updates(leaves, updates), state


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", help="comma-separated names; all by default")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--optimizer", default="adafactor")
    parser.add_argument("--lr", type=float, default=0.3)
    parser.add_argument("--no-ceiling", action="store_true", help="leave full fine-tuning out")
    options = parser.parse_args()
    keep_freed_memory()
    use_every_core()
    keep_compilations(Path(tempfile.mkdtemp()))  # engines of the same shapes compile once
    described = {
        task["name"]: task for task in json.loads((options.folder / "tasks.json").read_text())
    }
    names = options.tasks.split(",") if options.tasks else sorted(described)
    kin = json.loads((Path(__file__).parent / "kin.json").read_text())
    model = serve(load_builtin("tiny"))
    engine = Engine(model, EngineOptions(max_residents=16)).start()  # so that results come early
    tuner = FineTuner(model, options.steps, options.batch_size)
    rows = {
        name: [read_examples(options.folder / name / f"{part}.jsonl") for part in ("train", "test")]
        for name in names
    }
    jobs = {
        (name, count): submit(engine, f"{name}.{count}", rows[name][0][:count], options)
        for name in names
        for count in (16, 400)
    }
    print(f"{'task':32} {'major':>6} {'zero':>6} {'16':>6} {'400':>6} {'full':>6}  kin")
    passed = 0
    for name in names:
        train, test = rows[name]
        most = majority([row.target for row in train], [row.target for row in test])[1]
        zero = accuracy(engine, test, None, described[name]["description"] + " ")
        few = accuracy(engine, test, prompt_of(jobs[name, 16], jobs.values()))
        full = accuracy(engine, test, prompt_of(jobs[name, 400], jobs.values()))
        ceiling = float("nan")
        if not options.no_ceiling:
            tuned = Engine(tuner.tune(train[:400])).start()
            ceiling = accuracy(tuned, test, model.initialization)
            tuned.close()
        passed += full >= most + 0.20
        print(
            f"{name:32} {most:6.3f} {zero:6.3f} {few:6.3f} {full:6.3f} {ceiling:6.3f}  "
            f"{kin.get(name)}",
            flush=True,
        )
    print(f"{passed} of {len(names)} tasks: tuned on 400 beats the majority answer by 20 points")
    engine.close()


if __name__ == "__main__":
    main()
