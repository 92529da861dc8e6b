"""Meta-prompts as residents: what a step writes and learns, against the host's own writing, plain
autodiff through both networks and finite differences; alone, in company and on several devices."""

from __future__ import annotations

import dataclasses
import types
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from byte_engine import WIDTH
from double_precision import DoublePrecision
from meta_prompts import random_meta, with_generator

from ptsys.engine.engine import Engine
from ptsys.engine.trainings import (
    Checkpointed,
    Evaluated,
    Finished,
    Progress,
    Snapshot,
    Stopped,
    Training,
    TrainingTask,
)
from ptsys.kinds import batch
from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.prompt_kind import Reader
from ptsys.kinds.registry import GENERATOR
from ptsys.kinds.trees import Layout, Tree, shapes_of
from ptsys.models.t5 import attention, kind, layers, network
from ptsys.models.t5.reading import tokens_before
from ptsys.passes.frozen import Frozen
from ptsys.passes.optimizers import SlotState, hyperparameters, initial_state
from ptsys.passes.train import train_step
from ptsys.prompts import meta_kind
from ptsys.prompts.meta_kind import WRITING, written_layout
from ptsys.training.meta import MetaTaskData, MetaTraining
from ptsys.training.meta_answers import with_answers
from ptsys.training.meta_episodes import EpisodeOrder, ShownTask
from ptsys.types.example import Example
from ptsys.types.meta_training import MetaOptions
from ptsys.types.training import Optimizer

TASKS = {
    "first": [Example(f"{a}{b}", a) for a in "abcd" for b in "xyz"],
    "last": [Example(f"{a}{b}", b) for a in "abcd" for b in "xyz"],
    "both": [Example(f"{a}{b}", f"{a} {b}") for a in "abcd" for b in "xyz"],
}
SGD = Optimizer(kind="sgd", learning_rate=0.5)


def options(**given: Any) -> MetaOptions:
    named = [{"name": name} for name in TASKS]
    settings = {"steps": 4, "examples": 3, "tasks_per_step": 2, "batch_size": 6, "optimizer": SGD}
    return MetaOptions(**{"name": "m", "tasks": named, "held_out": 0} | settings | given)


def task(
    engine: Engine, meta: Tree, user: str = "u", teachers: Any = None, **given: Any
) -> TrainingTask:
    """A resident as `ptsys.training.meta` makes it, without tasks that it is scored on."""
    spec, coder = options(**given), engine.model.rows
    together = coder.shown_jointly if spec.aggregate == "joint" else None
    own = [
        ShownTask(coder.shown(rows), together, None, None if teachers is None else teachers[number])
        for number, rows in enumerate(TASKS.values())
    ]
    order = EpisodeOrder(spec, own, meta["start"])
    size = coder.shown_size(min(order.longest, coder.sizes()[-1]))
    count = (order.readings, order.examples, size)
    learns = spec.generator == "own-trained"
    layout = written_layout(
        shapes_of(meta), *count, spec.aggregate, taught=order.taught, generator_learns=learns
    )
    rows = [row for rows in TASKS.values() for row in rows]
    if spec.needs_prompts:
        spec = spec.model_copy(update={"batch_size": 1})
    return TrainingTask(
        id=f"{user}-{spec.seed}",
        user=user,
        spec=spec,
        examples=engine.encode(spec, rows),
        start=Snapshot.start(meta, "meta"),
        order=order.padded(size),
        kind="meta",
        layout=layout,
    )


def finished(handle: Any) -> Snapshot:
    while True:
        event = handle.events.get(timeout=600)
        assert not hasattr(event, "message"), event
        if isinstance(event, Finished):
            return event.snapshot


def reader(frozen: Frozen, context: dict[str, Any]) -> Reader:
    return Reader(frozen.kind, frozen.model(), frozen.execution, context)


def test_a_step_writes_what_the_host_writes(engine: Engine) -> None:
    meta, coder = random_meta(WIDTH), engine.model.rows
    shown = [rows[:3] for rows in TASKS.values()]
    ids = [coder.shown(rows) for rows in shown]
    described = coder.shown_description("say the letters")
    context = np.zeros((4, 4, coder.shown_size(len(described))), np.int32)
    for place, rows in enumerate([*ids, []]):
        for number, row in enumerate([*rows, described] if place > 1 else rows):
            context[place, number, : len(row)] = row
    for aggregate in ("each", "mean"):
        layout = written_layout(shapes_of(meta), 4, 4, context.shape[-1], aggregate, taught=False)
        values = {name: jnp.asarray(x)[None] for name, x in meta.items()}
        beside = reader(engine.model.frozen, {meta_kind.EXAMPLES: jnp.asarray(context)})
        read, length = WRITING.resolve(values, {}, layout, beside)
        asked: list[Any] = [*((rows, None) for rows in shown[:2]), (shown[2], "say the letters")]
        for place, (rows, text) in enumerate([*asked, ((), "say the letters")]):
            host = engine.written(meta, rows, text, aggregate=aggregate).result(300)
            own = np.asarray(read["prompt"])[place, -int(length["prompt"][place]) :]
            np.testing.assert_allclose(own, host, atol=1e-5)


def test_all_examples_in_one_row_are_written_likewise(engine: Engine) -> None:
    meta, coder = random_meta(WIDTH), engine.model.rows
    rows = TASKS["both"][:5]
    ids = coder.shown_jointly(coder.shown(rows))
    text = "".join(f"{row.input}={row.target}\x01" for row in rows).encode()
    own = [0] * 6 + [1 if byte == 1 else byte + 3 for byte in text]
    assert list(ids) == [*own[: len(ids) - 1], 1]
    context = np.zeros((1, 1, coder.shown_size(len(ids))), np.int32)
    context[0, 0, : len(ids)] = ids
    layout = written_layout(shapes_of(meta), 1, 1, context.shape[-1], "joint", taught=False)
    values = {name: jnp.asarray(x)[None] for name, x in meta.items()}
    beside = reader(engine.model.frozen, {meta_kind.EXAMPLES: jnp.asarray(context)})
    read, _ = WRITING.resolve(values, {}, layout, beside)
    host = engine.written(meta, rows, aggregate="joint").result(300)
    assert host.shape == meta["start"].shape
    np.testing.assert_allclose(read["prompt"][0], host, atol=1e-5)
    assert np.abs(host - engine.written(meta, rows, aggregate="mean").result(300)).max() > 1e-3


def plain_loss(engine: Engine, one: TrainingTask, meta: Any, step: int) -> jax.Array:
    """The mean loss of a step's rows under the prompts written, through both networks, with
    nothing of the engine."""
    order, frozen = one.order, engine.model.frozen
    episode, index = order.episode(step), order.indices(step)
    values = {name: x[None] for name, x in meta.items()}
    read, length = WRITING.resolve(values, {}, one.layout, reader(frozen, dict(episode.context)))
    rows = one.examples.features
    features = {name: padded([rows[name][row] for row in index]) for name in rows}
    own = Readings(
        {"prompt": read["prompt"][episode.readings]}, {"prompt": length["prompt"][episode.readings]}
    )
    losses = frozen.kind.losses(frozen.model(), own, features)
    return jnp.sum(losses.loss) / jnp.sum(losses.tokens)


def padded(rows: list[Any]) -> np.ndarray:
    if np.ndim(rows[0]) == 0:
        return np.asarray(rows, np.float32)
    array = np.zeros((len(rows), max(map(len, rows))), np.asarray(rows[0]).dtype)
    array = array.astype(np.int32 if array.dtype.kind == "i" else np.float32)
    for place, row in enumerate(rows):
        array[place, : len(row)] = row
    return array


@pytest.mark.parametrize(
    ("aggregate", "generator"),
    [
        ("each", "shared"),
        ("mean", "shared"),
        ("joint", "shared"),
        ("each", "own-trained"),
        ("each", "own"),
    ],
)
def test_joint_steps_are_plain_autodiff_through_both_networks(
    engine: Engine, aggregate: str, generator: str
) -> None:
    meta = random_meta(WIDTH)
    if generator != "shared":
        meta = with_generator(meta, engine.device.config)
    one = task(engine, meta, aggregate=aggregate, generator=generator)
    snapshot = finished(engine.train(one))
    by_hand = {name: jnp.asarray(x) for name, x in meta.items()}
    for step in range(4):
        gradient = jax.grad(lambda m, s=step: plain_loss(engine, one, m, s))(by_hand)
        if generator == "own":
            own = {name: jnp.zeros_like(x) for name, x in meta.items() if GENERATOR in name}
            assert own.keys() < gradient.keys()
            gradient |= own
        by_hand = jax.tree.map(lambda x, g: x - 0.5 * g, by_hand, gradient)
    for name, x in by_hand.items():
        if generator == "own" and GENERATOR in name:
            assert snapshot.values[name].tobytes() == meta[name].tobytes(), name
            continue
        assert np.abs(np.asarray(x) - meta[name]).max() > 1e-5 or aggregate != "each", name
        np.testing.assert_allclose(snapshot.values[name], x, atol=2e-5, err_msg=name)


@pytest.mark.filterwarnings("ignore:scatter inputs have incompatible types:FutureWarning")
@pytest.mark.parametrize("own", [False, True])
def test_joint_gradients_are_finite_differences(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """In float64, in a random direction of every array, of those of a generator too."""
    meta = random_meta(WIDTH)
    if own:
        meta = with_generator(meta, engine.device.config)
    for module in (attention, layers, network, batch, kind, meta_kind):
        monkeypatch.setattr(module, "jnp", DoublePrecision("jnp"))
    one = task(engine, meta)
    frozen = engine.model.frozen
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        leaves = tuple(jnp.asarray(np.asarray(x), jnp.float64) for x in frozen.leaves)
        double: Any = types.SimpleNamespace(
            model=types.SimpleNamespace(frozen=Frozen(leaves, frozen.structure))
        )
        draw = np.random.default_rng(1)
        values = {name: jnp.asarray(x, jnp.float64) for name, x in meta.items()}
        gradient = jax.grad(lambda m: plain_loss(double, one, m, 0))(values)
        for name, x in values.items():
            way = draw.normal(size=x.shape)
            there, back = (
                plain_loss(double, one, values | {name: x + sign * 1e-5 * way}, 0)
                for sign in (1, -1)
            )
            slope = float(jnp.sum(gradient[name] * way))
            assert abs(slope) > (1e-5 if GENERATOR in name else 1e-4), name
            assert float(there - back) / 2e-5 == pytest.approx(slope, rel=1e-5), name


@pytest.mark.parametrize("loss", ["l2", "cosine", "vmf"])
def test_regression_goes_towards_the_tuned_prompts(engine: Engine, loss: str) -> None:
    meta = random_meta(WIDTH)
    draw = np.random.default_rng(3)
    teachers = [
        meta["start"] + draw.normal(size=meta["start"].shape).astype(np.float32) for _ in TASKS
    ]
    given = {"method": "regression", "loss": loss, "aggregate": "mean", "steps": 40}
    adam = Optimizer(kind="adamw", learning_rate=0.01)
    one = task(engine, meta, loss, teachers, optimizer=adam, **given)
    snapshot = finished(engine.train(one))

    def far(tree: Tree) -> float:
        written = [
            engine.written(tree, rows[:3], aggregate="mean").result(300) for rows in TASKS.values()
        ]
        if loss == "l2":
            return float(np.mean((np.array(written) - np.array(teachers)) ** 2))
        own, their = (np.array(x) - meta["start"] for x in (written, teachers))
        norms = np.linalg.norm(own, axis=-1) * np.linalg.norm(their, axis=-1)
        return float(np.mean(1 - np.sum(own * their, -1) / norms))

    assert far(snapshot.values) < 0.8 * far(meta), loss


def test_users_are_alone_in_company(engine: Engine) -> None:
    """Two users' meta-prompts in the same steps learn what each learns alone, bit for bit but for
    rounding; so another's examples have no gradient for mine."""
    metas = [random_meta(WIDTH, seed) for seed in (0, 1)]
    alone = [
        finished(engine.train(task(engine, meta, f"alone{seed}", seed=seed)))
        for seed, meta in enumerate(metas)
    ]
    handles = [
        engine.train(task(engine, meta, f"beside{seed}", seed=seed))
        for seed, meta in enumerate(metas)
    ]
    for handle, before in zip(handles, alone, strict=True):
        for name, x in finished(handle).values.items():
            np.testing.assert_allclose(x, before.values[name], atol=1e-6)


def slots(metas: list[Tree]) -> SlotState:
    leaves = {
        name: initial_state(
            jnp.stack([jnp.asarray(meta[name]) for meta in metas]),
            jnp.full((len(metas),), len(metas[0][name]), jnp.int32),
        )
        for name in metas[0]
    }
    return SlotState(leaves, jnp.zeros((len(metas),), jnp.int32))


def step(
    frozen: Frozen, one: TrainingTask, metas: list[Tree], contexts: list[Any], slot: np.ndarray
) -> SlotState:
    """One step of slots whose rows are all the first task's."""
    layout: Layout = one.layout
    rows = one.examples.features
    index = one.order.indices(0)
    features = {name: padded([rows[name][row] for row in index]) for name in rows}
    context = {name: np.concatenate([one[name] for one in contexts]) for name in contexts[0]}
    count = len(metas)
    hyper = dict.fromkeys(metas[0], hyperparameters([SGD] * count, [4] * count))
    state, _ = train_step(
        frozen,
        slots(metas),
        hyper,
        np.arange(count, dtype=np.int32),
        Rows(features, slot),
        context,
        layout=layout,
    )
    return state


@pytest.mark.parametrize("generator", ["shared", "own-trained"])
def test_anothers_examples_and_rows_never_reach_mine(engine: Engine, generator: str) -> None:
    """Bit for bit: whatever stands in the other slot."""

    def random(seed: int = 0) -> Tree:
        meta = random_meta(WIDTH, seed)
        own = generator != "shared"
        return with_generator(meta, engine.device.config, seed) if own else meta

    mine = random()
    one = task(engine, mine, generator=generator)
    episode = one.order.episode(0)
    other = {
        name: np.where(x > 0, (x * 7 + 3) % 250 + 3, 0).astype(x.dtype)
        for name, x in episode.context.items()
    }
    slot = episode.readings.astype(np.int32)
    found = [
        step(
            engine.model.frozen,
            one,
            [mine, random(seed)],
            [dict(episode.context), context],
            slot,
        )
        for seed, context in ((5, dict(episode.context)), (6, other))
    ]
    for name in mine:
        a, b = (np.asarray(state.leaves[name].value) for state in found)
        assert a[0].tobytes() == b[0].tobytes(), name
        assert np.abs(a[0] - mine[name]).max() > 0, name


def logs(engine: Engine, prompt: np.ndarray, examples: Any, row: int) -> np.ndarray:
    """The log-probabilities [T, V] of a row's teacher-forced positions, by the model alone."""
    model = engine.model.frozen.model()
    inputs, targets = ([getattr(examples, name)[row]] for name in ("inputs", "targets"))
    own = Readings({"prompt": prompt[None]}, {"prompt": np.array([len(prompt)])})
    encoded = model.encode(jnp.asarray(inputs), *tokens_before(own))
    decoded = model.decoded(encoded, jnp.asarray(targets))
    return np.asarray(jax.nn.log_softmax(model.logits(decoded)[0]))


def test_what_a_prompt_would_answer_is_learned_from(engine: Engine) -> None:
    """Answers are the model's own; the divergence is the textbook's, all other tokens one; and a
    step with it is plain autodiff through both networks."""
    meta = random_meta(WIDTH)
    one = task(engine, meta, answer_weight=0.7, tuning_steps=1)
    draw = np.random.default_rng(7)
    prompts = {place: draw.normal(size=(5, WIDTH)).astype(np.float32) for place in (0, 2)}
    examples = {place: engine.encode(one.spec, rows) for place, rows in enumerate(TASKS.values())}
    place: Any = types.SimpleNamespace(engine=engine, answer=Foretold([]).answer)
    asking = with_answers(place, examples, prompts, 0.7, "u")
    with pytest.raises(StopIteration) as end:
        next(asking)
    rows = end.value.value
    assert rows.weights == [0.7] * 12 + [0.0] * 12 + [0.7] * 12
    for at, (number, row) in {1: (0, 1), 26: (2, 2)}.items():
        wanted = logs(engine, prompts[number], examples[number], row)
        found, tokens = rows.logs[at], rows.tokens[at]
        np.testing.assert_allclose(found, np.sort(wanted)[:, ::-1][:, :8], atol=1e-5)
        np.testing.assert_allclose(found, np.take_along_axis(wanted, tokens, 1), atol=1e-5)

    other, at = draw.normal(size=(3, WIDTH)).astype(np.float32), 26
    features = {name: padded([x[at]]) for name, x in rows.features.items()}
    bare = {name: features[name] for name in ("inputs", "targets")}
    own = Readings({"prompt": other[None]}, {"prompt": np.array([3])})
    kind, model = engine.model.frozen.kind, engine.model.frozen.model()
    both, plain = (kind.losses(model, own, x).loss[0] for x in (features, bare))
    their, mine = np.exp(rows.logs[at]), np.exp(logs(engine, other, examples[2], 2))
    mine = np.take_along_axis(mine, rows.tokens[at], 1)
    p, q = (np.concatenate([x, 1 - x.sum(1, keepdims=True)], 1) for x in (their, mine))
    assert float(both - plain) == pytest.approx(0.7 * float(np.sum(p * np.log(p / q))), rel=1e-3)

    one = dataclasses.replace(one, examples=rows)
    snapshot = finished(engine.train(one))
    by_hand = {name: jnp.asarray(x) for name, x in meta.items()}
    for number in range(4):
        gradient = jax.grad(lambda m, s=number: plain_loss(engine, one, m, s))(by_hand)
        by_hand = jax.tree.map(lambda x, g: x - 0.5 * g, by_hand, gradient)
    for name, x in by_hand.items():
        np.testing.assert_allclose(snapshot.values[name], x, atol=2e-5, err_msg=name)


class Foretold:
    """The place of a course whose resident's events are known before."""

    def __init__(self, events: Any) -> None:
        self.engine = types.SimpleNamespace(validated=self.validated)
        self._events = events

    def validated(self, task: TrainingTask, values: Tree, rows: Any) -> Future[Any]:
        """Nothing is right before the first step."""
        answers: Future[Any] = Future()
        answers.set_result([types.SimpleNamespace(prediction="") for _ in rows.inputs])
        return answers

    def train(self, task: TrainingTask) -> Training:
        training = Training(task, lambda _: None)
        for event in self._events:
            training.put(event)
        return training

    def event(self, training: Training) -> Any:
        yield from ()
        return training.events.get_nowait()

    def answer(self, future: Future[Any]) -> Any:
        yield from ()
        return future.result()


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.checkpoints: list[Any] = []
        self.steps: list[int] = []

    def progress(self, step: int, metrics: Any) -> None:
        pass

    def evaluation(self, step: int, scores: Any, **about: Any) -> None:
        self.steps.append(step)

    def checkpoint(self, checkpoint: Any) -> None:
        self.checkpoints.append(checkpoint)

    def note(self, message: str, **about: Any) -> None:
        pass


def test_a_score_under_way_when_patience_ends_counts_for_nothing(engine: Engine) -> None:
    meta = random_meta(WIDTH)
    given = {"held_out": 1, "patience": 1, "steps": 9, "evaluate_every": 1, "checkpoint_every": 1}
    spec = options(**given).on({name: {"dataset": name} for name in TASKS})
    data = [MetaTaskData(rows, engine.encode(spec, rows)) for rows in TASKS.values()]
    heard = Heard()
    course = MetaTraining("m", "u", spec, data, engine.model.rows, meta, None, heard)
    start = Snapshot.start(meta, "meta")
    at = [dataclasses.replace(start, step=step) for step in range(5)]
    known = Progress(1, 1.0, 1.0)
    events = [
        *(Checkpointed(at[1], known), Evaluated(at[1], {"accuracy": 0.5})),
        *(Checkpointed(at[2], known), Evaluated(at[2], {"accuracy": 0.4})),  # the end
        *(Checkpointed(at[3], known), Evaluated(at[3], {"accuracy": 0.9})),
        Stopped(at[4]),
    ]
    place: Any = Foretold(events)
    steps = course.run(place)
    with pytest.raises(StopIteration) as end:
        next(steps)
    [made] = end.value.value.prompts
    assert (made.steps, made.scores["accuracy"]) == (1, 0.5)
    assert heard.steps == [0, 1, 2]
    # what resumes is scored once more, and ends there again
    assert [one.notes["best"]["since"] for one in heard.checkpoints] == [0]
