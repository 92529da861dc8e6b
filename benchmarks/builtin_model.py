"""What the built-in model can do on tasks that had no part in its training.

    python benchmarks/builtin_model.py TASKS_FOLDER [--model FOLDER] [--tasks A,B] [--json FILE]

TASKS_FOLDER holds one folder a task with train.jsonl and test.jsonl, and a tasks.json that
describes them. A line a task, exact match on its test rows in percent:

    major      the commonest answer of the training rows
    zero       the frozen model given the task's description in words
    text       the frozen model given as many of 16 examples in words as its input holds
    emitted    a prompt that the model itself wrote from 16 examples, in one pass, nothing tuned
    described  a prompt that it wrote from the task's description alone
    mean, pairs  one part alone of the prompt emitted from 16 examples
    wrong      the prompt emitted for another task, as the control
    16, 400    a prompt tuned on 16 rows and on 400 (Adafactor, linear decay)
    all        with --ceiling: every weight tuned on the 400 rows

`kin` names the family of generated pretraining tasks that exercises the same ability, if any
(benchmarks/kin.json): its rows were not copied, but the generators can emit some of the same pairs.
Tasks of like length are computed together, as users' rows are in the service.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import load_file

from ptsys.data.order import BatchOrder
from ptsys.data.shown_examples import ARROW, LABEL
from ptsys.data.vocabulary import Vocabulary, load_vocabulary
from ptsys.kinds.batch import Readings, Rows, gather
from ptsys.kinds.trees import Layout, Leaf
from ptsys.models.builtin_format import read_builtin
from ptsys.models.execution import Execution
from ptsys.models.loaded import LoadedModel
from ptsys.models.registry import BUILTIN
from ptsys.models.t5.decoding import choices
from ptsys.models.t5.kind import text_rows, token_readings
from ptsys.passes.answers import answer
from ptsys.passes.emit import MEANS, MetaPrompt, assemble, read
from ptsys.passes.frozen import Frozen, freeze
from ptsys.passes.optimizers import SlotState, hyperparameters, initial_state
from ptsys.passes.train import train_step
from ptsys.pretraining.episodes import read_description, read_example
from ptsys.prompts.tokens import NAME
from ptsys.sharding.host_memory import keep_freed_memory
from ptsys.types.training import Optimizer

WIDTHS = (32, 64, 160)  # tokens of an input, cut there
FEW, MANY, TEST, PROMPT, SIDE, ANSWER = 16, 400, 100, 16, 128, 40
INTENTS = ("clinc_", "banking77", "snips")


@dataclasses.dataclass(frozen=True)
class Task:
    """A task's rows as (input, target), and what it is in words."""

    name: str
    description: str
    train: Sequence[tuple[str, str]]
    test: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Model:
    """What is tried: a frozen model, its words, its shared start and its meta-prompt."""

    frozen: Frozen
    vocabulary: Vocabulary
    shared: jax.Array
    meta: MetaPrompt | None


Scores = dict[str, dict[str, float]]


def read_tasks(folder: Path, names: Sequence[str] | None) -> list[Task]:
    """The tasks of a folder."""
    described = {x["name"]: x for x in json.loads((folder / "tasks.json").read_text())}

    def rows(name: str, part: str, count: int) -> list[tuple[str, str]]:
        lines = (folder / name / f"{part}.jsonl").read_text().splitlines()[:count]
        return [(row["input"], row["target"]) for row in map(json.loads, lines)]

    return [
        Task(
            name,
            described[name]["description"],
            rows(name, "train", MANY),
            rows(name, "test", TEST),
        )
        for name in names or sorted(described)
    ]


def load(folder: Path) -> Model:
    """A model folder in the compact form, with the meta-prompt beside it if there is one."""
    loaded: LoadedModel = read_builtin(folder, "model")
    config = loaded.config
    words = load_vocabulary(
        config.tokenizer, loaded.vocabulary_path, config.vocab_size, loaded.sentinels
    )
    meta = None
    for place in (folder / "meta_prompt.safetensors", folder.parent / "meta_prompt.safetensors"):
        if place.is_file():
            stored = load_file(place)
            meta = MetaPrompt(**{name: jnp.asarray(x, jnp.float32) for name, x in stored.items()})
            break
    chunk = 512 if jax.default_backend() == "cpu" else 1 << 17
    execution = Execution(chunk_positions=chunk)
    return Model(
        freeze(loaded.model, execution=execution), words, jnp.asarray(loaded.initialization), meta
    )


# ---- one group of tasks of like length --------------------------------------------------------


class Group:
    """Tasks whose rows have the same padded shape, answered and tuned together."""

    def __init__(self, model: Model, tasks: Sequence[Task], width: int) -> None:
        self.model, self.tasks, self.width = model, tasks, width
        self.slot = np.repeat(np.arange(len(tasks)), [len(task.test) for task in tasks])

    def _ids(self, text: str, width: int) -> np.ndarray:
        row = np.zeros(width, np.int32)
        ids = [*self.model.vocabulary.encode(text)[: width - 1], 1]
        row[: len(ids)] = ids
        return row

    def _rows(self, rows: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        return (
            np.stack([self._ids(source, self.width) for source, _ in rows]),
            np.stack([self._ids(target, ANSWER) for _, target in rows]),
        )

    def scores(self, prompts: Readings, lead: Sequence[str] | None = None) -> np.ndarray:
        """Exact match of every task's test rows under its prompt, in percent; `lead` stands before
        the inputs of a task."""
        width = self.width if lead is None else max(WIDTHS[-1], self.width) + 96
        texts = [
            ("" if lead is None else lead[i]) + source
            for i, task in enumerate(self.tasks)
            for source, _ in task.test
        ]
        inputs = np.stack([self._ids(text, width) for text in texts])
        right: list[bool] = []
        wanted = [target.strip() for task in self.tasks for _, target in task.test]
        at_once = 2048
        for start in range(0, len(inputs), at_once):
            part = inputs[start : start + at_once]
            slot = self.slot[start : start + at_once]
            short = at_once - len(part)
            part = np.pad(part, ((0, short), (0, 0)))
            slot = np.pad(slot, (0, short), constant_values=-1)
            wishes = choices(at_once, ANSWER)._asdict()
            found = answer(
                self.model.frozen,
                prompts,
                Rows({"inputs": part, **wishes}, slot),
                operation="generate",
                options=(("max_tokens", ANSWER),),
            ).tokens
            answers = [self.model.vocabulary.decode(row) for row in np.asarray(found).tolist()]
            right += [
                answer.strip() == target
                for answer, target in zip(answers, wanted[start : start + at_once], strict=False)
            ]
        return 100 * np.bincount(self.slot, np.array(right, float)) / np.bincount(self.slot)

    def nothing(self) -> Readings:
        """No prompt at all."""
        width = self.model.frozen.config.d_model
        return token_readings(
            jnp.zeros((len(self.tasks), 1, width)), jnp.zeros((len(self.tasks),), jnp.int32)
        )

    def shots(self) -> list[str]:
        """As many of the first examples in words as leave room for an input."""
        encode = self.model.vocabulary.encode
        leads = []
        for task in self.tasks:
            lead = ""
            for source, target in task.train[:FEW]:
                longer = f"{lead}{source} -> {target} ; "
                if len(encode(longer)) > WIDTHS[-1] + 60 - min(self.width, 64):
                    break
                lead = longer
            leads.append(lead)
        return leads

    def emitted(
        self, count: int, *, examples: bool = True, described: bool = False, **parts: bool
    ) -> Readings:
        """A prompt for every task, from its first `count` examples or its description."""
        meta, encode = self.model.meta, self.model.vocabulary.encode
        assert meta is not None
        width = LABEL + 2 + self.width
        texts = np.zeros((len(self.tasks), count + 1, width), np.int32)
        for i, task in enumerate(self.tasks):
            if examples:
                for j, (source, target) in enumerate(task.train[:count]):
                    texts[i, j] = read_example(encode(source), encode(target), encode(ARROW), width)
            if described:
                texts[i, count] = read_description(encode(task.description), width)
        given = {name: jnp.full((len(texts),), value) for name, value in parts.items()}
        return _emit(self.model.frozen, meta, self.model.shared[-MEANS:], texts, given)

    def tuned(self, count: int, steps: int, rate: float) -> Readings:
        """A prompt for every task, tuned on its first `count` rows from the shared start."""
        tasks, batch = len(self.tasks), 16
        data = [self._rows(task.train[:count]) for task in self.tasks]
        start = jnp.tile(self.model.shared[None, -PROMPT:], (tasks, 1, 1))
        leaf = initial_state(start, jnp.full((tasks,), PROMPT, jnp.int32))
        state = SlotState({NAME: leaf}, jnp.zeros((tasks,), jnp.int32))
        layout = Layout("tokens", (Leaf(NAME, start.shape[1:]),), PROMPT)
        optimizer = Optimizer(kind="adafactor", learning_rate=rate, decay="linear")
        hyper = {NAME: hyperparameters([optimizer] * tasks, [steps] * tasks)}
        orders = [BatchOrder(len(inputs), batch, 0) for inputs, _ in data]
        slot, everyone = np.repeat(np.arange(tasks), batch), np.arange(tasks)
        for step in range(steps):
            drawn = [order.indices(step) for order in orders]
            inputs = np.concatenate([x[i] for (x, _), i in zip(data, drawn, strict=True)])
            targets = np.concatenate([y[i] for (_, y), i in zip(data, drawn, strict=True)])
            rows = text_rows(inputs, targets, slot)
            state, _ = train_step(
                self.model.frozen, state, hyper, everyone, rows, {}, layout=layout
            )
        return token_readings(state.leaves[NAME].value, state.leaves[NAME].length)

    def ceiling(self, steps: int = 300) -> np.ndarray:
        """Exact match with every weight tuned on the 400 rows, behind the shared prompt."""
        found = []
        for task in self.tasks:
            model = dataclasses.replace(
                self.model, frozen=_fine_tuned(self.model, self, task, steps)
            )
            shared = token_readings(self.model.shared[None, -PROMPT:], jnp.array([PROMPT]))
            found.append(Group(model, [task], self.width).scores(shared)[0])
        return np.array(found)


@jax.jit
def _emit(
    frozen: Frozen,
    meta: MetaPrompt,
    start: jax.Array,
    texts: jax.Array,
    parts: Mapping[str, jax.Array],
) -> Readings:
    readings = read(frozen.model(), meta, texts.reshape(-1, texts.shape[-1]), LABEL)
    return assemble(readings, len(texts), start, SIDE, **parts)


def _fine_tuned(model: Model, group: Group, task: Task, steps: int) -> Frozen:
    inputs, targets = group._rows(task.train)
    transform = optax.adamw(optax.linear_schedule(1e-3, 0.0, steps))
    frozen, order = model.frozen, BatchOrder(len(inputs), 16, 0)
    shared = token_readings(model.shared[None, -PROMPT:], jnp.array([PROMPT]))

    @jax.jit
    def step(leaves, state, x, y):
        def loss(leaves):
            whole = Frozen(leaves, frozen.structure).model()
            whole.execution = Execution(vocabulary_block=None)  # the head learns too
            own = gather(shared, jnp.zeros(len(x), jnp.int32))
            found = frozen.kind.losses(whole, own, {"inputs": x, "targets": y})
            return jnp.sum(found.loss) / jnp.sum(found.tokens)

        updates, state = transform.update(jax.grad(loss)(leaves), state, leaves)
        return optax.apply_updates(leaves, updates), state

    leaves, state = frozen.leaves, transform.init(frozen.leaves)
    for number in range(steps):
        index = order.indices(number)
        leaves, state = step(leaves, state, inputs[index], targets[index])
    return Frozen(leaves, frozen.structure)


# ---- the table ---------------------------------------------------------------------------------


def grouped(model: Model, tasks: Sequence[Task]) -> list[Group]:
    """Tasks by the width that 95 % of their inputs fit."""
    by_width: dict[int, list[Task]] = {}
    for task in tasks:
        lengths = [len(model.vocabulary.encode(source)) + 1 for source, _ in task.train]
        need = np.percentile(lengths, 95)
        width = next((w for w in WIDTHS if need <= w), WIDTHS[-1])
        by_width.setdefault(width, []).append(task)
    return [Group(model, found, width) for width, found in sorted(by_width.items())]


def measure(group: Group, options: argparse.Namespace) -> Scores:
    """Every column of every task of a group."""
    columns: dict[str, np.ndarray] = {}

    def add(name: str, values: Callable[[], np.ndarray]) -> None:
        if options.columns and name.partition("@")[0] not in options.columns.split(","):
            return
        columns[name] = values()
        spent = time.monotonic() - began
        print(
            f"{group.width:4} {name:10} {columns[name].mean():5.1f}  {spent:.0f} s",
            file=sys.stderr,
            flush=True,
        )

    began = time.monotonic()
    described = [f"{task.description} " for task in group.tasks]
    add("major", lambda: np.array([_majority(task) for task in group.tasks]))
    add("zero", lambda: group.scores(group.nothing(), described))
    add("text", lambda: group.scores(group.nothing(), group.shots()))
    if group.model.meta is not None:
        parts: dict[str, dict[str, bool]] = {
            "emitted": {},
            "mean": {"pairs": False},
            "pairs": {"kind": False},
            "described": {"examples": False, "described": True, "pairs": False},
        }
        for name, chosen in parts.items():
            add(name, lambda chosen=chosen: group.scores(group.emitted(FEW, **chosen)))
        if len(group.tasks) > 1:
            add("wrong", lambda: group.scores(_rolled(group.emitted(FEW))))
    for rate in options.rates:
        tail = "" if len(options.rates) == 1 else f"@{rate:g}"
        add(f"16{tail}", lambda rate=rate: group.scores(group.tuned(FEW, 60, rate)))
        add(f"400{tail}", lambda rate=rate: group.scores(group.tuned(MANY, options.steps, rate)))
    if options.ceiling:
        add("all", group.ceiling)
    return {
        task.name: {name: float(values[i]) for name, values in columns.items()}
        for i, task in enumerate(group.tasks)
    }


def _rolled(prompts: Readings) -> Readings:
    """Every task with the prompt of the one before it."""
    return jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), prompts)


def _majority(task: Task) -> float:
    targets = [target for _, target in task.train]
    most = max(set(targets), key=targets.count)
    return 100 * float(np.mean([target == most for _, target in task.test]))


def _mean(scores: Iterable[Mapping[str, float]], column: str) -> float:
    """Over the tasks that have the column."""
    return float(np.mean([found[column] for found in scores if column in found]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=BUILTIN / "tiny", help="a model folder")
    parser.add_argument("--tasks", help="comma-separated names; all by default")
    parser.add_argument("--steps", type=int, default=300, help="of tuning on 400 rows")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.3], help="Adafactor's")
    parser.add_argument("--ceiling", action="store_true", help="tune all weights too")
    parser.add_argument("--columns", help="comma-separated; all by default")
    parser.add_argument("--json", type=Path, help="where the scores go too")
    options = parser.parse_args()
    keep_freed_memory()
    model = load(options.model)
    tasks = read_tasks(options.folder, options.tasks and options.tasks.split(","))
    kin = json.loads((Path(__file__).parent / "kin.json").read_text())
    scores: Scores = {}
    for group in grouped(model, tasks):
        scores |= measure(group, options)
        if options.json:
            options.json.write_text(json.dumps(scores, indent=1))
    columns = list(next(iter(scores.values())))
    print("| task | " + " | ".join(columns) + " | kin |")
    print("|---" * (len(columns) + 2) + "|")
    for name, found in sorted(scores.items()):
        cells = [f"{found.get(column, float('nan')):.0f}" for column in columns]
        print(f"| {name} | " + " | ".join(cells) + f" | {kin.get(name)} |")
    means = [_mean(scores.values(), column) for column in columns]
    print("| mean | " + " | ".join(f"{mean:.1f}" for mean in means) + " | |")
    intents = [found for name, found in scores.items() if name.startswith(INTENTS)]
    if intents:
        means = [_mean(intents, column) for column in columns]
        print("| intents | " + " | ".join(f"{mean:.1f}" for mean in means) + " | |")


if __name__ == "__main__":
    main()
