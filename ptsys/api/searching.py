"""What a search of the library is asked, and what it answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ptsys.api.alternatives import WORDS, one_of
from ptsys.errors import InvalidInput
from ptsys.types.example import Example
from ptsys.types.library import DEFAULT_KIND, MOST_FOUND, QUERY_STEPS, Filters, Found, VectorKind
from ptsys.types.metric import Metric
from ptsys.types.model import Value
from ptsys.types.text import Reference, Text


class SearchQuery(Filters):
    """A search by a stored prompt, by words, or by both: then the words are a filter."""

    from_words = True

    prompt: Reference | None = Field(
        default=None, description="A stored prompt: its id, your own name, or owner/name."
    )
    text: Annotated[Text, Field(max_length=1000)] = Field(
        default="",
        description="Words that stand in a prompt's name, description, tags or task, or in its "
        "dataset's name or description. Beside a prompt or rows all must; alone, more are better.",
    )
    metric: Metric = "cosine"
    kind: VectorKind = Field(
        default=DEFAULT_KIND, description="What is compared of the prompts' changes in training."
    )
    count: int = Field(default=10, ge=1, le=MOST_FOUND, description="Most results.")

    @property
    def filters(self) -> Filters:
        """Which prompts may be found."""
        return Filters(**{name: getattr(self, name) for name in Filters.model_fields})

    def refuse_nothing(self, *given: object) -> None:
        """Raise InvalidInput unless one thing is given to search by, or words."""
        several = [one for one in (self.prompt, *given) if one is not None]
        if len(several) > 1:
            raise InvalidInput(
                "search by one thing: a prompt, examples or a dataset; words go with any",
                field="prompt",
            )
        if not several and not self.text.strip():
            raise InvalidInput("say what to search by: a prompt, rows or words", field="prompt")


class ExampleRow(Value):
    """One row of a task."""

    input: Text
    target: Text | None = None


class SearchBody(SearchQuery):
    """A search by a stored prompt, by rows, by words, or by words and one of the others."""

    from_words = False
    model_config = ConfigDict(
        json_schema_extra=one_of(["prompt", "examples", "dataset"], {"text": WORDS})
    )

    examples: Annotated[list[ExampleRow], Field(fail_fast=True)] | None = Field(
        default=None,
        min_length=1,
        description="Rows of a task, on which a prompt is trained first.",
    )
    dataset: Reference | None = Field(
        default=None, description="A stored dataset with such rows: its id, your name, owner/name."
    )
    truncate: bool = Field(
        default=False, description="Cut inputs that are too long, instead of refusing them."
    )
    written: bool = Field(
        default=False,
        description="Let the model's own meta-prompt write the prompt to search with from such "
        "rows, in one pass, where one would be trained; it is not kept.",
    )
    steps: int = Field(
        default=QUERY_STEPS, ge=1, le=10_000, description="Updates of the prompt for such rows."
    )

    def rows(self, most: int, most_bytes: int) -> list[Example] | None:
        """The rows that were sent. Raises InvalidInput for too many or too long ones."""
        if self.examples is None:
            return None
        if len(self.examples) > most:
            raise InvalidInput(
                f"{len(self.examples)} rows are more than the {most} that a request may hold; "
                "store them as a dataset",
                field="examples",
            )
        for place, row in enumerate(self.examples):
            for field, text in (("input", row.input), ("target", row.target)):
                if text is not None and len(text.encode()) > most_bytes:
                    raise InvalidInput(
                        f"this text is longer than {most_bytes} bytes",
                        field=f"examples.{place}.{field}",
                    )
        return [Example(row.input, row.target) for row in self.examples]


class SearchedFor(BaseModel):
    """What was searched for. `prompt` is the id of the stored prompt, or of that which was trained
    on the rows."""

    prompt: str | None
    text: str
    metric: Metric
    kind: VectorKind
    count: int


class SearchResults(BaseModel):
    """What was found, best first."""

    results: list[Found]
    query: SearchedFor
