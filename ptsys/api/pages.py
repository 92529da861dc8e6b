"""Listings in pages, newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from ptsys.types.text import Text

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items in the page.")]
Before = Annotated[Text | None, Query(max_length=100, description="The `next` of the page before.")]


class Page(BaseModel, Generic[Item]):
    """Some items, and where the next page begins."""

    data: Sequence[Item]
    next: str | None = Field(
        default=None, description="Pass it as `before`; null where no more items are."
    )


def page(
    found: Callable[[int, str | None], Sequence[Item]],
    key: Callable[[Item], str],
    limit: int,
    before: str | None,
) -> Page[Item]:
    """One page of what `found(limit, before)` gives; one more is asked for, to know the end."""
    items = found(limit + 1, before)
    more = len(items) > limit
    return Page(data=items[:limit], next=key(items[limit - 1]) if more else None)
