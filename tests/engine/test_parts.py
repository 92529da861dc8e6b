"""How a request's rows are cut: all of them, each once, and never dearer than uncut."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_passes import Prompts, Rows, gradients

from ptsys.engine.device import Device
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.model import ServedModel
from ptsys.engine.parts import Costs, Cutting, cut
from ptsys.errors import InvalidInput
from ptsys.kinds.buckets import fit
from ptsys.models.t5.text import FINE_INPUT_LENGTHS
from ptsys.passes.frozen import freeze

CPU = Costs(start=10, weights=40, full=512)
GPU = Costs(start=100, weights=256)
LONGEST = {"inputs": 64, "targets": 4}
LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=80)
HOW = st.sampled_from([(CPU, 1), (CPU, 2), (GPU, 1), (GPU, 8)])


def cutting(costs: Costs = CPU, shards: int = 1, most: int = 512, besides: int = 20) -> Cutting:
    return Cutting(FINE_INPUT_LENGTHS, besides, costs, most, shards)


@given(lengths=LENGTHS, how=HOW, most=st.sampled_from([8, 512]))
def test_every_row_is_in_one_part_that_it_fits(
    lengths: list[int], how: tuple[Costs, int], most: int
) -> None:
    parts = cut(lengths, cutting(*how, most=most))
    assert sorted(row for part in parts for row in part.rows) == list(range(len(lengths)))
    for part in parts:
        assert list(part.rows) == sorted(part.rows)
        assert 0 < len(part.rows) <= most
        assert all(lengths[row] <= part.inputs for row in part.rows)
        assert part.inputs in FINE_INPUT_LENGTHS


@given(lengths=LENGTHS, how=HOW)
def test_a_cut_costs_no_more_than_padding_all_to_the_longest(
    lengths: list[int], how: tuple[Costs, int]
) -> None:
    by = cutting(*how)
    found: dict[int, int] = {}
    for part in cut(lengths, by):
        found[part.inputs] = found.get(part.inputs, 0) + len(part.rows)
    longest = fit(max(lengths), FINE_INPUT_LENGTHS, "inputs")
    uncut = by.cost(len(lengths), longest)
    assert sum(by.cost(rows, inputs) for inputs, rows in found.items()) <= uncut * (1 + 1e-9)


def test_rows_of_one_length_stay_together_and_long_ones_do_not_pad_short_ones() -> None:
    assert len(cut([16] * 20, cutting(GPU))) == 1
    assert [len(part.rows) for part in cut([16] * 20, cutting(CPU))] == [8, 8, 4]  # 512 positions
    parts = cut([16] * 8 + [380], cutting())
    assert [(part.rows, part.inputs) for part in parts] == [
        (tuple(range(8)), 16),
        ((8,), 384),
    ]
    dear = cutting(dataclasses.replace(GPU, weights=10_000))  # a program costs more than padding
    assert [part.inputs for part in cut([16] * 8 + [380], dear)] == [384]


def test_a_large_request_goes_to_all_shards_and_a_small_one_to_one() -> None:
    assert [len(part.rows) for part in cut([64] * 64, cutting(GPU, shards=4))] == [16] * 4
    assert len(cut([64], cutting(shards=4))) == 1
    assert len(cut([1], cutting(shards=4, besides=1))) == 1


def test_too_long_a_row_is_refused() -> None:
    with pytest.raises(InvalidInput):
        cut([2000], cutting())


def test_ragged_rows_give_what_one_padded_pass_gives(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Device, "costs", CPU)  # a real model's: for this one a cut costs more
    draw = np.random.default_rng(0)
    lengths = [3, 120, 5, 7, 118, 40, 3, 9, 64, 2, 16, 4]
    inputs = [[*draw.integers(2, 60, n - 1).tolist(), 1] for n in lengths]
    targets = [[*draw.integers(2, 60, 1 + n % 3).tolist(), 1] for n in lengths]
    prompt = np.asarray(engine.model.initialization[:5])
    found = engine.encoded_gradients(inputs, targets, prompt).result(timeout=120)
    x, y = np.zeros((12, 128), np.int32), np.zeros((12, 4), np.int32)
    for row, (source, target) in enumerate(zip(inputs, targets, strict=True)):
        x[row, : len(source)], y[row, : len(target)] = source, target
    assert len(cut(lengths, cutting(besides=16))) > 1
    direct = gradients(
        freeze(engine.model.frozen.model()),
        Prompts(prompt[None], np.array([5])),
        Rows(x, y, np.zeros(12, np.int32)),
    )
    assert found.tokens == sum(map(len, targets))
    assert found.loss == pytest.approx(float(direct.loss[0]), rel=1e-5)
    np.testing.assert_allclose(found.row_losses, direct.row_loss, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.gradient, direct.values[0], rtol=1e-4, atol=1e-6)


def test_a_request_that_is_not_cut_runs_however_many_rows_a_program_takes(
    served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Device, "costs", CPU)
    prompt = np.asarray(served.initialization[:5])
    inputs, targets = [[5, 6, 1]] * 24, [[7, 1]] * 24
    assert CPU.at_once(24, 16 + 64) < 24
    engine = Engine(served, EngineOptions()).start()
    try:
        asked = [
            engine.encoded_gradients(
                inputs[:rows], targets[:rows], prompt, longest={"inputs": 64, "targets": 4}
            )
            for rows in (24, 3, 16)
        ]
        losses = [future.result(timeout=120).loss for future in asked]
    finally:
        engine.close()
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
