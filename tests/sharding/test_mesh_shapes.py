"""Every mesh of eight devices gives what one device gives; so does every way to execute."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from text_passes import Prompts, Rows, generate, gradients, initial_state, score, train_step

from ptsys.errors import InvalidInput
from ptsys.models.execution import Execution
from ptsys.models.parameters import flat_parameters
from ptsys.models.t5.attention_kernel import attend_in_kernel
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.decoding import choices
from ptsys.models.t5.network import T5, create
from ptsys.passes.frozen import Frozen, freeze
from ptsys.passes.optimizers import hyperparameters
from ptsys.sharding.mesh import make_mesh
from ptsys.sharding.rules import LogicalRules
from ptsys.types.training import Optimizer

SLOTS, WIDTH, ROWS, INPUTS, TARGETS = 8, 4, 48, 60, 6
SHAPES = [(1, 8), (2, 4), (4, 2), (8, 1)]


@pytest.fixture(scope="module")
def model() -> T5:
    return create(
        T5Config(
            vocab_size=72,
            d_model=32,
            num_heads=8,
            head_dim=4,
            d_ff=64,
            encoder_layers=1,
            decoder_layers=1,
        )
    )


def batch() -> tuple[Prompts, Rows]:
    random = np.random.default_rng(0)
    prompts = Prompts(
        jnp.asarray(random.normal(size=(SLOTS, WIDTH, 32)), jnp.float32),
        jnp.asarray(random.integers(1, WIDTH + 1, SLOTS), jnp.int32),
    )
    inputs = random.integers(2, 72, (ROWS, INPUTS)).astype(np.int32)
    targets = random.integers(2, 72, (ROWS, TARGETS)).astype(np.int32)
    targets[::3, 2:] = 0
    slot = np.repeat(np.arange(SLOTS), ROWS // SLOTS).astype(np.int32)
    slot[-7:] = SLOTS  # padding: the last data shard has fewer chunks than the others
    targets[-7:] = 0
    return prompts, Rows(jnp.asarray(inputs), jnp.asarray(targets), jnp.asarray(slot))


def local(rows: Rows, shards: int) -> Rows:
    per = SLOTS // shards
    return rows._replace(slot=jnp.where(rows.slot < SLOTS, rows.slot % per, per))


def on_mesh(model: T5, data: int, across: int, **options: object) -> Frozen:
    mesh = make_mesh(jax.devices()[: data * across], data=data, model=across)
    return freeze(model, mesh, **options)  # type: ignore[arg-type]


def assert_close(one: object, many: object, tolerance: float = 1e-4) -> None:
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("data", "across"), SHAPES)
def test_gradients_of_every_mesh_shape(model: T5, data: int, across: int) -> None:
    prompts, rows = batch()
    here = gradients(freeze(model), prompts, rows)
    there = gradients(on_mesh(model, data, across), prompts, local(rows, data))
    assert np.abs(here.values).max() > 1e-3
    assert_close(here, there)


@pytest.mark.parametrize(
    ("data", "across", "method", "beams"),
    [
        (1, 8, "greedy", 1),
        (4, 2, "greedy", 1),
        (2, 4, "sample", 1),
        (2, 4, "beam", 2),
    ],
)
def test_predictions_of_every_mesh_shape(
    model: T5, data: int, across: int, method: str, beams: int
) -> None:
    prompts, rows = batch()
    wanted = choices(ROWS, 6)
    wanted.top_p[:5] = 0.7  # on the first data shard alone
    kind = {"method": method, "max_tokens": 6, "beams": beams}
    frozen = on_mesh(model, data, across)
    one = generate(freeze(model), prompts, rows.inputs, rows.slot, wanted, **kind)
    many = generate(frozen, prompts, rows.inputs, rows.slot, wanted, **kind)
    np.testing.assert_array_equal(one.tokens, many.tokens)
    assert_close(one.score, many.score)
    assert_close(score(freeze(model), prompts, rows), score(frozen, prompts, rows))


@pytest.mark.parametrize(("data", "across"), [(1, 8), (2, 4), (8, 1)])
def test_training_on_every_mesh_shape(model: T5, data: int, across: int) -> None:
    prompts, rows = batch()
    hyper = hyperparameters([Optimizer()] * SLOTS, [10] * SLOTS)
    everyone = np.arange(SLOTS, dtype=np.int32)

    def after_three(frozen: Frozen, residents: np.ndarray, rows: Rows) -> object:
        state = initial_state(*jax.tree.map(jnp.copy, prompts))
        for _ in range(3):
            state, metrics = train_step(frozen, state, hyper, residents, rows)
        return state, metrics

    frozen = on_mesh(model, data, across)
    here = after_three(freeze(model), everyone, rows)
    there = after_three(frozen, everyone % (SLOTS // data), local(rows, data))
    assert_close(here, there)


@pytest.mark.parametrize(
    ("mesh", "execution"),
    [
        ((1, 1), Execution(remat="layer")),
        ((1, 1), Execution(remat="dots", attention_block=2)),
        ((1, 1), Execution(vocabulary_block=None)),
        ((2, 4), Execution("layer", vocabulary_block=8, attention_block=16, chunk_positions=10**6)),
    ],
    ids=str,
)
def test_how_it_is_executed_changes_nothing(
    model: T5, mesh: tuple[int, int], execution: Execution
) -> None:
    prompts, rows = batch()
    z_loss = jnp.linspace(0, 1e-2, SLOTS)
    plain = Execution(vocabulary_block=None, attention_block=10**6)
    here = gradients(freeze(model, execution=plain), prompts, rows, z_loss)
    frozen = on_mesh(model, *mesh, execution=execution)
    there = gradients(frozen, prompts, local(rows, mesh[0]), z_loss)
    assert_close(here, there)


@pytest.mark.parametrize("mesh", [(1, 1), (2, 2), (1, 4), (8, 1)])
def test_attention_by_the_kernel_changes_nothing(
    mesh: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = create(
        T5Config(
            vocab_size=72,
            d_model=32,
            num_heads=8,
            head_dim=64,
            d_ff=64,
            encoder_layers=2,
            decoder_layers=1,
        )
    )
    prompts, rows = batch()
    here = gradients(freeze(wide), prompts, rows)
    frozen = on_mesh(wide, *mesh, execution=Execution(attention="kernel"))
    used = []

    def counted(*arrays: jax.Array) -> jax.Array:
        used.append(arrays)
        return attend_in_kernel(*arrays)

    monkeypatch.setattr("ptsys.models.t5.attention.attend_in_kernel", counted)
    assert_close(here, gradients(frozen, prompts, local(rows, mesh[0])))
    assert used


def test_every_weight_lies_as_its_rule_says(model: T5) -> None:
    frozen = on_mesh(model, 2, 4)
    found = {path: x.sharding.spec for path, x in flat_parameters(frozen.model()).items()}
    layer = "encoder.layers_0"
    assert found["token_embedder.embedding"] == PartitionSpec("model", None)
    assert found[f"{layer}.attention.query.kernel"] == PartitionSpec(None, "model")
    assert found[f"{layer}.attention.out.kernel"] == PartitionSpec("model", None)
    assert found[f"{layer}.mlp.wi_0.kernel"] == PartitionSpec(None, "model")
    assert found[f"{layer}.mlp.wo.kernel"] == PartitionSpec("model", None)
    assert found["decoder.logits_dense.kernel"] == PartitionSpec(None, "model")
    assert found["encoder.encoder_norm.scale"] == PartitionSpec(None)
    held = sum(x.addressable_shards[0].data.size for x in frozen.leaves)
    assert held < 0.3 * sum(x.size for x in frozen.leaves)


def test_heads_are_not_cut_and_uneven_axes_stay_whole() -> None:
    odd = T5Config(
        vocab_size=70,
        d_model=16,
        num_heads=6,
        head_dim=4,
        d_ff=32,
        encoder_layers=1,
        decoder_layers=1,
    )
    frozen = on_mesh(create(odd), 1, 4)
    found = {path: x.sharding.spec for path, x in flat_parameters(frozen.model()).items()}
    assert found["encoder.layers_0.attention.query.kernel"] == PartitionSpec(None, None)
    assert found["token_embedder.embedding"] == PartitionSpec(None, None)
    assert found["encoder.layers_0.mlp.wi_0.kernel"] == PartitionSpec(None, "model")


def test_rules_and_meshes_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="mlp"):
        LogicalRules((("mlp", "data"),))
    with pytest.raises(InvalidInput, match="needs 6 devices, there are 8"):
        make_mesh(jax.devices(), data=3, model=2)
    own = LogicalRules((("mlp", "model"), ("vocab", None), ("vocab", "model")))
    mesh = make_mesh(jax.devices(), data=4, model=2)
    assert own.sharding(mesh, ("vocab", "embed"), (8, 8)).spec == PartitionSpec(None, None)


def test_what_is_kept_is_not_computed_again(model: T5) -> None:
    prompts, rows = batch()

    def work(remat: str) -> float:
        frozen = freeze(model, execution=Execution(remat=remat))  # type: ignore[arg-type]
        whole = jax.jit(lambda p, r: gradients(frozen, p, r)).lower(prompts, rows)
        return float(whole.compile().cost_analysis()["flops"])

    none, dots, layer = work("none"), work("dots"), work("layer")
    assert none < dots < layer
    assert dots - none < 0.4 * (layer - none)
