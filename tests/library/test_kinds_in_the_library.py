"""Prompts of every kind in the library: each compares with its own kind, and with no other."""

from __future__ import annotations

import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from library_stores import FINGERPRINT, START, WIDTH, LibraryStores

from ptsys.errors import InvalidInput
from ptsys.kinds.registry import STORED_KINDS, prompt_kind
from ptsys.kinds.trees import Tree
from ptsys.library.library import Library
from ptsys.library.map import prompt_map
from ptsys.types.library import VectorKind
from ptsys.types.records import Prompt

MODEL = SimpleNamespace(d_model=WIDTH, encoder_layers=3, decoder_layers=2, inner_dim=6)
VECTORS: tuple[VectorKind, ...] = ("mean", "token", "projection")
ALL = pytest.mark.parametrize("kind", STORED_KINDS)


def moved(kind: str, *tasks: str, length: int = 4, noise: str = "") -> Tree:
    """A prompt that began where all of its kind do, and moved as these tasks move it, each array
    in a way of its own; `noise` names a little that is nobody else's."""
    tree = prompt_kind(kind).start(START[-length:], MODEL)
    for name, array in tree.items():
        for task, scale in [*((one, 1.0) for one in tasks), (noise, 0.3)]:
            draw = np.random.default_rng(zlib.crc32(f"{task} {name}".encode()))
            array += scale * draw.normal(size=(1, *array.shape[1:])).astype(np.float32)
    return tree


def add(stores: LibraryStores, kind: str, name: str, tree: Tree, **fields: object) -> Prompt:
    return stores.add_tree(f"{kind}-{name}", kind, tree, **fields)


def fill(stores: LibraryStores) -> None:
    """Two prompts of each of two tasks, of every kind."""
    for kind in STORED_KINDS:
        for task in ("a", "b"):
            for number in (1, 2):
                tree = moved(kind, task, noise=f"{task}{number}", length=2 + number)
                add(stores, kind, f"{task}{number}", tree)


@ALL
@pytest.mark.parametrize("vector", VECTORS)
def test_a_prompt_finds_its_own_kind_alone_and_its_task_first(
    stores: LibraryStores, library: Library, kind: str, vector: VectorKind
) -> None:
    fill(stores)
    query = stores.prompts.get(f"{kind}-a1", "ann")
    found = library.search(query, "ann", kind=vector, count=100)
    assert found[0].prompt.name == f"{kind}-a2"
    assert {one.prompt.name for one in found} == {f"{kind}-{x}" for x in ("a2", "b1", "b2")}
    assert found[0].score > found[1].score + 0.2
    by_arrays = library.search(
        moved(kind, "a", noise="a1", length=3),
        "ann",
        fingerprint=FINGERPRINT,
        kind=vector,
        count=3,
        exclude=[query.id],
    )
    assert [(x.prompt.name, x.score) for x in by_arrays] == [
        (x.prompt.name, pytest.approx(x.score, abs=1e-5)) for x in found
    ]


@ALL
def test_an_untrained_prompt_has_not_changed_whatever_its_length(kind: str) -> None:
    for length in (1, 3, 7):
        tree = prompt_kind(kind).start(START[-length:], MODEL)
        change = prompt_kind(kind).compared(tree, START)
        assert change.shape == (length, sum(x[0].size for x in tree.values()))
        assert not change.any()


@ALL
def test_indexes_of_all_kinds_are_saved_and_read_again(stores: LibraryStores, kind: str) -> None:
    fill(stores)
    stores.library().refresh(FINGERPRINT)
    stores.prompts.delete(f"{kind}-b2", "ann")
    query = stores.prompts.get(f"{kind}-a1", "ann")
    found = stores.library().search(query, "ann", count=100)
    assert [one.prompt.name for one in found] == [f"{kind}-a2", f"{kind}-b1"]


def test_arrays_of_two_lengths_are_counted_from_their_ends() -> None:
    """Where the shorter one has nothing, it has not moved."""
    kind, tree = prompt_kind("encoder_decoder"), moved("encoder_decoder", "a", length=5)
    whole = kind.compared(tree, START)
    cut = kind.compared(tree | {"decoder_prompt": tree["decoder_prompt"][-2:]}, START)
    np.testing.assert_array_equal(cut[:, :WIDTH], whole[:, :WIDTH])
    np.testing.assert_array_equal(cut[-2:], whole[-2:])
    assert not cut[:-2, WIDTH:].any()


def test_what_lacks_arrays_or_is_of_another_model_is_not_ranked(
    stores: LibraryStores, library: Library
) -> None:
    fill(stores)
    part = {k: v for k, v in moved("deep", "a").items() if k.startswith("decoder")}
    prefix = add(stores, "deep", "prefix", part, initialization={})
    query = stores.prompts.get("deep-a1", "ann")
    assert prefix.name not in {x.prompt.name for x in library.search(query, "ann", count=100)}
    with pytest.raises(InvalidInput, match="does not compare") as raised:
        library.search(prefix, "ann")
    assert raised.value.field == "prompt"
    wide = {k: np.repeat(v, 2, axis=-1) for k, v in moved("deep", "a").items()}
    with pytest.raises(InvalidInput, match="wider or narrower"):
        library.search(wide, "ann", fingerprint=FINGERPRINT)


def test_on_the_map_kinds_have_nothing_in_common(stores: LibraryStores, library: Library) -> None:
    fill(stores)
    made = prompt_map(library, "m", FINGERPRINT, "ann")
    assert (made.total, len(made.points)) == (16, 16)
    places = {one.name: np.array([one.x, one.y]) for one in made.points}
    for kind in STORED_KINDS:
        other = places[f"{kind}-b1"]
        twins = [places[f"{kind}-{task}"] for task in ("a1", "a2")]
        assert np.linalg.norm(twins[0] - twins[1]) < np.linalg.norm(twins[0] - other)
