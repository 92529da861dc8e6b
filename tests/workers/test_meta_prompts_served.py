"""Meta-prompts from end to end: stored like prompts, they write prompts that are kept, sent back or
asked at once; and they are asked as prompts nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tiny_model
from meta_prompts import random_meta
from worker_deployment import Deployment

from ptsys.client import Client
from ptsys.engine.engine import Engine
from ptsys.engine.workbench import load_workbench
from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.kinds.trees import Tree
from ptsys.store.keys import ApiKeys
from ptsys.types.records import Parent, Prompt

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
def engine(served: Deployment) -> Iterator[Engine]:
    engine = Engine(load_workbench(served.root, MODEL).served).start()
    yield engine
    engine.close()


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
