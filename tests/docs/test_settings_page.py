"""docs/reference/settings.md names every variable that exists, and nothing names another."""

import re
from pathlib import Path

from ptsys.config import Settings

_OF_TESTS = {"PTSYS_TEST_DATA", "PTSYS_TEST_POSTGRES_URL"}
_TEXTS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "ptsys/**/*.py", "workers/**/*.py")
_DEPLOYED = "deploy/**/*"
_OWN = ("scripts/**/*.*", "benchmarks/**/*.py")  # which read variables of their own
_NAME = re.compile(r"PTSYS_[A-Z][A-Z_]*[A-Z]\b")


def _page(repository: Path) -> str:
    return (repository / "docs" / "reference" / "settings.md").read_text()


def test_every_setting_is_read_by_somebody(repository: Path) -> None:
    rows = [line.split(" | ") for line in _page(repository).splitlines() if "`PTSYS_" in line]
    readers = {row[0].strip("| `"): row[3] for row in rows if len(row) > 3}
    assert set(readers) == {f"PTSYS_{name.upper()}" for name in Settings.model_fields}
    assert {name for name, who in readers.items() if who == "nobody"} == set()


def test_no_page_message_or_deployment_names_a_variable_that_is_none(repository: Path) -> None:
    known = set(re.findall(r"`(PTSYS_[A-Z_]+)`", _page(repository))) | _OF_TESTS
    for pattern in _OWN:
        for path in repository.glob(pattern):
            known |= set(_NAME.findall(path.read_text(errors="replace")))
    unknown = {
        f"{path.relative_to(repository)}: {name}"
        for pattern in (*_TEXTS, _DEPLOYED)
        for path in repository.glob(pattern)
        if path.is_file()
        for name in _NAME.findall(path.read_text(errors="replace"))
        if name not in known
    }
    assert unknown == set()
