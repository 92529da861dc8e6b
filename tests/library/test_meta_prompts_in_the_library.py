"""Meta-prompts in the library: each lies where the prompts lie that it was trained on, and is found
near prompts like these."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from library_stores import FINGERPRINT, START, WIDTH, LibraryStores
from meta_prompts import random_meta

from ptsys.errors import InvalidInput
from ptsys.kinds.trees import Tree
from ptsys.library.domain import domain_of, tuned_vectors, written_vectors
from ptsys.library.library import Library
from ptsys.library.starts import library_folder
from ptsys.library.tensors import whole_prompt
from ptsys.library.vectors import prompt_vector
from ptsys.store.prompt_search import ANY
from ptsys.types.library import VECTOR_KINDS, Filters, VectorKind
from ptsys.types.records import Prompt

META = Filters(prompt_kind="meta")
AXES = np.eye(WIDTH)


def learned(stores: LibraryStores, name: str, prompts: list[Prompt], **fields: object) -> Prompt:
    """A meta-prompt that was trained on these."""
    found = [tuned_vectors(x, whole_prompt(stores.prompts, x), START) for x in prompts]
    tree = random_meta(WIDTH) | domain_of([x for x in found if x is not None])
    return stores.add_tree(name, "meta", tree, **fields)


def fill(stores: LibraryStores) -> dict[str, list[Prompt]]:
    """Prompts of two domains, with a meta-prompt of each, and one that says nothing of itself."""
    draw = np.random.default_rng(3)
    made = {
        domain: [
            stores.add(
                f"{domain}-{number}",
                AXES[axis] + 0.3 * draw.normal(size=WIDTH),
                length=3 + number,
                owner="bob",
            )
            for number in range(3)
        ]
        for axis, domain in enumerate(("words", "films"))
    }
    for domain, prompts in made.items():
        start = {"kind": "vocabulary"}  # where it began does not matter
        learned(stores, f"for-{domain}", prompts, owner="bob", initialization=start)
    stores.add_tree("silent", "meta", random_meta(WIDTH), owner="bob")
    return made


def names(found: list) -> list[str]:
    return [one.prompt.name for one in found]


@pytest.mark.parametrize("kind", VECTOR_KINDS)
def test_the_one_for_a_prompts_domain_is_found_first(
    stores: LibraryStores, library: Library, kind: VectorKind
) -> None:
    """By the cosine of its vector and the mean of theirs."""
    made = fill(stores)
    tree = {"prompt": START[-5:] + AXES[0].astype(np.float32)}
    query = stores.add_tree("mine", "tokens", tree, owner="bob")
    own = prompt_vector(np.tile(AXES[0], (5, 1)).astype(np.float32), kind)
    wanted = []
    for prompts in made.values():
        trees = [whole_prompt(stores.prompts, prompt)["prompt"] for prompt in prompts]
        mean = np.mean([prompt_vector(x - START[-len(x) :], kind) for x in trees], axis=0)
        wanted.append(own @ mean / np.linalg.norm(own) / np.linalg.norm(mean))
    found = library.search(query, "bob", kind=kind, filters=META)
    assert names(found) == ["for-words", "for-films"]
    assert [one.score for one in found] == pytest.approx(wanted, abs=1e-5)
    assert [one.comparable for one in found] == [True, True]
    arrays = library.search(tree, "bob", kind=kind, fingerprint=FINGERPRINT, filters=META)
    assert [one.score for one in arrays] == pytest.approx(wanted, abs=1e-5)
    assert {one.prompt.kind for one in library.search(query, "bob", kind=kind)} == {"tokens"}


def test_it_finds_others_and_prompts_of_its_domain(stores: LibraryStores, library: Library) -> None:
    fill(stores)
    meta = stores.prompts.get("for-words", "bob")
    assert names(library.search(meta, "bob")) == ["for-films"]
    near = library.search(meta, "bob", filters=Filters(prompt_kind="tokens"), count=3)
    assert set(names(near)) == {"words-0", "words-1", "words-2"}


def test_what_compares_with_none_is_refused(stores: LibraryStores, library: Library) -> None:
    fill(stores)
    silent = stores.prompts.get("silent", "bob")
    with pytest.raises(InvalidInput, match="'silent' does not say what it was trained on"):
        library.search(silent, "bob")
    keys = {f"encoder_{x}": np.ones((2, 3, WIDTH), np.float32) for x in ("keys", "values")}
    deep = stores.add_tree("deep", "deep", keys, owner="bob")
    with pytest.raises(InvalidInput, match="'deep' does not compare with") as caught:
        library.search(deep, "bob", filters=META)
    assert caught.value.field == "prompt_kind"
    poem = Filters(prompt_kind="poem")
    for search in (library.search, library.find):
        query = silent if search == library.search else "s"
        with pytest.raises(InvalidInput, match="there is no kind 'poem'") as caught:
            search(query, "bob", filters=poem)  # type: ignore[operator]
        assert caught.value.field == "prompt_kind"


def test_only_what_one_may_see_is_found_also_by_words(
    stores: LibraryStores, library: Library
) -> None:
    made = fill(stores)
    query = stores.add("mine", AXES[1], owner="ann")
    assert library.search(query, "ann", filters=META) == []
    stores.prompts.update(stores.prompts.get("for-words", "bob").id, "bob", visibility="public")
    assert names(library.search(query, "ann", filters=META)) == ["for-words"]
    learned(stores, "later", made["films"], owner="ann")
    assert names(library.search(query, "ann", filters=META)) == ["later", "for-words"]
    assert names(library.find("s", "bob", filters=META)) != names(library.find("s", "bob"))
    assert set(names(library.find("s", "bob", filters=META))) == {
        "for-words",
        "for-films",
        "silent",
    }
    stores.prompts.delete(stores.prompts.get("for-words", "bob").id, "bob")
    assert names(library.search(query, "ann", filters=META)) == ["later"]


def test_an_index_that_is_lost_is_made_again(stores: LibraryStores, library: Library) -> None:
    fill(stores)
    query = stores.add("mine", AXES[1], owner="bob")
    before = library.search(query, "bob", filters=META)
    library.refresh(FINGERPRINT)
    folder = library_folder(stores.root, FINGERPRINT) / "meta"
    assert folder.exists()
    shutil.rmtree(folder)
    again = stores.library().search(query, "bob", filters=META)
    assert [(x.prompt.name, x.score) for x in again] == [(x.prompt.name, x.score) for x in before]


def test_its_vectors_are_the_mean_of_those_that_compare() -> None:
    rows = START[-4:] + np.ones((4, WIDTH), np.float32)
    one, other = written_vectors(rows, START), written_vectors(rows[1:] * 2, START)
    kept: Tree = domain_of([one, other])
    np.testing.assert_allclose(kept["domain"], (one + other) / 2, rtol=1e-6)
    assert domain_of([]) == {}
    assert ANY.prompt_kind is None
