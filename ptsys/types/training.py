"""What a training job is asked to do."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ptsys.types.model import UNKNOWN, Unset, Value, refusal
from ptsys.types.names import NAME_HELP, Name
from ptsys.types.requests import GENERIC, Aggregate, MetaReference
from ptsys.types.text import MOST_LABELS, Reference, Text

Tag = Annotated[Text, Field(min_length=1, max_length=100)]


TOKENS = "tokens"
"""The kind of prompts that are soft tokens before the embedded input."""

MOST_KIND = 16  # characters of a kind's name

MOST_STEPS = 1_000_000
"""Updates of one job."""

WRITTEN_START: Aggregate = "mean"
"""How the examples of a written start are put together: the better of the two, as measured."""

MOST = 2**31 - 1
"""Of any whole number: what databases and devices keep."""


class Optimizer(Value):
    """A per-prompt optimizer; see `ptsys.passes.optimizers` for the exact updates."""

    kind: Literal["adafactor", "adamw", "sgd"] = Field(
        default="adafactor", description="How a prompt is updated."
    )
    learning_rate: float = Field(default=0.3, gt=0, le=1000, description="How fast it learns.")
    weight_decay: float = Field(
        default=0.0, ge=0, lt=1, description="Share of itself that it loses a step."
    )
    warmup_steps: int = Field(
        default=0, ge=0, le=MOST_STEPS, description="Steps until the full learning rate."
    )
    decay: Literal["constant", "linear", "cosine"] = Field(
        default="constant", description="The learning rate's way from warm-up to the last step."
    )
    z_loss: float = Field(
        default=0.0, ge=0, le=1, description="Weight of the loss that keeps logits small, as T5X's."
    )
    initial_step: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,  # with the job's steps it is an int32 on the device
        description="Adafactor's step count at the start; T5X's published runs use 1100000.",
    )
    momentum: float = Field(default=0.0, ge=0, lt=1, description="SGD only.")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="AdamW only.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="AdamW only.")


class Initialization(Value):
    """Where a prompt starts. `shared` is the model's one initialization: prompts that began
    there compare with one another in the library. `meta` is what a meta-prompt writes from some
    of the rows that the prompt will be trained on."""

    kind: Literal["shared", "vocabulary", "labels", "text", "prompt", "meta"] = "shared"
    text: Text | None = Field(default=None, max_length=10_000)
    labels: Annotated[tuple[Text, ...], Field(fail_fast=True, max_length=MOST_LABELS)] | None = None
    prompt: Reference | None = None
    meta_prompt: Annotated[MetaReference | None, Unset("generic")] = None
    aggregate: Annotated[Aggregate | None, Unset(WRITTEN_START)] = None

    @model_validator(mode="before")
    @classmethod
    def _told(cls, given: Any) -> Any:
        """A written start says in full what it is written by, so that it is recorded so."""
        if not isinstance(given, dict) or given.get("kind") != "meta":
            return given
        known = {name: value for name, value in given.items() if value is not None}
        return {"meta_prompt": GENERIC, "aggregate": WRITTEN_START, **known}

    @model_validator(mode="after")
    def _complete(self) -> Initialization:
        for kind in ("text", "prompt"):
            if self.kind == kind and not getattr(self, kind):
                raise ValueError(f"initialization '{kind}' needs a {kind}")
        return self


Truncate = Annotated[
    bool, Field(description="Cut inputs that are too long, instead of refusing them.")
]
Tags = Annotated[
    tuple[Tag, ...], Field(fail_fast=True, max_length=100, description="Of what it makes.")
]


class BareJobSpec(Value):
    """What a job of any kind is told. Steps count updates, or whatever else it does one by one."""

    name: Name = Field(description=f"What the prompt will be called. {NAME_HELP}")
    model: Name = Field(default="tiny", description="The frozen model.")

    @model_validator(mode="before")
    @classmethod
    def _makes_tokens(cls, given: Any) -> Any:
        if isinstance(given, dict) and "prompt_kind" in given.keys() - cls.model_fields.keys():
            raise refusal(
                f"a job of this kind makes prompts of the kind {TOKENS!r} alone; leave it out",
                "prompt_kind",
                kind=UNKNOWN,
            )
        return given

    @property
    def makes(self) -> str:
        """The kind of the prompts that it makes."""
        return TOKENS


class JobSpec(BareJobSpec):
    """What every kind of job is told that learns. Lengths count tokens; steps count optimizer
    updates; `batch_size` counts rows a step."""

    steps: int = Field(default=300, ge=1, le=MOST_STEPS, description="Updates of the prompt.")
    length: int = Field(default=16, ge=1, le=1024, description="Tokens in the prompt.")
    batch_size: int = Field(default=16, ge=1, le=512, description="Rows a step.")
    optimizer: Optimizer = Optimizer()
    initialization: Initialization = Field(
        default=Initialization(), description="Where the prompt starts."
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="Of the order of rows and of random starts."
    )
    max_input_length: Annotated[int | None, Unset("the model's limit")] = Field(
        default=None, ge=1, le=MOST, description="The most tokens that are read of an input."
    )
    truncate: Truncate = False
    evaluate_every: int = Field(default=100, ge=1, le=MOST, description="Steps between two scores.")
    checkpoint_every: int = Field(
        default=50, ge=1, le=MOST, description="Steps between two checkpoints."
    )
    tags: Tags = ()

    @property
    def planned_steps(self) -> int:
        """Updates in all, as far as is known before the job begins."""
        return self.steps


class TrainingOptions(JobSpec):
    """All that a training job is told but what it learns from."""

    prompt_kind: Text = Field(
        default=TOKENS,
        max_length=MOST_KIND,
        description="What the prompt is made of and how it enters the model.",
    )

    @property
    def makes(self) -> str:
        """The kind that was chosen."""
        return self.prompt_kind

    def on(self, dataset: str, validation: str | None = None) -> TrainingSpec:
        """The job on these datasets. Raises ValidationError for what is no reference."""
        return TrainingSpec(**dict(self), dataset=dataset, validation=validation)


class TrainingSpec(TrainingOptions):
    """A queued training job: one prompt tuned on one dataset through one frozen model."""

    kind: Literal["train"] = "train"
    dataset: Reference = Field(description="What it learns from.")
    validation: Reference | None = Field(
        default=None, description="Rows to score on as it learns; unset, it is not scored."
    )
