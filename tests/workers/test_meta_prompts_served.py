"""Meta-prompts from end to end: stored like prompts, they write prompts that are kept, sent back or
asked at once; and they are asked as prompts nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tiny_model
from meta_prompts import random_meta, with_generator
from worker_deployment import Deployment, metric

from ptsys.client import Client
from ptsys.engine.engine import Engine
from ptsys.engine.workbench import Workbench, load_workbench
from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.kinds.registry import GENERATOR
from ptsys.kinds.trees import Tree
from ptsys.store.keys import ApiKeys
from ptsys.types.example import Example
from ptsys.types.records import Parent, Prompt
from ptsys.types.writing import WriteSpec

pytestmark = pytest.mark.device
MODEL = tiny_model.NAME
EXAMPLES = tiny_model.rows(5)
INPUTS = ["red stone house", "quick river"]
WAIT = 200.0
WRITES = "a meta-prompt writes prompts: generate one first"


@pytest.fixture(scope="module")
def tree() -> Tree:
    return random_meta(tiny_model.D_MODEL)


@pytest.fixture(scope="module")
def meta(ann: Client, tree: Tree) -> Prompt:
    return ann.prompts.add("letters", tree, model=MODEL)


@pytest.fixture(scope="module")
def bench(served: Deployment) -> Workbench:
    return load_workbench(served.root, MODEL)


@pytest.fixture(scope="module")
def engine(bench: Workbench) -> Iterator[Engine]:
    engine = Engine(bench.served).start()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def passes(served: Deployment, worker_port: int) -> Callable[[], int]:
    """Says how many passes of the worker's have read examples."""
    emitted = 'ptsys_step_seconds_count{kind="emit"}'

    def count() -> int:
        text = httpx.get(f"http://127.0.0.1:{worker_port}/metrics").text
        return int(metric(text, emitted))

    return count


def test_it_is_kept_and_listed_as_what_it_is(ann: Client, meta: Prompt, tree: Tree) -> None:
    assert (meta.kind, meta.length) == ("meta", len(tree["tokens"]))
    listed = [(one.name, one.id, one.model, one.owner) for one in ann.meta_prompts.list()]
    assert ("generic", "generic", "tiny", None) in listed
    assert ("letters", meta.id, MODEL, "ann") in listed
    assert [one.name for one in ann.meta_prompts.list(MODEL)] == ["letters"]
    for name, array in ann.prompts.arrays(meta).items():
        np.testing.assert_array_equal(array, tree[name])


@pytest.mark.parametrize("aggregate", ["each", "mean"])
def test_the_prompt_it_writes_is_the_engines(
    ann: Client, engine: Engine, meta: Prompt, tree: Tree, aggregate: str
) -> None:
    wanted = engine.written(tree, EXAMPLES, "say the color", aggregate=aggregate).result(WAIT)  # type: ignore[arg-type]
    found = ann.meta_prompts.generate(
        EXAMPLES,
        description="say the color",
        meta=meta,
        aggregate=aggregate,  # type: ignore[arg-type]
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_one_with_a_generator_of_its_own_reads_with_it(
    ann: Client, engine: Engine, tree: Tree
) -> None:
    """It is kept with all that it has, reads beside the others, and starts no job that would leave
    its generator out."""
    own = with_generator(tree, tiny_model.CONFIG)
    kept = ann.prompts.add("reads-alone", own, model=MODEL)
    assert (kept.kind, kept.hyperparameters) == ("meta", {"generator": "own"})
    assert kept.bytes == sum(array.nbytes for array in own.values())
    wanted = engine.written(own, EXAMPLES).result(WAIT)
    found = ann.meta_prompts.generate(EXAMPLES, meta=kept)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    shared = engine.written(tree, EXAMPLES).result(WAIT)
    assert np.abs(found - shared).max() > 1e-3
    begun = {"initialization": {"kind": "prompt", "prompt": kept.id}, "steps": 1, "held_out": 0}
    tasks = {"a": EXAMPLES, "b": EXAMPLES}
    with pytest.raises(InvalidInput, match="has a generator of its own") as error:
        ann.train_meta("x", tasks, model=MODEL, **begun)
    assert error.value.field == "generator"
    wrong = own | {GENERATOR + "encoder_norm.scale": np.zeros(3, np.float32)}
    with pytest.raises(InvalidInput, match="the generator has not the shapes of model"):
        ann.prompts.add("wrong", wrong, model=MODEL)


def test_a_prompt_is_kept_with_what_it_was_made_of(
    served: Deployment, ann: Client, meta: Prompt
) -> None:
    kept = ann.meta_prompts.generate(EXAMPLES, meta="letters", name="colors")
    assert (kept.kind, kept.model, kept.d_model) == ("tokens", MODEL, tiny_model.D_MODEL)
    wanted = {"kind": "meta", "meta_prompt": meta.id, "aggregate": "each", "examples": 5}
    assert kept.initialization == wanted
    assert kept.parents == (Parent(prompt=meta.id, role="meta"),)
    written = ann.meta_prompts.generate(EXAMPLES, meta=meta)
    np.testing.assert_allclose(ann.prompts.tensor(kept), written, atol=1e-5)
    with pytest.raises(Conflict, match="colors"):
        ann.meta_prompts.generate(EXAMPLES, meta="letters", name="colors")
    one = ann.predict(kept, INPUTS, max_tokens=4)
    other = ann.predict(None, INPUTS, examples=EXAMPLES, meta=meta, max_tokens=4)
    assert [x.prediction for x in one] == [x.prediction for x in other]
    assert [x.score for x in one] == pytest.approx([x.score for x in other], abs=1e-4)
    spec = {"initialization": {"kind": "prompt", "prompt": "colors"}, "steps": 2, "length": 8}
    job = ann.train("colors-on", EXAMPLES, model=MODEL, **spec)
    assert job.wait(timeout=WAIT).state == "succeeded"


def test_training_starts_at_what_is_written_of_its_rows(
    ann: Client, engine: Engine, bench: Workbench, meta: Prompt, tree: Tree
) -> None:
    still = {"optimizer": {"kind": "sgd", "learning_rate": 1e-6}, "steps": 1, "length": 8}
    start = {"kind": "meta", "meta_prompt": "letters"}
    job = ann.train("colors-begun", EXAMPLES, model=MODEL, initialization=start, **still)
    job.wait(timeout=WAIT)
    wanted = engine.written(tree, EXAMPLES, aggregate="mean").result(WAIT)
    kept = ann.prompts.tensor("colors-begun")
    np.testing.assert_allclose(kept[-len(wanted) :], wanted, atol=1e-4)
    np.testing.assert_allclose(kept[: -len(wanted)], bench.start(8)[: -len(wanted)], atol=1e-4)
    told = ann.prompts.get("colors-begun").initialization
    assert told == {"kind": "meta", "meta_prompt": meta.id, "aggregate": "mean"}
    for wrong, words in (
        ({}, "no meta-prompt ships with"),
        ({"meta_prompt": "colors-begun"}, "is no meta-prompt of model"),
    ):
        with pytest.raises(InvalidInput, match=words) as caught:
            ann.train("no", EXAMPLES, model=MODEL, initialization={"kind": "meta", **wrong})
        assert caught.value.field == "initialization.meta_prompt"
    with pytest.raises(InvalidInput, match="written for one task"):
        ann.train_multitask("no", {"a": EXAMPLES}, model=MODEL, initialization=start)


def test_a_job_writes_many_and_leaves_what_is_there(
    ann: Client, engine: Engine, meta: Prompt, tree: Tree
) -> None:
    tasks = {"one": EXAMPLES, "two": EXAMPLES[:2], "taken": EXAMPLES[1:]}
    ann.prompts.add("many.taken", np.ones((3, tiny_model.D_MODEL), np.float32), model=MODEL)
    told: dict[str, Any] = {"descriptions": {"said": "say the color"}, "meta_prompt": "letters"}
    job = ann.write_prompts("many", tasks, model=MODEL, **told)
    ended = job.wait(timeout=WAIT)
    assert (ended.step, ended.prompt, ended.metrics["failed"]) == (4, None, 1)
    assert (ended.metrics["prompts_a_second"] > 0, ended.metrics["seconds_left"]) == (True, 0)
    logs = [event.data["message"] for event in job.history() if event.kind == "log"]
    assert [text for text in logs if text.startswith("task many.taken: there is another")]
    for name, rows in tasks.items():
        if name != "taken":
            kept = ann.prompts.get(f"many.{name}")
            assert (kept.job, kept.initialization["examples"]) == (job.id, len(rows))
            wanted = engine.written(tree, rows).result(WAIT)
            np.testing.assert_allclose(ann.prompts.tensor(kept), wanted, atol=1e-4)
    before = {one.name: one.id for one in ann.prompts.list() if one.name.startswith("many.")}
    again = ann.write_prompts("many", tasks, model=MODEL, **told).wait(timeout=WAIT)
    assert again.state == "succeeded"
    assert before == {
        one.name: one.id for one in ann.prompts.list() if one.name.startswith("many.")
    }
    assert sorted(before) == ["many.one", "many.said", "many.taken", "many.two"]
    wrong = ann.datasets.add("wrong-tasks", [Example("{}", None)])
    with pytest.raises(InvalidInput, match="row 1: a task has `name`") as caught:
        ann.jobs.submit(WriteSpec(name="no", model=MODEL, dataset=wrong.id, meta_prompt=meta.id))
    assert caught.value.field == "dataset"
    with pytest.raises(InvalidInput, match="no meta-prompt ships with"):
        ann.write_prompts("no", tasks, model=MODEL)


def test_it_is_no_prompt_to_ask_or_to_start_from(ann: Client, meta: Prompt, tree: Tree) -> None:
    with pytest.raises(InvalidInput, match=WRITES):
        ann.predict(meta, INPUTS)
    with pytest.raises(InvalidInput, match=WRITES):
        ann.predict(tree, INPUTS, model=MODEL)
    with pytest.raises(InvalidInput, match=WRITES):
        ann.gradients(meta, EXAMPLES)
    start = {"kind": "prompt", "prompt": "letters"}
    with pytest.raises(InvalidInput, match=WRITES):
        ann.train("no", EXAMPLES, model=MODEL, initialization=start, steps=2)
    with pytest.raises(InvalidInput, match=WRITES):
        ann.train("no", EXAMPLES, model=MODEL, prompt_kind="meta", steps=2)


def test_what_is_wrong_is_told_by_its_field(ann: Client, served: Deployment, meta: Prompt) -> None:
    ann.prompts.add("soft", np.ones((3, tiny_model.D_MODEL), np.float32), model=MODEL)
    wrong = [
        ({"meta": "soft"}, InvalidInput, "not a meta-prompt"),
        ({"meta": "nobody"}, NotFound, "nobody"),
        ({"meta": meta, "model": "tiny"}, InvalidInput, "belongs to model"),
        ({"model": MODEL}, InvalidInput, "no meta-prompt ships with"),
    ]
    for how, kind, words in wrong:
        with pytest.raises(kind, match=words):
            ann.meta_prompts.generate(EXAMPLES, **how)  # type: ignore[call-overload]
    with pytest.raises(InvalidInput, match="examples, a description, or both"):
        ann.meta_prompts.generate(meta=meta)
    with pytest.raises(InvalidInput, match="a prompt, not both"):
        ann.predict("soft", INPUTS, model=MODEL, examples=EXAMPLES)
    _, secret = ApiKeys(served.service.database).create("bob")
    with Client(ann._connection.url, secret) as bob, pytest.raises(NotFound):
        bob.meta_prompts.generate(EXAMPLES, meta=meta.id)


def test_the_same_examples_are_read_once(
    served: Deployment, ann: Client, tree: Tree, passes: Callable[[], int]
) -> None:
    """A second request brings one pass; who may not see the meta-prompt any more gets nothing of
    what it wrote."""
    own = ann.prompts.add("own-letters", tree, model=MODEL, visibility="public")
    _, secret = ApiKeys(served.service.database).create("eve")
    shown = [*EXAMPLES, ("green window", "blue")]
    told = {"examples": shown, "meta": own.id, "model": MODEL, "max_tokens": 4}
    with Client(ann._connection.url, secret) as eve:
        before = passes()
        first = ann.predict(None, INPUTS, **told)  # type: ignore[arg-type]
        assert passes() == before + 1
        second = eve.predict(None, INPUTS, **told)  # type: ignore[arg-type]
        assert passes() == before + 1
        assert [one.prediction for one in first] == [one.prediction for one in second]
        other = {**told, "examples": told["examples"][1:]}  # type: ignore[index]
        eve.predict(None, INPUTS, **other)  # type: ignore[arg-type]
        assert passes() == before + 2
        ann.prompts.update(own, visibility="private")
        with pytest.raises(NotFound):
            eve.predict(None, INPUTS, **told)  # type: ignore[arg-type]
        ann.prompts.delete(own)
        with pytest.raises(NotFound):
            ann.predict(None, INPUTS, **told)  # type: ignore[arg-type]
    assert passes() == before + 2
