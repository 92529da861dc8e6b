"""Episodes: a pool is reproducible, examples are read with their label first, and labels that are
drawn anew keep the classes of a task."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from ptsys.data.shown_examples import ARROW, LABEL
from ptsys.data.vocabulary import EOS, SentencePieceVocabulary
from ptsys.generated import sample_tasks
from ptsys.generated.lookup import LOOKUPS, random_labels, relabelled, sample_lookup
from ptsys.models.registry import BUILTIN
from ptsys.pretraining.episodes import (
    EpisodeConfig,
    EpisodePool,
    Episodes,
    read_description,
    read_example,
)
from ptsys.pretraining.mixture import numbered_traits

WORDS = SentencePieceVocabulary(BUILTIN / "tiny" / "vocabulary.model", 64)


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    bank = sample_tasks(0, 30)
    text = np.random.default_rng(0).integers(300, 3000, 5000)
    return Episodes(
        EpisodeConfig(), WORDS, bank, numbered_traits([task.traits for task in bank]), text
    )


@pytest.fixture(scope="module")
def pools(episodes: Episodes) -> dict[object, EpisodePool]:
    return dict(episodes.pools((3, 5), 150))


def test_a_pool_is_the_same_for_its_seed(
    episodes: Episodes, pools: dict[object, EpisodePool]
) -> None:
    again, other = episodes.pools((3, 5), 150), episodes.pools((3, 6), 150)
    assert again.keys() == pools.keys()
    for key, pool in again.items():
        np.testing.assert_array_equal(pool.reading, pools[key].reading)
        np.testing.assert_array_equal(pool.targets, pools[key].targets)
    assert any(
        key not in other or other[key].reading.tobytes() != pool.reading.tobytes()
        for key, pool in again.items()
    )


def test_every_task_has_rows_to_read_and_to_answer_and_only_the_banks_have_traits(
    episodes: Episodes, pools: dict[object, EpisodePool]
) -> None:
    assert {source for source, _ in pools} == {"bank", "fresh"}
    for (source, shape), pool in pools.items():
        assert (pool.rows >= shape.queries + 2).all()
        assert (pool.rows <= shape.rows).all()
        has = (pool.traits < episodes.traits).any(axis=1)
        assert has.all() if source == "bank" else not has.any()
        for i in range(len(pool.rows)):
            inputs = pool.inputs[i, : pool.rows[i]]
            assert (inputs[:, 0] > 0).all()  # real rows come first
            assert (np.count_nonzero(inputs == EOS, axis=1) == 1).all()
            assert not pool.inputs[i, pool.rows[i] :].any()
            assert len(np.unique(inputs, axis=0)) == len(inputs)


def test_an_example_is_read_with_its_label_at_fixed_places() -> None:
    arrow = WORDS.encode(ARROW)
    row = read_example(WORDS.encode("a fine film"), WORDS.encode("good"), arrow, 24)
    label = WORDS.encode("good")
    assert row[: len(label)].tolist() == label
    assert not row[len(label) : LABEL].any()
    assert WORDS.decode(row[LABEL:].tolist()).replace("=", "").strip() == "a fine film"
    long = read_example(list(range(300, 400)), list(range(500, 520)), arrow, 24)
    assert long[:LABEL].tolist() == list(range(500, 500 + LABEL))
    assert long[-1] == EOS  # cut, not running over
    described = read_description(WORDS.encode("say whether it is good"), 24)
    assert not described[:LABEL].any()
    assert WORDS.decode(described[LABEL:].tolist()) == "say whether it is good"


def test_labels_drawn_anew_keep_the_classes_and_hide_their_names() -> None:
    rows = [(f"text {i}", ("news", "sport", "weather")[i % 3]) for i in range(30)]
    new = relabelled(rows, random.Random(0))
    assert new is not None
    assert [source for source, _ in new] == [source for source, _ in rows]
    pairs = Counter((old, fresh) for (_, old), (_, fresh) in zip(rows, new, strict=True))
    assert len(pairs) == 3
    assert len({fresh for _, fresh in pairs}) == 3
    assert relabelled([(str(i), str(i)) for i in range(30)], random.Random(0)) is None
    assert relabelled([(str(i), "same") for i in range(30)], random.Random(0)) is None
    drawn = [random_labels(random.Random(seed), 12) for seed in range(40)]
    assert all(len(set(labels)) == 12 for labels in drawn)
    assert len(set(drawn)) == 40


def test_answers_of_lookups_are_of_their_task_alone() -> None:
    rng = random.Random(1)
    for family in LOOKUPS:
        answers = []
        for _ in range(6):
            task = family.sample(rng)
            rows = [task.draw(rng) for _ in range(60)]
            answers.append(frozenset(target for _, target in rows))
            assert 2 <= len(answers[-1]) <= 16
        assert len(set(answers)) == 6
    assert {sample_lookup(rng).family for _ in range(40)} == {family.name for family in LOOKUPS}
