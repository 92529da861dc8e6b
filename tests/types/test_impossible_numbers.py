"""Numbers that no job could use are refused when it is submitted."""

from typing import Any

import pytest
from pydantic import ValidationError

from ptsys.types.augmentation import AugmentSpec
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.training import JobSpec, Optimizer, TrainingSpec

WHOLE = {"name": "p", "dataset": "d", "tasks": [{"name": "t", "dataset": "d"}] * 2}


def integers(kind: type[Any]) -> list[str]:
    """Fields that are whole numbers, or none."""
    return [
        name
        for name, field in kind.model_fields.items()
        if field.annotation is int or field.annotation == int | None
    ]


@pytest.mark.parametrize("kind", [Optimizer, JobSpec, TrainingSpec, AugmentSpec, MultiTaskSpec])
@pytest.mark.parametrize("value", [2**31, 10**30])
def test_no_whole_number_is_without_a_bound(kind: type[Any], value: int) -> None:
    given = {name: x for name, x in WHOLE.items() if name in kind.model_fields}
    names = integers(kind)
    assert names
    for name in names:
        with pytest.raises(ValidationError) as caught:
            kind.model_validate({**given, name: value})
        assert any(error["loc"] == (name,) for error in caught.value.errors()), name


def test_t5xs_published_initial_step_fits() -> None:
    assert Optimizer(initial_step=1_100_000).initial_step == 1_100_000
