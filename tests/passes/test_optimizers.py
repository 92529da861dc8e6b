"""Every slot's update is optax's, whatever kinds share the batch and however prompts are padded."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_passes import SlotState, initial_state, update
from tiny_batches import WIDTH, prompts

from ptsys.passes.optimizers import hyperparameters, learning_rate
from ptsys.types.training import Optimizer

STEPS = 20
OPTIMIZERS = [
    Optimizer(kind="adafactor", learning_rate=0.3, weight_decay=1e-3),
    Optimizer(kind="adafactor", learning_rate=0.1, decay="cosine", warmup_steps=5),
    Optimizer(kind="adafactor", learning_rate=0.3, initial_step=100),
    Optimizer(kind="adamw", learning_rate=0.01, weight_decay=0.1, beta1=0.8, beta2=0.98),
    Optimizer(kind="adamw", learning_rate=0.3, decay="linear", warmup_steps=1),
    Optimizer(kind="sgd", learning_rate=0.5, momentum=0.9, decay="cosine"),
    Optimizer(kind="sgd", learning_rate=0.1, weight_decay=0.2, warmup_steps=7, decay="linear"),
]
LENGTHS = [4, 1, 2, 4, 3, 2, 1]
TOTAL = [STEPS, 30, STEPS, STEPS, STEPS, STEPS, 25]

step = jax.jit(update)


def schedule(optimizer: Optimizer, total: int) -> optax.Schedule:
    """The same learning rate, put together by optax."""
    peak, warmup = optimizer.learning_rate, optimizer.warmup_steps
    span = max(total - warmup, 1)
    rest = {
        "constant": optax.constant_schedule(peak),
        "linear": optax.linear_schedule(peak, 0, span),
        "cosine": optax.cosine_decay_schedule(peak, span),
    }[optimizer.decay]
    if not warmup:
        return rest
    rise = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
    return optax.join_schedules([rise, rest], [warmup])


def reference(optimizer: Optimizer, total: int) -> optax.GradientTransformation:
    """The same update by optax."""
    rate = schedule(optimizer, total)
    if optimizer.kind == "adafactor":
        return optax.adafactor(
            rate,
            multiply_by_parameter_scale=False,
            factored=False,
            weight_decay_rate=optimizer.weight_decay,
            clipping_threshold=1.0,
            decay_offset=-optimizer.initial_step,
        )
    if optimizer.kind == "adamw":
        return optax.adamw(
            rate, b1=optimizer.beta1, b2=optimizer.beta2, weight_decay=optimizer.weight_decay
        )
    return optax.chain(
        optax.trace(optimizer.momentum),
        optax.add_decayed_weights(optimizer.weight_decay),
        optax.scale_by_learning_rate(rate),
    )


def some_gradients(seed: int) -> np.ndarray:
    """[STEPS, U, P, D] gradients whose size leaps about, so that clipping binds; zero on the
    padding, as the gradient pass gives them."""
    random = np.random.default_rng(seed)
    found = random.normal(size=(STEPS, len(LENGTHS), 4, WIDTH)).astype(np.float32)
    found *= 10 ** random.uniform(-4, 2, (STEPS, len(LENGTHS), 1, 1)).astype(np.float32)
    for slot, length in enumerate(LENGTHS):
        found[:, slot, : 4 - length] = 0
    return found


def run(optimizers: list[Optimizer], start: SlotState, changes: np.ndarray) -> SlotState:
    hyper = hyperparameters(optimizers, TOTAL[: len(optimizers)])
    for change in changes:
        start = step(start, change, hyper)
    return start


@pytest.mark.parametrize("slot", range(len(OPTIMIZERS)))
def test_a_slot_among_others_of_all_kinds_follows_optax_alone(slot: int) -> None:
    """optax runs in float64 on the prompt without its padding."""
    own, changes = prompts(LENGTHS, 4, seed=1), some_gradients(2)
    found = run(OPTIMIZERS, initial_state(jnp.asarray(own.values), own.length), changes)
    first = 4 - LENGTHS[slot]
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # optax counts in integers
        transform = reference(OPTIMIZERS[slot], TOTAL[slot])
        prompt = jnp.asarray(own.values[slot, first:], jnp.float64)
        state = transform.init(prompt)
        for change in changes[:, slot, first:]:
            updates, state = transform.update(jnp.asarray(change, jnp.float64), state, prompt)
            prompt = optax.apply_updates(prompt, updates)
        expected = np.asarray(prompt)
    moved = np.abs(expected - own.values[slot, first:]).max()
    assert moved > 1e-3
    tolerance = 1e-5 * max(moved, np.abs(expected).max())
    np.testing.assert_allclose(found.prompt[slot, first:], expected, rtol=0, atol=tolerance)
    assert not np.any(found.prompt[slot, :first])
    assert found.step[slot] == STEPS


@given(seed=st.integers(0, 1000), kind=st.sampled_from(["adafactor", "adamw", "sgd"]))
@settings(max_examples=8, deadline=None)
def test_other_slots_do_not_change_a_slots_bits(seed: int, kind: str) -> None:
    """Broken gradients of the others included."""
    random = np.random.default_rng(seed)
    own, changes = prompts(LENGTHS, 4, seed=seed), some_gradients(seed)[:3]
    mine = Optimizer(kind=kind, learning_rate=0.2, weight_decay=0.1, momentum=0.5)  # type: ignore[arg-type]
    alike = run([mine] * 7, initial_state(jnp.asarray(own.values), own.length), changes)
    others = [OPTIMIZERS[i] for i in random.permutation(7)]
    others[3] = mine
    changes[:, :3] += random.choice([0, 1e30, np.inf, np.nan])
    mixed = run(others, initial_state(jnp.asarray(own.values), own.length), changes)
    for a, b in zip(alike, mixed, strict=True):
        assert np.asarray(a)[3].tobytes() == np.asarray(b)[3].tobytes()


@pytest.mark.parametrize("decay", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 6, 40])
def test_learning_rates_equal_optax_schedules(decay: str, warmup: int) -> None:
    """A warm-up longer than the run included."""
    optimizer = Optimizer(learning_rate=0.3, decay=decay, warmup_steps=warmup)  # type: ignore[arg-type]
    hyper = hyperparameters([optimizer] * 25, [20] * 25)
    found = learning_rate(hyper, jnp.arange(25))
    expected = [float(schedule(optimizer, 20)(i)) for i in range(25)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
    assert found[0] > 0


def test_adafactor_late_in_a_run_keeps_its_precision() -> None:
    """At T5X's 1.1 M steps, against the formulas in float64: optax takes 1 - beta2 (1.5e-5) from a
    difference in float32 and is off by 7e-5 of the prompt."""
    own, changes = prompts([4], 4, seed=1), some_gradients(2)[:, 3:4]
    optimizer = Optimizer(kind="adafactor", learning_rate=0.3, initial_step=1_100_000)
    found = run([optimizer], initial_state(jnp.asarray(own.values), own.length), changes)
    prompt, second = own.values.astype(np.float64), np.zeros(own.values.shape)
    for i, change in enumerate(changes.astype(np.float64)):
        rest = (1_100_000 + i + 1) ** -0.8
        second = (1 - rest) * second + rest * (change**2 + 1e-30)
        scaled = change / np.sqrt(second)
        prompt -= 0.3 * scaled / max(1, np.sqrt((scaled**2).mean()))
    np.testing.assert_allclose(found.prompt, prompt, rtol=0, atol=1e-5 * np.abs(prompt).max())


def test_padding_does_not_enter_adafactors_clip() -> None:
    """The same gradient, wider padding, and even garbage in it: the same update."""
    optimizer = [Optimizer(kind="adafactor", learning_rate=0.3)]
    change = some_gradients(3)[:3, 1:2]
    narrow = prompts([1], 1)
    narrow_end = run(
        optimizer, initial_state(jnp.asarray(narrow.values), narrow.length), change[:, :, 3:]
    )
    wide = np.pad(narrow.values, ((0, 0), (3, 0), (0, 0)), constant_values=5)
    change[:, :, :3] = 1e3
    wide_end = run(optimizer, initial_state(jnp.asarray(wide), narrow.length), change)
    np.testing.assert_allclose(wide_end.prompt[:, 3:], narrow_end.prompt, rtol=1e-6)


def test_hyperparameters_keep_every_field() -> None:
    found = hyperparameters(OPTIMIZERS, TOTAL)
    assert all(x.shape == (7,) and isinstance(x, np.ndarray) for x in found)
    assert found.kind.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert found.decay.tolist() == [0, 2, 0, 0, 1, 2, 1]
    np.testing.assert_allclose(found.momentum, [0, 0, 0, 0.8, 0.9, 0.9, 0], rtol=1e-6)
    for name in ("learning_rate", "weight_decay", "warmup_steps", "beta2", "initial_step"):
        expected = [getattr(x, name) for x in OPTIMIZERS]
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-6)
    assert found.total_steps.tolist() == TOTAL
    assert [x.dtype for x in found].count(np.dtype(np.int32)) == 5
    assert all(x.shape == (0,) for x in hyperparameters([], []))
    with pytest.raises(ValueError, match="reshape"):
        hyperparameters(OPTIMIZERS, [1])
