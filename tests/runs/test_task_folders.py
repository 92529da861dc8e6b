"""A folder of tasks is read alike, whoever names it."""

import json
from pathlib import Path

import pytest
from commands import examples, write_rows

from ptsys.errors import InvalidInput
from ptsys.runs.tasks.jsonl_task import find_tasks
from ptsys.runs.tasks.task_list import task_list


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    (folder / "first").mkdir(parents=True)
    write_rows(folder / "first" / "train.jsonl", examples(5))
    write_rows(folder / "first" / "test.jsonl", examples(3))
    (folder / "first" / "description.txt").write_text(" Say the colour.\n")
    write_rows(folder / "second.v2.jsonl", examples(4))
    (folder / "second.v2.txt").write_text("Say the door.")
    write_rows(folder / "third.jsonl", examples(3))
    (folder / "third.txt").write_text("not this")
    (folder / "tasks.json").write_text(json.dumps([{"name": "third", "description": "this"}]))
    return folder


def test_tasks_are_folders_and_files_and_may_be_described(folder: Path) -> None:
    found = find_tasks(folder)
    assert [task.title for task in found] == ["first", "second.v2", "third"]
    assert [len(task.rows("train")) for task in found] == [5, 4, 3]
    assert [len(task.rows("test")) for task in found] == [3, 0, 0]
    assert [task.description for task in found] == ["Say the colour.", "Say the door.", "this"]
    assert [task.title for task in task_list(str(folder))] == ["first", "second.v2", "third"]


def test_the_parts_of_a_folders_own_task_are_none(folder: Path) -> None:
    for part in ("train", "validation", "test"):
        write_rows(folder / f"{part}.jsonl", examples(2))
    assert [task.title for task in find_tasks(folder)] == ["first", "second.v2", "third"]
    [own] = task_list(str(folder))
    assert (own.title, len(own.rows("train"))) == ("tasks", 2)


def test_two_tasks_of_one_name_are_refused(folder: Path) -> None:
    write_rows(folder / "first.jsonl", examples(2))
    with pytest.raises(InvalidInput, match="two tasks of one name"):
        find_tasks(folder)
