from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.specs import Spec
from ptsys.types.training import TrainingSpec

SPECS: TypeAdapter[Any] = TypeAdapter(Spec)
TASKS = [{"name": "a", "dataset": "x"}, {"name": "b", "dataset": "y"}]


def test_a_kind_or_tasks_tell_what_it_is() -> None:
    single, several = {"name": "n", "dataset": "x"}, {"name": "n", "tasks": TASKS}
    for given, kind in (
        (single, TrainingSpec),
        ({**single, "kind": "train"}, TrainingSpec),
        (several, MultiTaskSpec),
        ({**several, "kind": "multitask"}, MultiTaskSpec),
    ):
        spec = SPECS.validate_python(given)
        assert type(spec) is kind
        assert SPECS.validate_json(spec.model_dump_json()) == spec
        assert SPECS.validate_python(spec) is spec


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "both"}, "kind"),
        ({"steps": 0}, "steps"),
        ({"colour": 1}, "colour"),
        ({"tasks": []}, "tasks"),
        ({"tasks": [TASKS[0]] * 257}, "tasks"),
        ({"tasks": [TASKS[0], TASKS[0]]}, "tasks.1.name"),
        ({"tasks": [{**TASKS[0], "name": "a/b"}]}, "tasks.0.name"),
        ({"name": "n" * 99}, "tasks.0.name"),
        ({"tasks": [{**TASKS[0], "rate": 2}]}, "tasks.0.rate"),
        ({"mixing": "rates"}, "tasks.0.rate"),
        ({"mixing": "rates", "tasks": [{**TASKS[0], "rate": 0}]}, "tasks.0.rate"),
        ({"mixing": "equal", "size_limit": 9}, "size_limit"),
        ({"combination": "multiply"}, "combination"),
        ({"combination": "add", "task_length": 3}, "task_length"),
        ({"task_length": 0}, "task_length"),
        ({"length": 1000, "task_length": 100}, "task_length"),
        ({"combined_length": 4}, "combined_length"),
        ({"affine_learning_rate": 0.1}, "affine_learning_rate"),
        ({"optimizer": {"z_loss": 1e-4}}, "optimizer.z_loss"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SPECS.validate_python({"name": "n", "tasks": TASKS, **change})
    error = caught.value.errors()[0]
    assert ".".join(map(str, error["loc"])) == field


def test_lengths_follow_from_the_combination() -> None:
    def lengths(**fields: Any) -> tuple[int, int, int]:
        spec = MultiTaskSpec.model_validate({"name": "n", "tasks": TASKS, "length": 8, **fields})
        return spec.specific_length, spec.source_length, spec.prompt_length

    assert lengths(combination="add") == (8, 8, 8)
    assert lengths(task_length=3) == (3, 11, 11)
    assert lengths(combination="affine", task_length=3, combined_length=5) == (3, 11, 5)
    assert lengths(combination="affine", task_length=0) == (0, 8, 8)
