"""Encodings of rows, asked of an engine: what a prompt changes of them, and what company does."""

import numpy as np
import pytest
from byte_engine import WIDTH

from ptsys.engine.engine import Engine
from ptsys.errors import InvalidInput

INPUTS = ["a", "red river", "a much longer row than the others are", "red river"]


def encodings(engine: Engine, prompt: object = None, **how: str) -> np.ndarray:
    return np.stack(engine.encodings(INPUTS, prompt, **how).result(120))  # type: ignore[arg-type]


def test_rows_are_encoded_in_their_order_alone_and_in_company(engine: Engine) -> None:
    together = encodings(engine)
    assert together.shape == (4, WIDTH)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together[1], together[3], atol=1e-6)
    for row, text in enumerate(INPUTS):
        [alone] = engine.encodings([text]).result(120)
        np.testing.assert_allclose(together[row], alone, atol=1e-5)
    others = [engine.encodings(INPUTS[::-1], user=f"u{i}") for i in range(5)]
    for other in others:
        np.testing.assert_allclose(np.stack(other.result(120))[::-1], together, atol=1e-5)


def test_what_stands_before_the_encoders_input_changes_it_and_nothing_else_does(
    engine: Engine,
) -> None:
    soft = np.random.default_rng(1).normal(size=(5, WIDTH)).astype(np.float32)
    bare, behind = encodings(engine), encodings(engine, soft)
    assert np.abs(bare - behind).max() > 0.01
    np.testing.assert_allclose(encodings(engine, {"decoder_prompt": soft}), bare, atol=1e-5)
    both = {"prompt": soft, "decoder_prompt": soft}
    np.testing.assert_allclose(encodings(engine, both), behind, atol=1e-5)
    deep = {f"encoder_{part}": soft[:, None, :] for part in ("keys", "values")}
    assert np.abs(encodings(engine, deep) - bare).max() > 0.001


def test_no_rows_are_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        engine.encodings([])
