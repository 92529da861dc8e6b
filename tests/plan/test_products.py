"""FLOPs counted from shapes, against XLA's count of the same step with nothing looped."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from planned import CONFIG, case
from text_passes import Prompts, Rows, row_losses

from ptsys.models.execution import Execution
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5, create
from ptsys.plan.case import Case
from ptsys.plan.products import flops

UNROLLED = Execution(vocabulary_block=None)
OLDER = dataclasses.replace(CONFIG, gated=False, activation="relu", tie_embeddings=True)
WIDE = dataclasses.replace(CONFIG, num_heads=6, head_dim=64, d_model=256, encoder_layers=3)


def counted(planned: Case, *, backward: bool) -> float:
    """What XLA counts a row."""
    count, prompt = 4, planned.prompt
    model = create(planned.config)
    model.execution = planned.execution

    def loss(values: jax.Array, model: T5, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        prompts = Prompts(values, jnp.full((count,), prompt))
        rows = Rows(inputs, targets, jnp.arange(count))
        return jnp.sum(row_losses(model, prompts, rows).loss)

    arguments = (
        jnp.zeros((count, prompt, planned.config.d_model)),
        model,
        jnp.ones((count, planned.inputs), jnp.int32),
        jnp.ones((count, planned.targets), jnp.int32),
    )
    step = jax.grad(loss) if backward else loss
    analysis = jax.jit(step).lower(*arguments).compile().cost_analysis()
    return float(analysis["flops"]) / count


@pytest.mark.parametrize("config", [CONFIG, OLDER, WIDE], ids=["1.1", "1.0", "wide"])
def test_forward_and_backward_are_xlas_count_within_three_percent(config: T5Config) -> None:
    planned = case(config=config, execution=UNROLLED, inputs=40, prompt=24, targets=16)
    forward = sum(flops(dataclasses.replace(planned, step="score")).values())
    assert forward == pytest.approx(counted(planned, backward=False), rel=0.03)
    both = sum(flops(planned).values())
    assert both == pytest.approx(counted(planned, backward=True), rel=0.03)
    assert both > 1.9 * forward


def test_what_is_computed_again_is_counted() -> None:
    once = case(execution=UNROLLED, inputs=40, prompt=24, targets=16)
    again = dataclasses.replace(once, execution=dataclasses.replace(UNROLLED, remat="layer"))
    assert sum(flops(again).values()) > 1.2 * sum(flops(once).values())
    assert sum(flops(again).values()) == pytest.approx(counted(again, backward=True), rel=0.05)


def test_remat_of_dots_computes_scores_alone_again() -> None:
    short = dataclasses.replace(CONFIG, encoder_layers=1, decoder_layers=1)
    execution = dataclasses.replace(UNROLLED, remat="dots")
    planned = case(config=short, execution=execution, inputs=40, prompt=24, targets=16)
    assert sum(flops(planned).values()) == pytest.approx(counted(planned, backward=True), rel=0.05)


def test_generating_with_a_cache_takes_the_products_of_scoring() -> None:
    generated, scored = (sum(flops(case(step=step)).values()) for step in ("predict", "score"))
    assert generated == scored
