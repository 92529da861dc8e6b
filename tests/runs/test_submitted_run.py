"""`ptsys run … --submit`: the queue's workers do what the run would do, and once."""

from pathlib import Path

import pytest
from commands import MODEL, Ended, examples, write_rows
from small_runs import SMALL, TASKS, start, stores, tensors, write_tasks

from ptsys.config import Settings
from ptsys.runs.gin_bindings import run_from_gin
from ptsys.runs.multitask import MultiTask
from ptsys.runs.submission import Submittable
from ptsys.types.multitask import MultiTaskOptions


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("three") / "tasks")


def queue(root: Path, run: str, tasks: Path, *more: str, **values: object) -> Ended:
    given = SMALL | {"TASKS": str(tasks)} | values
    return start(root, run, "--submit", "--json", *more, **given)


def jobs(ended: Ended) -> dict[str, dict]:
    assert ended.code == 0, ended.err
    assert isinstance(ended.json, dict)
    return {line["prompt"]: line for line in ended.json["jobs"]}


@pytest.mark.device
@pytest.mark.usefixtures("stack")
def test_a_run_is_queued_once_and_its_workers_train_it(root: Path, tasks: Path) -> None:
    first = jobs(queue(root, "prompt_tune", tasks))
    second = jobs(queue(root, "prompt_tune", tasks))
    assert set(first) == set(TASKS)
    assert {name: line["job"] for name, line in second.items()} == {
        name: line["job"] for name, line in first.items()
    }
    assert len(stores(root)[0].list("local")) == 6  # train and validation of each, stored once
    ended = jobs(queue(root, "prompt_tune", tasks, "--wait"))
    assert {line["state"] for line in ended.values()} == {"succeeded"}
    assert "accuracy" in ended["parity"]["scores"]
    assert set(tensors(root)) == set(TASKS)
    again = jobs(queue(root, "prompt_tune", tasks, "--wait"))  # the prompts are there: no new job
    assert {name: line["job"] for name, line in again.items()} == {
        name: line["job"] for name, line in first.items()
    }
    other = queue(root, "prompt_tune", tasks, STEPS=9)
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "is there already, of other rows or settings" in other.err


def test_several_tasks_are_one_job(root: Path, tasks: Path) -> None:
    first = jobs(queue(root, "multitask", tasks, NAME="all", BATCH_SIZE=6))
    assert list(first) == ["all"]
    again = jobs(queue(root, "multitask", tasks, NAME="all", BATCH_SIZE=6))
    assert again["all"]["job"] == first["all"]["job"]
    other = queue(root, "multitask", tasks, NAME="all", BATCH_SIZE=7)
    assert other.code == 2
    assert "trains another prompt 'all'" in other.err


def test_a_refused_run_stores_no_rows(root: Path, tasks: Path, tmp_path: Path) -> None:
    assert jobs(queue(root, "multitask", tasks, NAME="held", BATCH_SIZE=6))
    (tmp_path / "fresh").mkdir()
    write_rows(tmp_path / "fresh" / "train.jsonl", examples(9))
    before = {dataset.name for dataset in stores(root)[0].list("local")}
    refused = queue(root, "multitask", tmp_path / "fresh", NAME="held", BATCH_SIZE=6)
    assert refused.code == 2
    assert "trains another prompt 'held'" in refused.err
    assert {dataset.name for dataset in stores(root)[0].list("local")} == before


def test_the_owner_that_a_run_names_owns_its_jobs(root: Path, tasks: Path) -> None:
    line = jobs(queue(root, "prompt_tune", tasks / "shout", OWNER="ada", STEPS=3))
    assert list(line) == ["shout"]
    assert [x.owner for x in stores(root)[0].list("ada") if x.owner == "ada"] == ["ada", "ada"]


def test_a_mixture_is_a_job_of_several_tasks_by_its_rates(root: Path, tasks: Path) -> None:
    mixture = ["gin/tasks/mixture.gin", "gin/recipes/tiny.gin"]
    rates = {"colours": 2.0, "parity": 1.0, "shout": 1.0}
    bindings = [
        f"FOLDER = {str(tasks)!r}",
        "MIXTURE = 'mixed'",
        "NAME = 'mixed'",
        "TaskMixture.mixing = 'rates'",
        f"TaskMixture.rates = {rates!r}",
    ]
    run: object = run_from_gin(["gin/runs/multitask.gin", *mixture], bindings)
    assert isinstance(run, Submittable)
    assert isinstance(run, MultiTask)
    settings = Settings(data_dir=root, model=MODEL)
    shares = {line["task"]: line["share"] for line in run.plan(settings)["tasks"]}
    assert shares == {"colours": 0.5, "parity": 0.25, "shout": 0.25}
    [request] = run.jobs(settings)
    assert isinstance(request.options, MultiTaskOptions)
    assert {task.name: task.rate for task in request.options.tasks} == rates
    files = tuple(mixture)
    values = {name: value for name, value in SMALL.items() if name != "MODEL"}
    alone = start(
        root, "prompt_tune", "--submit", files=files, **values, FOLDER=str(tasks), MIXTURE="m"
    )
    assert alone.code == 2
    assert "'m' is a mixture" in alone.err
    assert "multitask.gin" in alone.err
