"""How useful prompts and those who share them are, and how difficult tasks: what is told of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ptsys.types.model import Value
from ptsys.types.records import Prompt

MOST_RANKED = 1000  # places of one ranking

RankedThing = Literal["prompt", "submitter"]


class _Ranked(Value):
    utility: float = Field(description="What the ranking is by; see docs/library.md.")
    uses: int = Field(description="Requests answered, and prompts made from it that you may see.")
    made: int = Field(description="Prompts that were made from it, of those that you may see.")
    gained: float = Field(description="Points of accuracy that these gained, and theirs in turn.")


class RankedPrompt(_Ranked):
    """A prompt's place in a ranking, as the one who asks may see it."""

    prompt: Prompt


class RankedSubmitter(_Ranked):
    """The place of one who shares prompts. Only prompts that the one who asks may see count."""

    submitter: str
    prompts: int


class NeighbourDifficulty(Value):
    """How difficult the task of a prompt nearby was by its own score."""

    prompt: str
    owner: str
    name: str
    similarity: float
    difficulty: float


class Difficulty(Value):
    """How difficult a prompt's task is, from 0 to 1; see docs/library.md.

    `own` is what its own score says, None without one. `difficulty` also minds its neighbours; it
    is None where neither says anything. What the one who asks may not see counts for nothing:
    `rows` is None for a dataset that is not theirs to see.
    """

    prompt: str
    difficulty: float | None
    own: float | None
    accuracy: float | None
    rows: int | None
    steps: int
    neighbours: tuple[NeighbourDifficulty, ...] = ()
    note: str | None = Field(default=None, description="Why there are no neighbours.")
