"""A prompt tuned here, in the hands of PEFT itself: the same logits on the same weights."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.models.t5.hugging_face import import_hugging_face
from ptsys.prompts.peft_format import encode

pytestmark = pytest.mark.slow
LENGTH, STEPS = 6, 5


@pytest.mark.parametrize("name", ["hf_t5_v1_1_tiny", "hf_t5_v1_0_tiny"])
def test_peft_gives_the_same_logits(name: str, shared_data: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra `interop`")
    peft = pytest.importorskip("peft", reason="needs the extra `interop`")
    transformers = pytest.importorskip("transformers", reason="needs the extra `interop`")
    folder = shared_data / "golden" / name
    model = import_hugging_face(folder)
    with np.load(folder / "golden.npz") as file:
        inputs, targets = file["input_ids"], file["target_ids"]

    @jax.jit
    def logits_of(prompt: jax.Array) -> jax.Array:
        prompts = jnp.broadcast_to(prompt[None], (len(inputs), *prompt.shape))
        return model.decode(model.encode(inputs, prompts), targets)

    @jax.jit
    def tuned_once(prompt: jax.Array) -> jax.Array:
        def loss(prompt: jax.Array) -> jax.Array:
            chosen = jnp.take_along_axis(
                jax.nn.log_softmax(logits_of(prompt)), targets[..., None], axis=-1
            )[..., 0]
            return -jnp.sum(jnp.where(targets > 0, chosen, 0)) / jnp.sum(targets > 0)

        return prompt - 0.5 * jax.grad(loss)(prompt)

    start = jax.random.normal(jax.random.key(0), (LENGTH, model.config.d_model))
    prompt = start
    for _ in range(STEPS):
        prompt = tuned_once(prompt)
    for path, data in encode(np.asarray(prompt)).items():
        (tmp_path / path).write_bytes(data)

    base = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    with torch.no_grad():
        found = theirs(
            input_ids=torch.tensor(inputs.astype(np.int64)),
            attention_mask=torch.tensor((inputs > 0).astype(np.int64)),
            decoder_input_ids=torch.tensor(
                np.pad(targets[:, :-1], ((0, 0), (1, 0))).astype(np.int64)
            ),
        ).logits.numpy()
    real = targets > 0
    ours = np.asarray(logits_of(prompt))
    np.testing.assert_allclose(ours[real], found[real], rtol=0, atol=1e-4)
    assert np.abs(ours - np.asarray(logits_of(start)))[real].max() > 1e-3  # the tuning shows
