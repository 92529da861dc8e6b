"""What company may change of a user's results: the rounding of another compiled shape, no more."""

import numpy as np

from ptsys.engine.engine import Engine
from ptsys.types.requests import Decoding

ROUNDING = 1e-5  # of the largest element; 80 at once were told to differ by up to 3.3e-6


def test_gradients_in_company_differ_by_rounding_alone(engine: Engine) -> None:
    prompt = engine.model.initialization[:8]
    inputs, targets = ["hello", "a longer input"], ["yes", "no"]
    alone = engine.gradients(inputs, targets, prompt).result(240)
    again = engine.gradients(inputs, targets, prompt).result(240)
    assert np.array_equal(alone.gradient, again.gradient)  # one shape: the same bits
    crowd = [
        engine.gradients(inputs, targets, prompt * (1 if n % 2 else 7), user=f"u{n}")
        for n in range(12)
    ]
    for number, future in enumerate(crowd):
        if number % 2:
            found = future.result(240)
            difference = np.abs(found.gradient - alone.gradient).max()
            assert difference <= ROUNDING * np.abs(alone.gradient).max()
            assert abs(found.loss - alone.loss) <= ROUNDING * alone.loss


def test_answers_in_company_are_the_same(engine: Engine) -> None:
    prompt, how = engine.model.initialization[:8], Decoding(labels=("ja", "no"))
    [alone] = engine.predict(["x"], prompt, how).result(240)
    crowd = [engine.predict(["x", "other"], prompt, how, user=f"u{n}") for n in range(8)]
    for future in crowd:
        found = future.result(240)[0]
        assert found.prediction == alone.prediction
        assert abs(found.score - alone.score) <= ROUNDING * abs(alone.score)
