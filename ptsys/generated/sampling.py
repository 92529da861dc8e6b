"""Draws a mixture of tasks over all families."""

from __future__ import annotations

import random

from ptsys.generated.registry import FAMILIES, families_without
from ptsys.generated.task import Family, GeneratedTask

_TRIES = 60


def _quotas(families: tuple[Family, ...], count: int) -> dict[str, int]:
    """Whole numbers that add up to `count`, in proportion to the weights (largest remainder)."""
    total = sum(family.weight for family in families)
    shares = {family.name: count * family.weight / total for family in families}
    quotas = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (quotas[name] - shares[name], name))
    for name in by_remainder[: count - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _distinct(
    family: Family, rng: random.Random, quota: int, taken: set[str]
) -> list[GeneratedTask]:
    """Up to `quota` tasks of a family with names not taken yet; fewer where variants run out."""
    found: list[GeneratedTask] = []
    misses = 0
    while len(found) < quota and misses < _TRIES:
        task = family.sample(rng)
        if task.name in taken:
            misses += 1
            continue
        misses = 0
        taken.add(task.name)
        found.append(task)
    return found


def sample_tasks(
    seed: int, count: int, *, exclude: frozenset[str] = frozenset()
) -> list[GeneratedTask]:
    """`count` tasks with distinct names, spread over families by weight; the same for a seed.

    `exclude` names families to leave out, also inside of in-context tasks. Where a family has too
    few variants, the others fill in.
    """
    if unknown := exclude - FAMILIES.keys():
        raise ValueError(f"no such families: {', '.join(sorted(unknown))}")
    families = families_without(exclude)
    rngs = {family.name: random.Random(f"{seed}/{family.name}") for family in families}
    taken: set[str] = set()
    tasks: list[GeneratedTask] = []
    open_families = families
    while len(tasks) < count:
        if not open_families:
            raise ValueError(f"only {len(tasks)} distinct tasks exist, {count} were asked for")
        quotas = _quotas(open_families, count - len(tasks))
        exhausted: set[str] = set()
        for family in open_families:
            found = _distinct(family, rngs[family.name], quotas[family.name], taken)
            tasks.extend(found)
            if len(found) < quotas[family.name]:
                exhausted.add(family.name)
        open_families = tuple(f for f in open_families if f.name not in exhausted)
    random.Random(f"{seed}/order").shuffle(tasks)
    return tasks
