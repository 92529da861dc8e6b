"""Runs have the options of jobs as their own fields, and say which of them is wrong."""

import dataclasses

import pytest

from ptsys.errors import InvalidInput
from ptsys.runs.build_library import BuildLibrary
from ptsys.runs.multitask import MultiTask
from ptsys.runs.prompt_tune import PromptTune
from ptsys.types.flat import flat_options
from ptsys.types.multitask import MultiTaskOptions
from ptsys.types.training import JobSpec, TrainingOptions

UNBOUND = {"prompt_kind", "momentum", "beta1", "beta2"}  # no run of gin has these yet


@pytest.mark.parametrize(
    ("run", "kind"), [(PromptTune, TrainingOptions), (MultiTask, MultiTaskOptions)]
)
def test_runs_have_fields_for_all_options(run: type, kind: type[JobSpec]) -> None:
    fields = {field.name for field in dataclasses.fields(run)}
    missing = set(flat_options(kind)) - fields - UNBOUND
    # a prompt is called after its task, and has one of several seeds; multi-task has no z-loss
    assert missing == ({"name", "seed"} if run is PromptTune else {"z_loss"})


def test_a_runs_wrong_field_is_named_as_the_run_names_it() -> None:
    for changes, field in (
        ({"learning_rate": -1.0}, "BuildLibrary.learning_rate"),
        ({"optimizer": "lion"}, "BuildLibrary.optimizer"),
        ({"length": 0}, "BuildLibrary.length"),
    ):
        with pytest.raises(InvalidInput) as refused:
            BuildLibrary(tasks="x", **changes).options("a", 0)  # type: ignore[arg-type]
        assert refused.value.field == field
    made = BuildLibrary(tasks="x", steps=9, decay="cosine").options("a", 3)
    assert (made.seed, made.evaluate_every, made.optimizer.decay) == (3, 9, "cosine")
