"""The real passes lowered from shapes, compiled for eight simulated devices."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import pytest
from planned import CONFIG, at_a_time, case

from ptsys.models.parameters import parameter_count
from ptsys.plan.buffers import held_at_peak
from ptsys.plan.case import STEPS, Case, Step
from ptsys.plan.compiler import compile_here
from ptsys.plan.compiling import Compiled
from ptsys.plan.hlo import parse


def compiled(planned: Case) -> Compiled:
    return compile_here(planned, jax.devices()[:8])


def sent(found: Compiled) -> float:
    return sum(x.sent_bytes for x in found.collectives if x.group == found.case.model)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_compiles_and_its_arguments_are_accounted_for(step: Step) -> None:
    found = compiled(case(step=step))
    memory = found.memory
    whole = 4 * parameter_count(CONFIG)
    assert whole / 4 <= memory.weights < whole / 3  # norms lie whole on every chip
    assert memory.padding <= 0.01 * memory.used
    assert memory.activations > 0
    assert sent(found) > 0
    assert (memory.optimizer > 0) == (step in ("train", "meta"))
    assert Compiled.of(json.loads(json.dumps(found.to_dict()))) == found


def test_a_model_whole_on_every_chip_sends_nothing() -> None:
    found = compiled(case(data=8, model=1, users=8))
    assert found.collectives == ()
    assert found.memory.weights == 4 * parameter_count(CONFIG)


def test_twice_the_rows_send_twice_the_bytes_and_hold_as_many() -> None:
    once = compiled(case(rows=32, execution=at_a_time(8)))
    twice = compiled(case(rows=64, execution=at_a_time(8)))
    assert (once.case.chunk, twice.case.chunk) == (8, 8)
    assert sent(twice) / twice.case.chunks == pytest.approx(sent(once) / once.case.chunks, rel=0.01)
    assert twice.memory.activations < 1.2 * once.memory.activations


@pytest.mark.parametrize("targets", [4, 96], ids=["memory", "keys and values"])
def test_the_gradient_of_the_encoded_input_is_summed_once_for_all_decoder_layers(
    targets: int,
) -> None:
    few = case(inputs=120, targets=targets, data=2, execution=at_a_time(16 * 4))
    two, four = (
        compiled(
            dataclasses.replace(few, config=dataclasses.replace(CONFIG, decoder_layers=layers))
        )
        for layers in (2, 4)
    )
    position = 4 * CONFIG.d_model * few.shard_rows
    each = (sum(x.bytes for x in four.collectives) - sum(x.bytes for x in two.collectives)) / 2
    of_targets = 9 * targets  # three sums a layer, forward and back, and for queries and keys
    assert each / position < of_targets + few.positions  # twice the encoded input more, else


@pytest.mark.slow
def test_rematerialization_holds_less_and_sends_more() -> None:
    deep = dataclasses.replace(CONFIG, d_model=64, encoder_layers=6, decoder_layers=1)
    kept = compiled(case(config=deep, inputs=120, execution=at_a_time(64)))
    again = compiled(
        dataclasses.replace(kept.case, execution=at_a_time(64, remat="layer")),
    )
    assert again.memory.activations < 0.95 * kept.memory.activations
    assert sent(again) > sent(kept)


def test_arrays_that_are_held_together_are_found_in_the_schedule() -> None:
    """Eight arrays that all wait for a product which nothing can be done before."""
    width, kept = 256, 8

    def step(x: jax.Array) -> jax.Array:
        waiting = [jnp.sin(x @ (x + i)) for i in range(kept)]
        last = jnp.linalg.norm(sum(waiting))
        return sum(y @ (y * last) for y in waiting)

    executable = jax.jit(step).lower(jnp.ones((width, width), jnp.float32)).compile()
    bytes_, held = held_at_peak(parse(executable.as_text()))
    assert bytes_ == pytest.approx(executable.memory_analysis().temp_size_in_bytes, rel=0.35)
    assert held[0].shape == f"f32[{width},{width}]"
    assert sum(x.count for x in held) >= kept
