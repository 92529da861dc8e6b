from pathlib import Path
from typing import Any

import pytest

from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.store.clock import utc_now
from ptsys.store.database import Database
from ptsys.store.models import Models
from ptsys.store.prompts import Prompts
from ptsys.types.records import Model, Prompt

TINY = Model(
    name="mine", fingerprint="f", source="x", parameters=11_000_000_000, d_model=64, vocab_size=512
)


@pytest.fixture
def prompts(database: Database, tmp_path: Path) -> Prompts:
    return Prompts(database, tmp_path)


@pytest.fixture
def models(database: Database, tmp_path: Path) -> Models:
    return Models(database, tmp_path)


def _prompt(prompts: Prompts, name: str = "p", owner: str = "ann", **values: Any) -> Prompt:
    return Prompt(
        id=prompts.new_id(),
        name=name,
        owner=owner,
        model="tiny",
        model_fingerprint="f",
        length=16,
        d_model=64,
        created=utc_now(),
        **values,
    )


def test_a_record_comes_back_whole(prompts: Prompts) -> None:
    made = prompts.add(
        _prompt(
            prompts,
            visibility="shared",
            shared_with=("bob", "eve"),
            initialization={"kind": "text", "text": "x"},
            scores={"accuracy": 0.5},
            tags=("a", "b"),
            steps=7,
        )
    )
    assert prompts.get("p", "ann") == prompts.read(made.id) == made
    assert prompts.get(made.id, "bob") == made.model_copy(update={"shared_with": ()})


def test_names_are_unique_for_each_owner_alone(prompts: Prompts) -> None:
    prompts.add(_prompt(prompts))
    prompts.add(_prompt(prompts, owner="bob"))
    with pytest.raises(Conflict, match="prompts delete p"):
        prompts.add(_prompt(prompts))


def test_only_what_is_given_changes(prompts: Prompts) -> None:
    made = prompts.add(_prompt(prompts, scores={"a": 1.0}))
    changed = prompts.update("p", "ann", name="q", scores={"b": float("nan")}, tags=["x"])
    assert (changed.id, changed.name, changed.tags) == (made.id, "q", ("x",))
    assert changed.scores["a"] == 1.0
    assert prompts.get("q", "ann").scores["b"] != prompts.get("q", "ann").scores["b"]  # NaN
    shared = prompts.update("q", "ann", visibility="shared", shared_with=["bob"])
    assert prompts.update("q", "ann", tags=[]).shared_with == shared.shared_with == ("bob",)
    assert prompts.update("q", "ann", visibility="private").shared_with == ()
    with pytest.raises(NotFound):
        prompts.get(made.id, "bob")


def test_another_users_prompt_is_neither_changed_nor_deleted(prompts: Prompts) -> None:
    made = prompts.add(_prompt(prompts, visibility="public"))
    assert prompts.get("ann/p", "bob") == made
    for reference in (made.id, "p", "ann/p"):
        with pytest.raises(NotFound):
            prompts.update(reference, "bob", visibility="private")
        with pytest.raises(NotFound):
            prompts.delete(reference, "bob")


def test_renaming_to_a_taken_name_is_a_conflict(prompts: Prompts) -> None:
    prompts.add(_prompt(prompts))
    prompts.add(_prompt(prompts, name="q"))
    with pytest.raises(Conflict):
        prompts.update("p", "ann", name="q")
    with pytest.raises(InvalidInput):
        prompts.update("p", "ann", name="../q")


def test_lists_can_be_narrowed(prompts: Prompts) -> None:
    prompts.add(_prompt(prompts))
    prompts.add(_prompt(prompts, owner="bob", visibility="public"))
    assert [prompt.owner for prompt in prompts.list("ann")] == ["bob", "ann"]
    assert [prompt.owner for prompt in prompts.list("ann", owner="ann")] == ["ann"]
    assert prompts.list("ann", model="other") == []


def test_deleting_removes_record_and_tensor(prompts: Prompts) -> None:
    made = prompts.add(_prompt(prompts))
    (prompts.tensor_path(made.id) / "part").mkdir(parents=True)
    assert prompts.delete("p", "ann") == made
    assert not prompts.tensor_path(made.id).exists()
    with pytest.raises(NotFound):
        prompts.read(made.id)


def test_a_model_can_be_recorded_again_but_not_replaced(models: Models) -> None:
    assert models.add(TINY) == models.add(TINY) == models.get("mine")
    with pytest.raises(Conflict):
        models.add(TINY.model_copy(update={"fingerprint": "g"}))
    assert models.list() == [TINY]
    models.path("mine").mkdir(parents=True)
    models.delete("mine")
    assert not models.path("mine").exists()
    with pytest.raises(NotFound, match="models list"):
        models.get("mine")


def test_a_builtin_model_stays(models: Models) -> None:
    models.add(TINY.model_copy(update={"builtin": True}))
    with pytest.raises(Conflict):
        models.delete("mine")
    with pytest.raises(InvalidInput):
        models.path("../mine")
