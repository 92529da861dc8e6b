"""How the house is laid out: a room says what it is for, and tests lie where their room does."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE, TESTS = REPOSITORY / "ptsys", REPOSITORY / "tests"
ROOMS = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])


def folders(place: Path) -> set[str]:
    return {path.name for path in place.iterdir() if any(path.glob("*.py"))}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_what_it_is_for_and_what_it_may_import(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    assert len(said.splitlines()[0]) > 20, f"{room.name}/__init__.py: say what the room is for"
    assert re.search(r"\bimports?\b", said), f"{room.name}/__init__.py: say what it may import"


def test_every_room_has_a_place_among_the_layers() -> None:
    gate = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(one["layers"] for one in gate["contracts"] if one["type"] == "layers")
    placed = {name for layer in layers for name in re.split(r"\s*[|:]\s*", layer)}
    assert not {f"ptsys.{room.name}" for room in ROOMS} - placed


def test_a_folder_of_tests_has_the_name_of_what_it_tests() -> None:
    known = {room.name for room in ROOMS} | {path.name for path in REPOSITORY.iterdir()}
    unknown = folders(TESTS) - known
    assert not unknown, f"tests/{unknown} tests no room of ptsys and no folder of the repository"


def test_a_test_file_has_a_name_of_its_own() -> None:
    names = Counter(path.name for path in TESTS.rglob("*.py") if path.name != "conftest.py")
    assert not [name for name, count in names.items() if count > 1]


def test_helpers_are_imported_from_files_with_a_name_of_their_own() -> None:
    for path in TESTS.rglob("*.py"):  # there are many conftests, and which is meant depends
        assert not re.search(r"^\s*(from|import) conftest\b", path.read_text(), re.M), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    for name in re.findall(r"\btests/[\w/.]+", page.read_text()):
        assert (REPOSITORY / name.rstrip("./")).exists(), f"{page.name} names {name}"
