"""A deep prompt trained, asked, differentiated and stored through the whole service."""

import numpy as np
import pytest
import tiny_model

from ptsys.client import Client, Optimizer
from ptsys.errors import InvalidInput

pytestmark = pytest.mark.device
MODEL, ROWS = tiny_model.NAME, tiny_model.rows()
CONFIG = tiny_model.CONFIG


def test_a_deep_prompt_goes_through_the_whole_service(ann: Client) -> None:
    job = ann.train(
        "deep",
        ROWS,
        model=MODEL,
        steps=20,
        length=4,
        prompt_kind="deep",
        optimizer=Optimizer(learning_rate=0.1),
    )
    job.wait(timeout=300)
    record = ann.prompts.get("deep")
    assert (record.kind, record.length) == ("deep", 4)
    arrays = ann.prompts.arrays("deep")
    assert arrays["encoder_keys"].shape == (4, CONFIG.encoder_layers, CONFIG.inner_dim)
    assert len(arrays) == 6
    inputs = [row.input for row in ROWS[:4]]
    stored = ann.predict("deep", inputs, labels=["red", "blue"], model=MODEL)
    sent = ann.predict(arrays, inputs, labels=["red", "blue"], model=MODEL)
    assert [x.label_scores for x in stored] == [x.label_scores for x in sent]

    found = ann.gradients(arrays, ROWS[:8], model=MODEL)
    assert {name: x.shape for name, x in found.gradient.items()} == {
        name: x.shape for name, x in arrays.items()
    }
    moved = {name: x - 0.05 * np.sign(found.gradient[name]) for name, x in arrays.items()}
    assert ann.gradients(moved, ROWS[:8], model=MODEL).loss < found.loss

    copy = ann.prompts.add("copy", arrays, model=MODEL)
    assert (copy.kind, copy.bytes) == ("deep", record.bytes)
    for name, array in ann.prompts.arrays(copy).items():
        np.testing.assert_array_equal(array, arrays[name])
    [near] = ann.prompts.search("deep")
    assert (near.prompt.id, near.comparable) == (copy.id, False)
    assert near.score == pytest.approx(1, abs=1e-5)
    narrow = {name: array[:, :, :-1] for name, array in arrays.items()}
    with pytest.raises(InvalidInput, match="wide together"):
        ann.prompts.add("narrow", narrow, model=MODEL)


def test_a_kind_that_there_is_not_is_refused_at_once(ann: Client) -> None:
    for name in ("sparse", "affine"):
        with pytest.raises(InvalidInput, match="choose tokens, decoder, encoder_decoder, deep"):
            ann.train("never", ROWS, model=MODEL, prompt_kind=name)
