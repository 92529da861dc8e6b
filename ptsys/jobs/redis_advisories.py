"""Which Redis versions have known holes. As of 24 July 2026: Redis's releases 6.2.23, 7.2.15,
7.4.10, 8.2.8, 8.4.5, 8.6.5 and 8.8.1 mend the remote code execution told of that month, and all
before it (CVE-2026-23479, CVE-2025-49844, CVE-2025-32023, CVE-2025-21605, CVE-2024-46981)."""

from __future__ import annotations

import re
from typing import NamedTuple


class Hole(NamedTuple):
    """What is wrong with a version, and which one to take; `certain` unless a distribution may
    have mended what Redis no longer mends."""

    told: str
    certain: bool


MENDED: dict[tuple[int, int], int] = {
    (6, 2): 23,
    (7, 2): 15,
    (7, 4): 10,
    (8, 2): 8,
    (8, 4): 5,
    (8, 6): 5,
    (8, 8): 1,
}
"""The first patch of each series that has no hole known to this version of ptsys."""

_LAST = max(MENDED)


def holes(version: str) -> Hole | None:
    """What is wrong with that version, as `6.2.14`; None if nothing is known."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return Hole(f"the version {version!r} says nothing; take a release of Redis", True)
    major, minor, patch = map(int, found.groups())
    if (major, minor) > _LAST:
        return None
    mended = MENDED.get((major, minor))
    if mended is None:
        newer = ", ".join(f"{a}.{b}.{c}" for (a, b), c in MENDED.items() if (a, b) > (major, minor))
        return Hole(
            f"Redis {version} is of a series that Redis mends no longer; take {newer}, unless your "
            "distribution mends its own",
            False,
        )
    if patch < mended:
        return Hole(
            f"Redis {version} has known holes, up to code execution by whoever may connect; take "
            f"{major}.{minor}.{mended}",
            True,
        )
    return None
