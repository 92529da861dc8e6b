"""What a user stores, and how much of it is allowed."""

from __future__ import annotations

from pydantic import Field

from ptsys.types.model import Value


class Quota(Value):
    """The most that a user may store."""

    bytes: int
    objects: int


class Usage(Value):
    """What a user stores: rows of datasets and numbers of prompts. Those that unfinished jobs will
    make are counted as if they were there."""

    bytes: int
    objects: int = Field(description="Datasets and prompts.")


NOTHING = Usage(bytes=0, objects=0)
ONE = Usage(bytes=0, objects=1)
