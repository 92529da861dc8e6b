"""All families, from the files that hold them."""

from __future__ import annotations

from ptsys.generated import (
    categories,
    editing,
    extraction,
    intents,
    knowledge,
    letters,
    lists,
    morphology,
    questions,
    sentiment,
    sequences,
    topics,
)
from ptsys.generated.in_context import in_context_family
from ptsys.generated.task import Family, Sampler

#: All but `in_context`, which wraps these.
PLAIN_FAMILIES: tuple[Family, ...] = tuple(
    family
    for module in (
        lists,
        letters,
        sequences,
        morphology,
        categories,
        knowledge,
        intents,
        topics,
        sentiment,
        questions,
        extraction,
        editing,
    )
    for family in module.FAMILIES
)


def families_without(exclude: frozenset[str]) -> tuple[Family, ...]:
    """All families but the named ones; what is left out is not wrapped by `in_context` either."""
    plain = tuple(family for family in PLAIN_FAMILIES if family.name not in exclude)
    wrapped = () if "in_context" in exclude or not plain else (in_context_family(plain),)
    return (*plain, *wrapped)


ALL_FAMILIES: tuple[Family, ...] = families_without(frozenset())
FAMILIES: dict[str, Sampler] = {family.name: family.sample for family in ALL_FAMILIES}
WEIGHTS: dict[str, float] = {family.name: family.weight for family in ALL_FAMILIES}
