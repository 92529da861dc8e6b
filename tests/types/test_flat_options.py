"""One type holds a job's options: flags and gin files have its fields under flat names."""

import pytest
from pydantic import ValidationError

from ptsys.types.augmentation import AugmentOptions, AugmentSpec
from ptsys.types.flat import flat_name, flat_options, nested
from ptsys.types.multitask import MultiTaskOptions, MultiTaskSpec
from ptsys.types.training import JobSpec, Optimizer, TrainingOptions, TrainingSpec

KINDS = (TrainingOptions, MultiTaskOptions, AugmentOptions)


@pytest.mark.parametrize("kind", KINDS)
def test_flat_names_lead_to_the_fields_and_back(kind: type[JobSpec]) -> None:
    options = flat_options(kind)
    assert {option.path[0] for option in options.values()} == set(kind.model_fields)
    assert {name for name, option in options.items() if option.path[0] == "optimizer"} == {
        "optimizer",
        *(set(Optimizer.model_fields) - {"kind"}),
    }
    for name, option in options.items():
        assert flat_name(option.path) == name
    assert flat_name(("initialization", "kind")) == "init"
    assert flat_name(("tasks", 0, "name")) == "tasks.0.name"
    given = {"optimizer": "sgd", "learning_rate": 2.0, "steps": 7}
    assert nested(kind, given) == {"optimizer": {"kind": "sgd", "learning_rate": 2.0}, "steps": 7}


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_says_what_it_is(kind: type[JobSpec]) -> None:
    for name, option in flat_options(kind).items():
        assert option.field.description or name == "tasks", name
        if option.field.default is None and name != "tasks":
            assert option.unset, f"{name}: what does it mean to leave it out?"


def test_a_spec_exists_once_its_rows_are_known() -> None:
    training = TrainingOptions(name="a", steps=5, optimizer=Optimizer(kind="sgd"))
    assert training.on("rows", "dev") == TrainingSpec(
        name="a", steps=5, optimizer=Optimizer(kind="sgd"), dataset="rows", validation="dev"
    )
    assert AugmentOptions(name="a", budget=400).on("rows") == AugmentSpec(
        name="a", budget=400, dataset="rows"
    )
    together = MultiTaskOptions(name="a", tasks=({"name": "x", "rate": 2.0},), mixing="rates")
    assert together.on({"x": {"dataset": "rows"}}) == MultiTaskSpec(
        name="a", tasks=({"name": "x", "rate": 2.0, "dataset": "rows"},), mixing="rates"
    )
    with pytest.raises(ValidationError, match="dataset"):
        training.on("\0")


def test_what_it_means_to_leave_an_option_out_stands_in_the_schema() -> None:
    told = AugmentSpec.model_json_schema()["properties"]["budget"]["description"]
    assert told.endswith("Unset: as many as it takes.")
