"""A model laid out by settings answers as the plain one does."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.config import Settings
from ptsys.engine.engine import Engine
from ptsys.engine.serving import Serving
from ptsys.engine.workbench import load_workbench
from ptsys.errors import InvalidInput
from ptsys.models.checkpoint import save_model
from ptsys.models.registry import load_builtin
from ptsys.types.requests import Decoding

INPUTS = ["red, green, blue", "small, large, old and new"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment that has imported the built-in model, so that it is read by Orbax."""
    folder = tmp_path_factory.mktemp("root")
    tiny = load_builtin("tiny")
    assert tiny.vocabulary_path is not None
    save_model(
        tiny.model,
        folder / "models" / "mine",
        tiny.vocabulary_path.read_bytes(),
        initialization=tiny.initialization,
        sentinels=tiny.sentinels,
    )
    return folder


def gradient(root: Path, serving: Serving, name: str = "mine") -> tuple[np.ndarray, list[str]]:
    mesh = serving.mesh(jax.devices()[:4])
    bench = load_workbench(root, name, mesh, serving)
    engine = Engine(bench.served).start()
    try:
        prompt = bench.start(16)
        found = engine.gradients(INPUTS, ["red", "old"], prompt).result(300)
        answers = engine.predict(INPUTS, prompt, Decoding(max_tokens=4)).result(300)
    finally:
        engine.close()
    return found.gradient, [answer.prediction for answer in answers]


def test_a_sharded_model_of_settings_serves_the_same(root: Path) -> None:
    settings = Settings(model_shards=4, remat="dots", chunk_positions=256)
    serving = Serving.of(settings)
    assert serving == Serving(model_shards=4, remat="dots", chunk_positions=256)
    plain, wide = gradient(root, Serving()), gradient(root, serving)
    np.testing.assert_allclose(plain[0], wide[0], rtol=1e-3, atol=1e-4 * np.abs(plain[0]).max())
    assert plain[1] == wide[1]


@pytest.mark.parametrize(("weights", "near"), [("bfloat16", 0.99), ("int8", 0.98)])
def test_smaller_weights_are_kept_as_asked_and_steer_alike(
    root: Path, weights: str, near: float
) -> None:
    serving = Serving(weights=weights)  # type: ignore[arg-type]
    for name in ("mine", "tiny"):
        leaves = load_workbench(root, name, serving=serving).served.frozen.leaves
        kernel = jnp.int8 if weights == "int8" else jnp.bfloat16
        assert {x.dtype for x in leaves} <= {
            jnp.dtype(kernel),
            jnp.dtype("bfloat16"),
            jnp.dtype("float32"),
        }
        assert sum(x.dtype == kernel for x in leaves) > 20
    a, b = gradient(root, Serving())[0].ravel(), gradient(root, serving)[0].ravel()
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > near


def test_model_shards_that_do_not_divide_the_devices_are_refused(root: Path) -> None:
    with pytest.raises(InvalidInput, match="model=3"):
        Serving(model_shards=3).mesh(jax.devices()[:4])
