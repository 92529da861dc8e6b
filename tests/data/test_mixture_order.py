"""A mixture of datasets is met in its rates, and resumes as a pure function of the step."""

import numpy as np

from ptsys.data.features import EncodedExamples
from ptsys.data.mixture_order import MixtureOrder, joined

SIZES, RATES = (5, 40, 7), (0.5, 0.3, 0.2)


def order(**changes: object) -> MixtureOrder:
    fields = {"sizes": SIZES, "rates": RATES, "batch_size": 16, "seed": 3, **changes}
    return MixtureOrder(**fields)  # type: ignore[arg-type]


def test_a_step_alone_gives_what_it_gives_on_the_way() -> None:
    through = order()
    whole = [through.indices(step) for step in range(40)]
    for step in (39, 3, 17):
        np.testing.assert_array_equal(order().indices(step), whole[step])
    assert any((order(seed=4).indices(step) != whole[step]).any() for step in range(3))


def test_the_rates_are_met_whatever_the_sizes() -> None:
    many = order(batch_size=10_000)
    rows = many.indices(0)
    borders = np.cumsum((0, *SIZES))
    counts = np.histogram(rows, bins=borders)[0]
    assert counts.tolist() == [5000, 3000, 2000]
    assert rows.min() == 0
    assert rows.max() == sum(SIZES) - 1


def test_every_row_of_a_dataset_comes_as_often_as_the_others_of_it() -> None:
    rows = order(batch_size=10_000).indices(0)
    counts = np.bincount(rows, minlength=sum(SIZES))
    for start, size in zip(np.cumsum((0, *SIZES[:-1])), SIZES, strict=True):
        own = counts[start : start + size]
        assert own.max() - own.min() <= 1


def test_joined_datasets_keep_their_rows_in_order() -> None:
    one = EncodedExamples([[1], [2, 3]], [[4], [5]], ["a", "b"], 2, 1, 1)
    two = EncodedExamples([[6]], [[7, 8, 9]], ["c"], 1, 3)
    both = joined([one, two])
    assert both.inputs == [[1], [2, 3], [6]]
    assert both.targets == [[4], [5], [7, 8, 9]]
    assert (both.max_input, both.max_target, both.truncated, both.texts) == (2, 3, 1, [*"abc"])
