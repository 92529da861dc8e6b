"""The pretraining stream: reproducible, and related tasks have traits in common."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from ptsys.data.vocabulary import ByteVocabulary
from ptsys.generated import GeneratedTask, sample_tasks
from ptsys.pretraining.mixture import KINDS, Mixture, MixtureConfig, RowPool

NAMES = ("pick/first/comma/bare", "pick/last/comma/bare", "tense/past/bare", "tense/past/a81c")


def tasks(names: Sequence[str]) -> list[GeneratedTask]:
    return [
        GeneratedTask(name, name.split("/")[0], ("do it", "do this"), lambda _: ("in", "out"))
        for name in names
    ]


def mixture(bank: Sequence[GeneratedTask], **config: float) -> Mixture:
    text = np.random.default_rng(0).integers(3, 250, 2000).astype(np.int32)
    return Mixture(MixtureConfig(**config), ByteVocabulary(), bank, bank, text)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stream() -> Mixture:
    return mixture(sample_tasks(0, 30))


def all_of(batches: Sequence[RowPool], name: str) -> bytes:
    return b"".join(getattr(batch, name).tobytes() for batch in batches)


def test_a_pool_is_the_same_for_its_seed(stream: Mixture) -> None:
    first, again, other = (list(stream.pools(chunk, 1500).values()) for chunk in (5, 5, 6))
    for name in ("inputs", "targets", "kind", "traits"):
        assert all_of(first, name) == all_of(again, name)
    assert all_of(first, "inputs") != all_of(other, "inputs")


def test_rows_that_tell_no_task_have_no_traits(stream: Mixture) -> None:
    bank = KINDS.index("bank")
    seen = set()
    for batch in stream.pools(0, 1500).values():
        has = (batch.traits < stream.traits).any(axis=1)
        np.testing.assert_array_equal(has, batch.kind == bank)
        assert batch.traits.min() >= 0
        seen |= set(batch.kind.tolist())
    assert seen == set(range(len(KINDS)))


def test_tasks_share_the_traits_that_their_names_share() -> None:
    traits = [set(task.traits) for task in tasks(NAMES)]
    assert "pick" in traits[0] & traits[1]
    assert "pick/1/comma" in traits[0] & traits[1]
    assert "pick/0/first" in traits[0] - traits[1]
    assert traits[0] & traits[2] == {"*/bare"}
    for one, two in itertools.permutations(traits, 2):
        assert one - two  # each has something of its own


def test_rows_carry_all_traits_of_their_task_or_its_family_alone() -> None:
    whole, family = mixture(tasks(NAMES), family_share=0.0), mixture(tasks(NAMES), family_share=1.0)

    def found(stream: Mixture) -> set[tuple[int, ...]]:
        rows = (row for batch in stream.pools(0, 1500).values() for row in batch.traits)
        return {tuple(row[row < stream.traits].tolist()) for row in rows} - {()}

    assert len(found(whole)) == len(NAMES)
    assert {len(row) for row in found(family)} == {1}
    assert len(found(family)) == 2
    assert all(row[:1] in found(family) for row in found(whole))


def test_traits_that_say_the_same_are_one() -> None:
    # "pick" and "pick/1/comma" are of the same tasks; so are "*/first", "pick/0/first" and the name
    assert mixture(tasks(NAMES[:2])).traits == 3
