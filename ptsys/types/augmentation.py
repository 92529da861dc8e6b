"""What an augmentation job is asked to do (WO2023022727A1, figures 2, 6 and 7).

Every default of augmentation stands here.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ptsys.types.metric import Metric
from ptsys.types.model import Unset, refusal
from ptsys.types.text import Reference
from ptsys.types.training import MOST, JobSpec

Strategy = Literal["curriculum", "multitask", "initialization", "auto"]
"""How second prompts help: their datasets in turn, all datasets mixed, or their tensors as the
start; `auto` tries the three, and the best second prompt as it is, and keeps the best."""

LEAST_HELD_OUT = 4
_MOST_STAGES = 6  # of a round of `auto`, beside a stage for each neighbour


class AugmentOptions(JobSpec):
    """All that an augmentation is told but its rows.

    A *query* prompt is trained on the user's rows from the shared start (or is one that the user
    names), the library tells its nearest *second prompts*, and what these were trained on, or
    they themselves, make the user's prompt better. With several `rounds` the result is the next
    round's query. `steps` counts the updates on the user's own rows in a chain's last stage, or
    those on a mixture.
    """

    query: Annotated[Reference | None, Unset("one is trained on the rows")] = Field(
        default=None, description="A stored prompt to search with, as it is."
    )
    strategy: Strategy = Field(
        default="auto", description="How the library helps; auto tries the others."
    )
    neighbours: int = Field(default=3, ge=1, le=32, description="Second prompts to use.")
    candidates: int = Field(
        default=96,
        ge=1,
        le=256,
        description="Prompts that the search brings. Each is tried on the user's rows, and the "
        "`neighbours` that answer them with the lowest loss are the second prompts; with no more "
        "candidates than neighbours the search alone decides.",
    )
    rounds: int = Field(default=1, ge=1, le=8, description="The result is the next one's query.")
    metric: Metric = Field(default="cosine", description="What is alike.")
    minimum_similarity: Annotated[float | None, Unset("none")] = Field(
        default=None,
        allow_inf_nan=False,
        description="Second prompts less alike than this are left out.",
    )
    weights: Literal["similarity", "equal"] = Field(
        default="similarity", description="How second prompts share a mixture or a start."
    )
    temperature: float = Field(
        default=0.1,
        gt=0,
        le=1000,
        description="Weights are the softmax of similarity / temperature.",
    )
    begin: Literal["query", "shared"] = Field(
        default="query",
        description="Where a curriculum or a mixture starts: at the query prompt, which is "
        "retrained so, or at the model's shared start.",
    )
    start: Literal["best", "nearest", "combination"] = Field(
        default="best",
        description="Where `initialization` starts: at the second prompt that answers the user's "
        "rows best, at the most similar one, or at all, their changes from the shared start added "
        "by weight.",
    )
    query_steps: int = Field(
        default=100, ge=1, le=1_000_000, description="Updates that make the query prompt."
    )
    second_steps: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Updates on each second dataset of a curriculum.",
    )
    steps: int = Field(
        default=200,
        ge=1,
        le=1_000_000,
        description="Updates on the user's own rows at the end, or on a mixture.",
    )
    own_share: float = Field(
        default=0.5, gt=0, lt=1, description="The user's rows' share of a mixture."
    )
    polish_steps: int = Field(
        default=50,
        ge=0,
        le=1_000_000,
        description="Updates on the user's own rows alone after a mixture.",
    )
    own_learning_rate: Annotated[float | None, Unset("a third of the optimizer's")] = Field(
        default=None,
        gt=0,
        le=1000,
        description="On the user's own rows alone, after others' or from a second prompt: a few "
        "rows at the full rate undo what came before.",
    )
    budget: Annotated[int | None, Unset("as many as it takes")] = Field(
        default=None,
        ge=1,
        le=MOST,
        description="For `auto`: the most updates in all, the query's among them.",
    )

    def on(self, dataset: str, validation: str | None = None) -> AugmentSpec:
        """The job on these datasets. Raises ValidationError for what is no reference."""
        return AugmentSpec(**dict(self), dataset=dataset, validation=validation)

    @property
    def planned_steps(self) -> int:
        """Updates in all, as far as is known before second prompts are found."""
        seconds = self.neighbours * self.second_steps
        mixture = self.steps + self.polish_steps
        own = {
            "curriculum": seconds + self.steps,
            "multitask": mixture,
            "initialization": self.steps,
            "auto": seconds + self.steps + mixture + self.steps,
        }[self.strategy]
        planned = self.own_query_steps + self.rounds * own
        return planned if self.budget is None else min(planned, self.budget)

    @property
    def gentle_rate(self) -> float:
        """The learning rate on the user's own rows after what others brought."""
        return self.own_learning_rate or self.optimizer.learning_rate / 3

    @property
    def own_query_steps(self) -> int:
        """Updates that the query takes: none where the user names one."""
        return 0 if self.query is not None else self.query_steps

    @property
    def _least(self) -> int:
        """Updates that the query and all rounds need."""
        return self.own_query_steps + self.rounds * (self.neighbours + _MOST_STAGES)

    def has_room(self, steps: int) -> bool:
        """Whether the budget leaves so many updates more than all else needs."""
        return self.budget is None or self.budget >= self._least + steps

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.initialization.kind != "shared":
            raise refusal(
                "a query starts from the shared start, to be compared with others; leave it out, "
                "or name a prompt to begin with as 'query'",
                "initialization",
                "kind",
            )
        if self.budget is None:
            return self
        if self.strategy != "auto":
            raise refusal("only the strategy 'auto' has this; leave it out", "budget")
        least = self._least
        if self.budget < least:
            raise refusal(
                f"the query and {self.rounds} rounds need at least {least} updates; give more, or "
                "lower query_steps, rounds or neighbours",
                "budget",
            )
        return self


class AugmentSpec(AugmentOptions):
    """A queued augmentation: a prompt for a few rows, lifted by what the library knows."""

    kind: Literal["augment"] = "augment"
    dataset: Reference = Field(description="The user's own rows, a few.")
    validation: Reference | None = Field(
        default=None,
        description="Rows to score on. `auto` chooses by them; without any it holds out a quarter "
        f"of the user's rows, {LEAST_HELD_OUT} at least.",
    )


def too_few_rows(rows: int) -> str | None:
    """Why so many of the user's rows are too few for `auto` to hold some out, if they are."""
    if rows >= 2 * LEAST_HELD_OUT:
        return None
    return (
        f"'auto' chooses by rows that it holds out, {LEAST_HELD_OUT} at least, and there are "
        f"{rows} in all; give {2 * LEAST_HELD_OUT}, or rows to score on, or choose a strategy"
    )
