"""What a meta-prompt tells of itself on its way from one deployment to another."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError

from ptsys.errors import InvalidInput
from ptsys.types.meta_training import MOST_TASKS, Method
from ptsys.types.model import Value
from ptsys.types.records import Prompt
from ptsys.types.requests import Aggregate
from ptsys.types.text import Text

NOTE = "meta_prompt"
"""Under this name it stands in the header of a safetensors file."""

Word = Annotated[Text, Field(max_length=300)]
_MOST = 2**19  # characters in all
_SCORES = "held_out_scores"
_TRAINED = "train_loss"  # of the scores, that which is not of held-out tasks


class ToldTask(Value):
    """A task that it was trained on, or only scored on."""

    name: Word
    held_out: bool = False
    description: Word | None = None


class AboutMetaPrompt(Value):
    """Its model, how it was trained, on which tasks, and how well it did on those held out."""

    name: Word
    model: Word
    model_fingerprint: Word
    method: Method | None = None
    aggregate: Aggregate | None = None
    examples: int | None = None
    steps: int = 0
    tasks: tuple[ToldTask, ...] = Field(default=(), fail_fast=True, max_length=MOST_TASKS)
    held_out_scores: dict[Word, float] = Field(default={}, max_length=4 * MOST_TASKS)
    description: Annotated[Text, Field(max_length=10_000)] | None = None
    licence: Word | None = None

    @classmethod
    def of(cls, prompt: Prompt) -> Self:
        """What a stored one's record says, as far as it is known."""
        settings = prompt.hyperparameters
        scores = {name: x for name, x in prompt.scores.items() if name != _TRAINED}
        known: dict[str, Any] = {
            field: settings[field]
            for field in ("method", "aggregate", "examples", "tasks")
            if field in settings
        }
        return cls(
            name=prompt.name,
            model=prompt.model,
            model_fingerprint=prompt.model_fingerprint,
            steps=prompt.steps,
            held_out_scores=scores or settings.get(_SCORES, {}),
            description=prompt.description,
            licence=prompt.licence,
            **known,
        )

    @classmethod
    def read(cls, text: str) -> Self:
        """What `text` wrote. Raises InvalidInput naming the field; what only a newer version knows
        is left out."""
        if len(text) > _MOST:
            raise InvalidInput(
                f"what is told of the meta-prompt has more than {_MOST} characters; shorten it",
                field=NOTE,
            )
        try:
            return cls.model_validate(json.loads(text), extra="ignore")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join((NOTE, *map(str, first["loc"])))
            raise InvalidInput(str(first["msg"]), field=field) from None
        except (ValueError, RecursionError):
            raise InvalidInput(
                "what is told of the meta-prompt is no JSON; export it again", field=NOTE
            ) from None

    @property
    def text(self) -> str:
        """As JSON."""
        return self.model_dump_json(exclude_defaults=True, indent=1)

    def check(self, fingerprint: str, model: str) -> None:
        """Raise InvalidInput unless it is of the model with that fingerprint, called `model`."""
        if self.model_fingerprint != fingerprint:
            raise InvalidInput(
                f"meta-prompt {self.name!r} is of model {self.model!r} with fingerprint "
                f"{self.model_fingerprint}, and {model!r} has {fingerprint}: bring it to where its "
                "own model is, or train one for this",
                field="model",
            )

    @property
    def settings(self) -> dict[str, Any]:
        """What is recorded with one that was brought in. Its scores were not seen here, so they
        are no scores of the record."""
        told = self.model_dump(mode="json", exclude_defaults=True)
        wanted = ("method", "aggregate", "examples", "tasks", _SCORES)
        return {field: told[field] for field in wanted if field in told}
