"""What an augmentation trains on what: pure planning."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ptsys.errors import InvalidInput
from ptsys.library.augmentation import (
    Chain,
    Plan,
    combined_start,
    hold_out,
    query_plan,
    round_plan,
    softmax,
    weighted,
)
from ptsys.library.neighbours import Neighbour
from ptsys.store.clock import utc_now
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.records import Prompt


def spec(strategy: str = "auto", **fields: Any) -> AugmentSpec:
    return AugmentSpec(name="n", dataset="d", strategy=strategy, **fields)


def neighbour(name: str, similarity: float, dataset: str | None = "") -> Neighbour:
    prompt = Prompt(
        id=name,
        name=name,
        owner="o",
        model="tiny",
        model_fingerprint="f",
        length=16,
        d_model=4,
        created=utc_now(),
    )
    return Neighbour(prompt, similarity, f"ds-{name}" if dataset == "" else dataset)


FOUND = [neighbour("near", 0.9), neighbour("mid", 0.5), neighbour("far", 0.1)]


def chain(plan: Plan, name: str) -> Chain:
    [found] = [chain for chain in plan.chains if chain.name == name]
    return found


def datasets(one: Chain) -> list[list[str | None]]:
    return [[part.dataset for part in stage.data] for stage in one.stages]


def test_a_curriculum_goes_from_the_least_to_the_most_similar_and_ends_with_the_users_own() -> None:
    made = round_plan(spec("curriculum", second_steps=7, steps=9), [FOUND[1], FOUND[0], FOUND[2]])
    [only] = made.chains
    assert datasets(only) == [["ds-far"], ["ds-mid"], ["ds-near"], [None]]
    assert [stage.steps for stage in only.stages] == [7, 7, 7, 9]
    assert only.origin == "query"
    assert round_plan(spec("curriculum", begin="shared"), FOUND).chains[0].origin == "shared"


def test_a_mixtures_rates_sum_to_one_with_the_users_share_and_follow_the_weights() -> None:
    [only] = round_plan(spec("multitask", own_share=0.4, temperature=0.5), FOUND).chains
    mixture, polish = only.stages
    rates = {part.dataset: part.rate for part in mixture.data}
    assert sum(rates.values()) == pytest.approx(1)
    assert rates[None] == 0.4
    assert rates["ds-near"] / rates["ds-mid"] == pytest.approx(math.exp(0.4 / 0.5))
    assert [part.dataset for part in polish.data] == [None]
    assert len(round_plan(spec("multitask", polish_steps=0), FOUND).chains[0].stages) == 1
    [equal] = round_plan(spec("multitask", weights="equal"), FOUND).chains
    assert {round(part.rate, 6) for part in equal.stages[0].data[1:]} == {round(0.5 / 3, 6)}


def test_prompts_of_one_dataset_bring_it_once_with_the_sum_of_their_weights() -> None:
    found = [neighbour("a", 0.9, "ds"), neighbour("b", 0.8, "ds"), neighbour("c", 0.7)]
    [curriculum] = round_plan(spec("curriculum"), found).chains
    assert datasets(curriculum) == [["ds-c"], ["ds"], [None]]
    assert curriculum.stages[1].data[0].similarity == 0.9
    [mixed] = round_plan(spec("multitask", weights="equal"), found).chains
    assert [part.rate for part in mixed.stages[0].data] == pytest.approx([0.5, 1 / 3, 1 / 6])


def test_initialization_starts_from_the_nearest_or_from_all_by_weight() -> None:
    [nearest] = round_plan(spec("initialization"), FOUND).chains
    assert [(one.prompt, one.weight) for one in nearest.start] == [("near", 1.0)]
    [combined] = round_plan(spec("initialization", start="combination"), FOUND).chains
    assert [one.prompt for one in combined.start] == ["near", "mid", "far"]
    assert sum(one.weight for one in combined.start) == pytest.approx(1)
    assert datasets(combined) == [[None]]


def test_auto_tries_the_three_and_keeps_the_best_second_prompt_and_the_query_as_they_are() -> None:
    found = [FOUND[0], dataclasses.replace(FOUND[1], loss=0.5), FOUND[2]]
    plan = round_plan(spec(start="combination"), found)
    names = [chain.name for chain in plan.chains]
    assert names == ["curriculum", "multitask", "initialization", "second", "query"]
    second = chain(plan, "second")
    assert (second.steps, [(one.prompt, one.weight) for one in second.start]) == (0, [("mid", 1.0)])
    assert [one.makes_prompt for one in plan.chains] == [True, True, True, True, False]


def test_prompts_without_a_dataset_to_be_seen_serve_as_a_start_alone() -> None:
    bare = [neighbour("near", 0.9, None), FOUND[1]]
    assert datasets(chain(round_plan(spec(), bare), "curriculum")) == [["ds-mid"], [None]]
    assert chain(round_plan(spec(), bare), "initialization").start[0].prompt == "near"
    only_bare = [neighbour("near", 0.9, None)]
    assert [one.name for one in round_plan(spec(), only_bare).chains] == [
        "initialization",
        "second",
        "query",
    ]
    [plain] = round_plan(spec("multitask"), only_bare).chains
    assert (plain.name, datasets(plain)) == ("plain", [[None]])


def test_without_neighbours_it_is_plain_training() -> None:
    for strategy in ("curriculum", "multitask", "initialization"):
        [plain] = round_plan(spec(strategy, minimum_similarity=0.95), FOUND).chains
        assert (plain.name, plain.origin, datasets(plain)) == ("plain", "query", [[None]])
    assert [one.name for one in round_plan(spec(), []).chains] == ["plain", "query"]


def test_the_query_is_trained_unless_it_is_named() -> None:
    [made] = query_plan(spec(query_steps=5)).chains
    assert (made.origin, made.steps, datasets(made)) == ("shared", 5, [[None]])
    [given_one] = query_plan(spec(query="p")).chains
    assert (given_one.origin, given_one.steps) == ("query", 0)


@given(
    similarities=st.lists(st.floats(-1, 1), max_size=8),
    temperature=st.floats(1e-3, 1e3),
    count=st.integers(1, 8),
)
def test_weights_sum_to_one_and_never_favour_the_less_similar(
    similarities: list[float], temperature: float, count: int
) -> None:
    found = [neighbour(f"p{i}", value) for i, value in enumerate(similarities)]
    seconds = weighted(spec(temperature=temperature, neighbours=count), found)
    assert len(seconds) == min(count, len(found))
    if seconds:
        assert sum(one.weight for one in seconds) == pytest.approx(1)
    pairs = list(itertools.pairwise(seconds))
    assert all(one.similarity >= other.similarity for one, other in pairs)
    assert all(one.weight >= other.weight for one, other in pairs)


def test_a_cold_softmax_leaves_all_to_the_first() -> None:
    assert softmax([5.0, 4.9, -3.0], 1e-3).tolist() == pytest.approx([1, 0, 0])


@given(left=st.integers(7, 2000), count=st.integers(1, 3))
def test_a_budget_is_kept_and_leaves_every_stage_an_update(left: int, count: int) -> None:
    whole = round_plan(spec(), FOUND[:count])
    cut = round_plan(spec(), FOUND[:count], left)
    assert cut.steps <= max(left, sum(len(chain.stages) for chain in cut.chains))
    if left >= whole.steps:
        assert cut == whole
    for before, after in zip(whole.chains, cut.chains, strict=True):
        for one, other in zip(before.stages, after.stages, strict=True):
            assert 1 <= other.steps <= one.steps


def test_changes_are_averaged_from_the_end() -> None:
    draw = np.random.default_rng(0)
    start, long, short = (draw.normal(size=(n, 4)).astype(np.float32) for n in (3, 5, 2))
    shared = np.concatenate([draw.normal(size=(2, 4)).astype(np.float32), start])
    np.testing.assert_allclose(combined_start(start, [(long, 0.3)]), long[-3:], rtol=1e-5)
    both = combined_start(start, [(long, 3.0), (short, 1.0)])
    expected = start + 0.75 * (long - shared)[-3:]
    expected[-2:] += 0.25 * (short - start[-2:])
    np.testing.assert_allclose(both, expected, rtol=1e-5, atol=1e-6)


def test_a_quarter_of_the_rows_is_held_out_of_those_with_a_target() -> None:
    rows = [Example(f"r{i}", "x" if i % 2 else None) for i in range(40)]
    kept, held = hold_out(rows, 1)
    assert len(held) == 5
    assert all(row.target is not None for row in held)
    assert sorted(row.input for row in kept + held) == sorted(row.input for row in rows)
    assert hold_out(rows, 1) == (kept, held)
    assert hold_out(rows, 2) != (kept, held)
    assert len(hold_out(rows[:16], 1)[1]) == 4
    with pytest.raises(InvalidInput, match="give 8") as caught:
        hold_out(rows[:14], 1)
    assert caught.value.field == "validation"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"strategy": "curriculum", "budget": 1000}, ("budget",)),
        ({"budget": 105}, ("budget",)),
        ({"initialization": {"kind": "vocabulary"}}, ("initialization", "kind")),
        ({"neighbours": 33}, ("neighbours",)),
        ({"rounds": 0}, ("rounds",)),
        ({"temperature": 0}, ("temperature",)),
        ({"minimum_similarity": math.nan}, ("minimum_similarity",)),
    ],
)
def test_a_spec_that_cannot_work_names_its_field(fields: dict, where: tuple) -> None:
    with pytest.raises(ValidationError) as caught:
        AugmentSpec.model_validate({"name": "n", "dataset": "d", **fields})
    assert caught.value.errors()[0]["loc"] == where
