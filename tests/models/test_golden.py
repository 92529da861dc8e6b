"""Parity with transformers 5.23 and PEFT 0.21.2, and with a real T5X checkpoint."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.models.parameters import expected_shapes, flat_parameters
from ptsys.models.t5.hugging_face import import_hugging_face
from ptsys.models.t5.network import T5
from ptsys.models.t5.t5x import import_t5x

PROMPT_LENGTH = 7  # PEFT stores 14 rows, of which T5 uses the first 7


@pytest.fixture(params=["hf_t5_v1_1_tiny", "hf_t5_v1_0_tiny"])
def folder(request: pytest.FixtureRequest, shared_data: Path) -> Path:
    return shared_data / "golden" / request.param


@pytest.fixture
def golden(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "golden.npz") as file:
        return dict(file)


def test_logits_equal_those_of_transformers(folder: Path, golden: dict[str, np.ndarray]) -> None:
    model = import_hugging_face(folder)
    inputs, targets = golden["input_ids"], golden["target_ids"]
    logits = jax.jit(lambda: model.decode(model.encode(inputs), targets))()
    real = np.arange(logits.shape[1]) < golden["target_lengths"][:, None]
    np.testing.assert_allclose(
        np.asarray(logits)[real], golden["logits_no_prompt"][real], rtol=0, atol=1e-4
    )


def mean_token_losses(model: T5, golden: dict[str, np.ndarray], prompts: jax.Array) -> jax.Array:
    targets = golden["target_ids"]
    logits = model.decode(model.encode(golden["input_ids"], prompts), targets)
    log_probabilities = jax.nn.log_softmax(logits)
    chosen = jnp.take_along_axis(log_probabilities, targets[..., None], axis=-1)[..., 0]
    real = np.arange(targets.shape[1]) < golden["target_lengths"][:, None]
    lengths = golden["target_lengths"].astype(np.float32)
    return -jnp.sum(jnp.where(real, chosen, 0), axis=1) / lengths


def test_prompt_gradients_equal_those_of_peft(folder: Path, golden: dict[str, np.ndarray]) -> None:
    model = import_hugging_face(folder)
    prompt = golden["prompt"][:PROMPT_LENGTH]
    prompts = jnp.broadcast_to(prompt[None], (len(golden["input_ids"]), *prompt.shape))

    def total(prompts: jax.Array) -> tuple[jax.Array, jax.Array]:
        losses = mean_token_losses(model, golden, prompts)
        return losses.sum(), losses

    gradients, losses = jax.jit(jax.grad(total, has_aux=True))(prompts)
    np.testing.assert_allclose(losses, golden["row_mean_token_loss"], rtol=1e-5)
    for ours, theirs in zip(
        np.asarray(gradients), golden["row_prompt_gradient"][:, :PROMPT_LENGTH], strict=True
    ):
        assert np.linalg.norm(ours - theirs) < 1e-4 * np.linalg.norm(theirs)


def test_a_real_t5x_checkpoint_is_read_whole(shared_data: Path) -> None:
    folder = shared_data / "prompt_tuning" / "test_t5_1_1_tiny" / "checkpoint_3"
    imported = import_t5x(folder, relative_max_distance=8)
    model, config = imported.model, imported.model.config
    assert imported.prompts == {}
    assert (config.num_heads, config.head_dim, config.d_model, config.d_ff) == (2, 2, 4, 8)
    assert (config.encoder_layers, config.decoder_layers, config.relative_buckets) == (2, 2, 4)
    assert config.gated
    assert not config.tie_embeddings
    # every zarr folder is one parameter, so none of the files is left unread
    paths = {x.name.removeprefix("target.") for x in folder.iterdir() if x.is_dir()}
    flat = flat_parameters(model)
    assert paths <= flat.keys()
    assert flat.keys() == expected_shapes(config).keys()
    random = np.random.default_rng(0)
    tokens = random.integers(2, config.vocab_size, (3, 12))
    logits = np.asarray(jax.jit(lambda: model.decode(model.encode(tokens), tokens[:, :4]))())
    assert np.isfinite(logits).all()
    assert logits.std() > 0
