"""What a job that trains a meta-prompt is told: which prompts it tunes first, what cannot be."""

from typing import Any

import pytest
from pydantic import ValidationError

from ptsys.types.meta_training import MetaSpec
from ptsys.types.specs import hyperparameters


def spec(*prompts: str | None, **given: Any) -> MetaSpec:
    tasks = [
        {"name": f"t{number}", "dataset": "d", "prompt": prompt}
        for number, prompt in enumerate(prompts)
    ]
    return MetaSpec(name="m", tasks=tasks, **{"held_out": 1, "steps": 10} | given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "missing", "steps"),
    [
        ({"method": "regression"}, [1], 110),
        ({"method": "regression", "tuning_steps": 7}, [1], 17),
        ({"method": "regression", "held_out": 0}, [1, 2], 210),
        ({}, [], 10),
        ({"teacher_weight": 1.0}, [], 10),
        ({"teacher_weight": 1.0, "tuning_steps": 7}, [1], 17),
        ({"answer_weight": 1.0, "tuning_steps": 7}, [1], 17),
    ],
)
def test_prompts_that_are_missing_are_tuned_first(
    given: dict[str, Any], missing: list[int], steps: int
) -> None:
    made = spec("p", None, None, **given)
    assert (made.missing_prompts, made.planned_steps) == (missing, steps)
    recorded = hyperparameters(made)
    assert ("tuning_steps" in recorded) == bool(missing)


def test_where_none_is_missing_none_is_recorded() -> None:
    made = spec("p", "q", None, method="regression")
    assert made.missing_prompts == []
    assert "tuning_steps" not in hyperparameters(made)


@pytest.mark.parametrize(
    ("prompts", "given", "field"),
    [
        ((None, None), {"tuning_steps": 7}, "tuning_steps"),
        ((None, None), {"teacher_weight": 1.0}, "teacher_weight"),
        ((None, None), {"answer_weight": 1.0}, "answer_weight"),
        (("p", None), {"answer_weight": 1.0, "method": "regression"}, "answer_weight"),
        ((None, "p"), {"teacher_weight": 1.0}, "teacher_weight"),  # of the task held out
        ((None, None), {"method": "regression", "tuning_steps": 0}, "tuning_steps"),
    ],
)
def test_what_cannot_be_is_refused(
    prompts: tuple[str | None, ...], given: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        spec(*prompts, **given)
    assert [error["loc"][0] for error in refused.value.errors()] == [field]
