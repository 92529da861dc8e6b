"""The shape of a T5 model."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from ptsys.errors import InvalidInput
from ptsys.kinds.encoders import encoder_shapes


@dataclasses.dataclass(frozen=True)
class T5Config:
    """Sizes and variants of a T5 encoder-decoder (Raffel et al. 2020; T5 1.1 release notes).

    `activation="gelu"` with `gated=True` and untied embeddings is T5 1.1; `activation="relu"`,
    `gated=False` and tied embeddings is T5 1.0.
    """

    kind: ClassVar[str] = "t5"  # the model kind

    vocab_size: int
    d_model: int
    num_heads: int
    head_dim: int
    d_ff: int
    encoder_layers: int
    decoder_layers: int
    activation: Literal["gelu", "relu"] = "gelu"
    gated: bool = True
    tie_embeddings: bool = False
    relative_buckets: int = 32
    relative_max_distance: int = 128
    norm_epsilon: float = 1e-6
    max_input_length: int = 512
    max_target_length: int = 512
    tokenizer: Literal["sentencepiece", "byt5"] = "sentencepiece"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and value <= 0:
                raise InvalidInput(f"{field.name} must be positive, not {value}", field=field.name)
        if self.relative_buckets < 4:
            raise InvalidInput("relative_buckets must be 4 or more", field="relative_buckets")
        if self.relative_max_distance <= self.relative_buckets // 2:
            raise InvalidInput(
                "relative_max_distance must exceed half of relative_buckets",
                field="relative_max_distance",
            )

    @property
    def inner_dim(self) -> int:
        """Width of the joined attention heads."""
        return self.num_heads * self.head_dim

    @property
    def encoder_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of a generator's parameters: see `ptsys.models.t5.generator`."""
        return encoder_shapes(self)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON-ready form; `T5Config(**d)` reads it back."""
        return dataclasses.asdict(self)
