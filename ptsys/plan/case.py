"""What is planned: one compiled step of one model on one topology."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

from ptsys.errors import InvalidInput
from ptsys.kinds.registry import GENERATOR, prompt_kind
from ptsys.models.execution import Execution, Remat
from ptsys.models.t5.attention_kernel import supports
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.kind import chunk_size
from ptsys.models.t5.reading import beside_tokens
from ptsys.plan.topologies import Topology, topology
from ptsys.types.meta_training import Generator
from ptsys.types.training import TOKENS

Step = Literal["gradients", "train", "predict", "score", "meta"]
DataType = Literal["bfloat16", "float32"]

STEPS: tuple[Step, ...] = get_args(Step)
REMATS: tuple[Remat, ...] = get_args(Remat)
DATA_TYPES: tuple[DataType, ...] = get_args(DataType)


MEANS = 8  # outputs that a planned meta-prompt averages over the examples: the end of its prompts


@dataclasses.dataclass(frozen=True)
class Case:
    """One step. `rows` and `users` count over all chips; lengths are in tokens. In a step of the
    training of meta-prompts, one a user, each writes prompts of `prompt` tokens for so many `tasks`
    from so many `examples`, which are as long as inputs; what reads them is the `generator`."""

    config: T5Config
    topology: str
    step: Step
    rows: int
    users: int
    data: int
    model: int
    inputs: int = 256
    prompt: int = 100
    targets: int = 16
    execution: Execution = Execution()
    dtype: DataType = "bfloat16"
    prompt_kind: str = TOKENS
    tasks: int = 8
    examples: int = 16
    generator: Generator = "shared"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form, which `Case.of` reads back."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, value: dict[str, Any]) -> Case:
        """What `to_dict` gave."""
        parts = {
            "config": T5Config(**value["config"]),
            "execution": Execution(**value["execution"]),
        }
        return cls(**value | parts)

    @property
    def place(self) -> Topology:
        """The topology."""
        return topology(self.topology)

    @property
    def generator_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every user's own generator, as its arrays are called in a meta-prompt."""
        if self.step != "meta" or self.generator == "shared":
            return {}
        return {GENERATOR + path: shape for path, shape in self.config.encoder_shapes.items()}

    @property
    def positions(self) -> int:
        """Positions of the encoder: prompt and input."""
        return self.prompt + self.inputs

    @property
    def shown_rows(self) -> int:
        """Examples that prompts are written from, over all chips."""
        return self.users * self.tasks * self.examples if self.step == "meta" else 0

    @property
    def shown_positions(self) -> int:
        """Positions of the encoder for one of them: the meta-prompt's tokens, and its text."""
        return MEANS + 1 + self.inputs

    @property
    def shard_rows(self) -> int:
        """Rows on one data shard."""
        return self.rows // self.data

    @property
    def chunk(self) -> int:
        """Rows that one data shard's passes take through the model at a time."""
        if not self.learns:
            return self.shard_rows
        shapes = prompt_kind(self.prompt_kind).shapes(self.prompt, self.config)
        tokens = 0 if beside_tokens(shapes) == len(shapes) else self.prompt
        beside = self.prompt if beside_tokens(shapes) else 0
        found = chunk_size(tokens, self.inputs, self.shard_rows, self.execution, beside=beside)
        return found.rows

    @property
    def chunks(self) -> int:
        """How many times that is done."""
        return math.ceil(self.shard_rows / self.chunk)

    @property
    def kernel_attends(self) -> bool:
        """Whether the encoder attends in `ptsys.models.t5.attention_kernel`."""
        return self.execution.attention == "kernel" and supports(
            self.config.num_heads, self.config.head_dim, self.positions, self.model
        )

    @property
    def learns(self) -> bool:
        """Whether the step runs backward."""
        return self.step in ("gradients", "train", "meta")


def check(case: Case) -> Case:
    """The case, if it can be compiled at all. Raises InvalidInput."""
    chips = case.place.chips
    if case.data * case.model != chips:
        raise InvalidInput(
            f"data={case.data},model={case.model} is {case.data * case.model} chips, and "
            f"{case.topology} has {chips}; their product must be {chips}",
            field="mesh",
        )
    if case.config.num_heads % case.model:
        raise InvalidInput(
            f"model={case.model} does not divide the {case.config.num_heads} attention heads; use "
            f"one of {', '.join(map(str, model_axes(case.config, chips)))}",
            field="mesh",
        )
    if case.step == "meta" and case.prompt < MEANS:
        raise InvalidInput(f"a meta-prompt writes {MEANS} tokens at least", field="prompt")
    for field, count in (("rows", case.rows), ("users", case.users)):
        if count < 1 or count % case.data:
            raise InvalidInput(
                f"{count} does not divide by the {case.data} data shards; use a multiple of "
                f"{case.data}",
                field=field,
            )
    return case


def model_axes(config: T5Config, chips: int) -> list[int]:
    """Sizes of the model axis that divide both the chips and the heads."""
    return [n for n in range(1, chips + 1) if math.gcd(chips, config.num_heads) % n == 0]
