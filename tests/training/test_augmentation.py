"""An augmentation on a real (tiny, random) engine, with sources of its own and no jobs."""

import dataclasses
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from waiting import until

from ptsys.engine.engine import Engine
from ptsys.engine.trainings import Finished, Snapshot, Training, TrainingTask
from ptsys.errors import InvalidInput
from ptsys.library.augmentation import query_plan
from ptsys.library.neighbours import Neighbour
from ptsys.store.clock import utc_now
from ptsys.training.augmentation.course import Augmentation
from ptsys.training.augmentation.state import restored
from ptsys.training.augmentation.task import AugmentationTask, Augmented
from ptsys.training.course import Checkpoint, Interrupted
from ptsys.training.loop import Loop
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.records import Prompt
from ptsys.types.training import Optimizer, TrainingSpec

OWN = [Example(input=f"n{i % 5}", target=["ja", "no"][i % 2]) for i in range(16)]
OTHERS = {
    f"ds-{name}": [Example(input=f"{name}{i}", target=["ja", "no"][i % 3 == 0]) for i in range(12)]
    for name in ("a", "b", "c")
}


def prompt(name: str, dataset: str | None = None) -> Prompt:
    return Prompt(
        id=name,
        name=name,
        owner="o",
        model="random",
        model_fingerprint="0" * 16,
        length=8,
        d_model=16,
        created=utc_now(),
        dataset=dataset,
    )


@dataclasses.dataclass
class Library:
    """Three prompts with datasets; remembers what was asked."""

    found: Sequence[Neighbour] = (
        Neighbour(prompt("pr-a"), 0.8, "ds-a"),
        Neighbour(prompt("pr-b"), 0.5, "ds-b"),
        Neighbour(prompt("pr-c"), 0.2, "ds-c"),
    )
    gone: set[str] = dataclasses.field(default_factory=set)
    queries: list[np.ndarray] = dataclasses.field(default_factory=list)
    read: list[str] = dataclasses.field(default_factory=list)

    def find(self, query: np.ndarray) -> Sequence[Neighbour]:
        self.queries.append(query)
        return self.found

    def tensor(self, prompt: str) -> np.ndarray | None:
        seed = ord(prompt[-1])
        return np.random.default_rng(seed).normal(size=(10, 16)).astype(np.float32)

    def rows(self, dataset: str) -> Sequence[Example] | None:
        self.read.append(dataset)
        return None if dataset in self.gone else OTHERS[dataset]


class Notebook:
    """A listener that keeps all, states as a checkpoint would."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.told: list[tuple[int, dict[str, float]]] = []
        self.saved: list[tuple[int, dict[str, np.ndarray], str]] = []

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        self.events.append(("evaluation", {"step": step, **about, **scores}))

    def note(self, message: str, **about: object) -> None:
        self.events.append(("log", {"message": message, **about}))

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        self.told.append((step, dict(metrics)))

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        arrays = {name: array.copy() for name, array in checkpoint.arrays.items()}
        self.saved.append((checkpoint.step, arrays, json.dumps(checkpoint.notes)))

    def messages(self) -> list[str]:
        return [str(data["message"]) for kind, data in self.events if kind == "log"]


def spec(strategy: str, **fields: Any) -> AugmentSpec:
    values = {
        "name": "n",
        "dataset": "ds-own",
        "strategy": strategy,
        "length": 8,
        "batch_size": 4,
        "checkpoint_every": 4,
        "query_steps": 6,
        "second_steps": 6,
        "steps": 6,
        "polish_steps": 2,
        "optimizer": Optimizer(kind="adamw", learning_rate=0.1),
        "own_learning_rate": 0.1,
    }
    return AugmentSpec.model_validate({**values, **fields})


def task(engine: Engine, chosen: AugmentSpec, **fields: Any) -> AugmentationTask:
    values: dict[str, Any] = {
        "id": "job",
        "user": "u",
        "spec": chosen,
        "examples": engine.encode(chosen, OWN),
        "start": engine.model.initialization[-8:],
        "validation_inputs": [row.input for row in OWN[:6]],
        "validation_targets": [row.target for row in OWN[:6]],
    }
    return AugmentationTask(**{**values, **fields})


def run(
    engine: Engine, chosen: AugmentSpec, library: Library | None = None, **fields: Any
) -> tuple[Augmented, Notebook]:
    notebook = Notebook()
    work = Augmentation(task(engine, chosen, **fields), library or Library(), notebook)
    return driven(engine, work), notebook


def driven(engine: Engine, work: Augmentation) -> Augmented:
    """Its result, at its end."""
    Loop(engine, pause=lambda: 0.05).run(work)
    assert work.result is not None
    return work.result


def plain(engine: Engine, start: np.ndarray, rows: list[Example], steps: int) -> np.ndarray:
    """A resident of its own, as a stage should be."""
    chosen = spec("curriculum")
    fields = {"length": 8, "batch_size": 4, "optimizer": chosen.optimizer, "seed": chosen.seed}
    training = engine.train(
        TrainingTask(
            "alone",
            "u",
            TrainingSpec(name="n", dataset="d", steps=steps, **fields),
            engine.encode(chosen, rows),
            Snapshot.start(start),
        )
    )
    while not isinstance(event := training.events.get(timeout=120), Finished):
        pass
    return event.snapshot.prompt


def test_a_curriculum_is_its_stages_one_after_another(engine: Engine) -> None:
    result, notebook = run(engine, spec("curriculum"))
    expected = plain(engine, engine.model.initialization[-8:], OWN, 6)
    for rows in (OTHERS["ds-c"], OTHERS["ds-b"], OTHERS["ds-a"], OWN):
        expected = plain(engine, expected, rows, 6)
    assert np.array_equal(result.prompt, expected)
    assert (result.steps, result.origin, result.winner) == (30, "shared", "curriculum")
    assert {(one.prompt, one.role) for one in result.parents} == {
        (f"pr-{name}", "second") for name in "abc"
    }
    assert notebook.saved[-1][0] < 30  # the end is the job's to keep
    assert max(step for step, _ in notebook.told) <= 30
    assert {metrics["steps"] for _, metrics in notebook.told} == {30.0}
    assert {"accuracy", "validation_loss"} <= set(result.scores)


def test_an_initialization_starts_at_the_nearest_second_prompt(engine: Engine) -> None:
    library = Library()
    result, _ = run(engine, spec("initialization"), library)
    start = library.tensor("pr-a")[-8:]
    np.testing.assert_allclose(result.prompt, plain(engine, start, OWN, 6), atol=1e-5)
    assert (result.steps, result.origin) == (6, "seconds")
    parent = result.parents[0]
    assert (parent.prompt, parent.role, parent.weight) == ("pr-a", "start", 1.0)
    assert library.read == []


def losses_on_own_rows(engine: Engine, library: Library) -> dict[str, float]:
    """Of every prompt of the library."""
    inputs, targets = [row.input for row in OWN], [row.target or "" for row in OWN]
    prompts = {one.prompt.id: library.tensor(one.prompt.id) for one in library.found}
    return {
        name: engine.gradients(inputs, targets, prompt).result().loss
        for name, prompt in prompts.items()
    }


def test_of_more_candidates_those_that_answer_the_rows_best_are_used(engine: Engine) -> None:
    library = Library()
    losses = losses_on_own_rows(engine, library)
    least = min(losses, key=losses.__getitem__)
    result, notebook = run(engine, spec("initialization", neighbours=1), library)
    assert {parent.prompt for parent in result.parents} == {least}
    [found] = [data["seconds"] for _, data in notebook.events if "seconds" in data]
    assert found[0]["loss"] == pytest.approx(losses[least], rel=1e-4)


def test_the_start_is_the_best_or_the_nearest_of_the_second_prompts(engine: Engine) -> None:
    library = Library()
    losses = losses_on_own_rows(engine, library)
    used = sorted(losses, key=losses.__getitem__)[:2]
    for start, wanted in (("best", used[0]), ("nearest", min(used))):  # pr-a is the most alike
        result, _ = run(engine, spec("initialization", neighbours=2, start=start), library)
        assert {parent.prompt for parent in result.parents} == {wanted}


def test_own_rows_after_others_are_learned_gently(engine: Engine) -> None:
    gentle = spec("initialization", own_learning_rate=None)
    assert gentle.gentle_rate == pytest.approx(0.1 / 3)
    whole, _ = run(engine, spec("initialization", start="nearest"))
    careful, _ = run(engine, spec("initialization", start="nearest", own_learning_rate=1e-3))
    start = Library().tensor("pr-a")
    assert start is not None
    moved = [np.abs(made.prompt - start[-8:]).max() for made in (careful, whole)]
    assert moved[0] < 0.1 * moved[1]


def test_a_mixture_sees_all_and_a_vanished_dataset_is_left_out(engine: Engine) -> None:
    chosen = spec("multitask", weights="equal")
    whole, notebook = run(engine, chosen)
    less, other = run(engine, chosen, Library(gone={"ds-b"}))
    assert not np.array_equal(whole.prompt, less.prompt)
    assert {one.prompt for one in less.parents} == {"pr-a", "pr-c"}
    assert any("ds-b is not there" in message for message in other.messages())
    drawn = [data["data"] for kind, data in notebook.events if data.get("stage") == "mixture"]
    assert [part["dataset"] for part in drawn[0]] == [None, "ds-a", "ds-b", "ds-c"]


def test_a_curriculum_goes_on_without_what_is_gone(engine: Engine) -> None:
    result, notebook = run(engine, spec("curriculum"), Library(gone={"ds-a", "ds-b", "ds-c"}))
    assert result.parents == ()
    assert result.steps == 12
    assert sum("is not there" in message for message in notebook.messages()) == 3
    assert notebook.told[-1][1]["steps"] >= 12


def test_auto_keeps_the_best_of_its_candidates_and_tells_all_scores(engine: Engine) -> None:
    result, notebook = run(engine, spec("auto"))
    assert set(result.candidates) == {
        "curriculum",
        "multitask",
        "initialization",
        "second",
        "query",
    }
    ranks = {
        name: (-scores["accuracy"], scores["validation_loss"])
        for name, scores in result.candidates.items()
    }
    assert ranks[result.winner] == min(ranks.values())
    told = {data["candidate"] for kind, data in notebook.events if kind == "evaluation"}
    assert told == set(result.candidates)


def test_the_best_second_prompt_is_a_candidate_as_it_is_and_is_saved(engine: Engine) -> None:
    chosen = spec("auto")
    notebook, library = Notebook(), Library()
    work = Augmentation(task(engine, chosen), library, notebook)
    driven(engine, work)
    [second] = [way for way in work.state.ways if way.chain.name == "second"]
    kept = library.tensor(second.chain.start[0].prompt)
    assert kept is not None
    np.testing.assert_allclose(second.snapshot.prompt, kept[-8:], rtol=1e-4, atol=1e-6)
    states = [restored(arrays, json.loads(notes)) for _, arrays, notes in notebook.saved]
    ways = [way for state in states for way in state.ways if way.chain.name == "second"]
    assert ways
    assert all(np.array_equal(way.snapshot.prompt, second.snapshot.prompt) for way in ways)


def test_auto_tries_a_written_start_for_its_query(engine: Engine) -> None:
    """Both are trained on the rows alike; the better one is searched with, and says where it
    began. A budget without room for it does without."""
    chosen, start = spec("auto"), engine.model.initialization[-8:]
    written = start + np.random.default_rng(5).normal(size=start.shape).astype(np.float32)
    library, notebook = Library(), Notebook()
    work = Augmentation(task(engine, chosen, written=written), library, notebook)
    result = driven(engine, work)
    first = {
        data["candidate"]: data["validation_loss"]
        for kind, data in notebook.events
        if kind == "evaluation" and data["round"] == 0 and "validation_loss" in data
    }
    assert set(first) == {"query", "written"}
    ends = {"query": plain(engine, start, OWN, 6), "written": plain(engine, written, OWN, 6)}
    [better] = [name for name, end in ends.items() if np.allclose(library.queries[0], end, 1e-3)]
    assert work.state.origin in {"query": ("shared",), "written": ("written",)}[better]
    assert result.winner != "query"
    states = [restored(arrays, json.loads(notes)) for _, arrays, notes in notebook.saved]
    assert {len(state.ways) for state in states if state.round == 0} == {2}
    tight = spec("auto", budget=25, rounds=2, neighbours=2)
    assert len(query_plan(tight, written=True).chains) == 1
    assert not query_plan(spec("auto", query="pr-a"), written=True).chains[0].stages


def test_auto_keeps_to_its_budget(engine: Engine) -> None:
    _, notebook = run(engine, spec("auto", budget=34, rounds=2, neighbours=2))
    made = max(step for step, _ in notebook.told)
    assert made <= 34
    assert all(metrics["steps"] <= 34 for _, metrics in notebook.told)


def test_the_result_is_the_next_rounds_query(engine: Engine) -> None:
    library = Library()
    result, notebook = run(engine, spec("curriculum", rounds=3), library)
    assert len(library.queries) == 3
    one, _ = run(engine, spec("curriculum"), other := Library())
    assert np.array_equal(library.queries[0], other.queries[0])
    assert np.array_equal(library.queries[1], one.prompt)
    assert result.steps == 6 + 3 * 24
    assert sum("second prompts found" in message for message in notebook.messages()) == 3


def test_nothing_alike_is_plain_training_and_is_told(engine: Engine) -> None:
    result, notebook = run(engine, spec("multitask"), Library(found=()))
    expected = plain(engine, plain(engine, engine.model.initialization[-8:], OWN, 6), OWN, 6)
    assert np.array_equal(result.prompt, expected)
    assert (result.winner, result.parents) == ("plain", ())
    assert any("plain training" in message for message in notebook.messages())


def test_a_query_that_is_given_is_searched_with_as_it_is(engine: Engine) -> None:
    given = np.random.default_rng(5).normal(size=(8, 16)).astype(np.float32)
    library = Library()
    result, notebook = run(engine, spec("curriculum", query="pr-q"), library, query=given)
    assert np.array_equal(library.queries[0], given)
    assert notebook.saved[0][0] == 0  # the plan, before anything is trained
    assert (result.steps, result.origin) == (24, "query")


@pytest.mark.parametrize("strategy", ["curriculum", "multitask", "initialization"])
def test_every_saved_state_leads_to_the_same_bits_and_asks_for_nothing_anew(
    engine: Engine, strategy: str
) -> None:
    chosen = spec(strategy, rounds=2)
    result, notebook = run(engine, chosen)
    steps = [step for step, _, _ in notebook.saved]
    assert steps == sorted(set(steps))
    for step, arrays, notes in notebook.saved:
        library = Library()
        state = restored(arrays, json.loads(notes))
        assert state.step == step
        work = Augmentation(task(engine, chosen), library, Notebook(), state)
        again = driven(engine, work)
        assert np.array_equal(again.prompt, result.prompt), step
        assert (again.parents, again.steps) == (result.parents, result.steps)
        assert len(library.queries) == 2 - json.loads(notes)["round"]


def test_stopped_anywhere_it_goes_on_from_there(engine: Engine) -> None:
    chosen = spec("curriculum", second_steps=400, checkpoint_every=1000)
    result, _ = run(engine, chosen)
    notebook, loop = Notebook(), Loop(engine)
    work = Augmentation(task(engine, chosen), Library(), notebook)
    endings: list[Any] = []
    thread = threading.Thread(target=lambda: endings.append(loop.run(work)))
    thread.start()
    until(lambda: any(data.get("stage") == "second-2" for _, data in list(notebook.events)), 60)
    loop.stop()
    thread.join(60)
    assert not thread.is_alive()
    [ending] = endings
    assert isinstance(ending, Interrupted)
    assert ending.checkpoint is not None
    assert 406 <= ending.checkpoint.step == work.state.step < result.steps
    state = restored(ending.checkpoint.arrays, json.loads(json.dumps(ending.checkpoint.notes)))
    again = driven(engine, Augmentation(task(engine, chosen), Library(), notebook, state))
    assert np.array_equal(again.prompt, result.prompt)


def test_a_diverging_chain_fails_alone_in_auto_and_the_job_otherwise(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = engine.train

    def broken(task: TrainingTask, told: Callable[[], object]) -> Training:
        if "/initialization/" in task.id:
            task.start.first["prompt"][0, 0] = np.nan  # as a restored optimizer state might be
        return train(task, told)

    monkeypatch.setattr(engine, "train", broken)
    result, notebook = run(engine, spec("auto"))
    assert set(result.candidates) == {"curriculum", "multitask", "second", "query"}
    assert any("initialization is left out" in message for message in notebook.messages())
    with pytest.raises(InvalidInput, match="no longer finite"):
        run(engine, spec("initialization"))
