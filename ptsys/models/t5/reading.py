"""What a T5 reads of a prompt: the names of the arrays that it knows, and where each of them goes.

`prompt` [P, D], tokens before the encoder's input; `decoder_prompt` [P, D], tokens before the
decoder's; and `encoder_keys`, `encoder_values` [P, N, HK] and so on, keys and values that the
layers of a stack attend to besides: see `ptsys.models.t5.prefix`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
from jaxtyping import Array, Bool, Float

from ptsys.kinds.batch import Readings, prompt_mask
from ptsys.models.t5.prefix import Deep, Prefix, SoftTokens

PROMPT, DECODER_PROMPT = "prompt", "decoder_prompt"
STACKS = ("encoder", "decoder", "cross")


def tokens_before(own: Readings) -> tuple[Float[Array, "B P D"] | None, Bool[Array, "B P"] | None]:
    """The tokens before each row's input, and their mask."""
    found = _tokens(own, PROMPT)
    return (None, None) if found is None else (found.values, found.mask)


def decoder_tokens(own: Readings) -> SoftTokens | None:
    """The tokens before each row's decoder input."""
    return _tokens(own, DECODER_PROMPT)


def prefixes(own: Readings) -> Deep | None:
    """The keys and values for the layers."""
    found = {stack: _prefix(own, stack) for stack in STACKS}
    return Deep(**found) if any(x is not None for x in found.values()) else None


def beside(shapes: Mapping[str, Any]) -> int:
    """Positions that rows have besides those of the encoder, where the arrays [rows, P, ...] are
    of these shapes: what they hold for each is about as much."""
    return max((x.shape[1] for name, x in shapes.items() if name != PROMPT), default=0)


def beside_tokens(names: Iterable[str]) -> int:
    """How many of the arrays of these names are not for tokens before the encoder's input."""
    return sum(name == DECODER_PROMPT or name.split("_")[0] in STACKS for name in names)


def _tokens(own: Readings, name: str) -> SoftTokens | None:
    if name not in own.values:
        return None
    return SoftTokens(own.values[name], _mask(own, name))


def _prefix(own: Readings, stack: str) -> Prefix | None:
    keys, values = f"{stack}_keys", f"{stack}_values"
    if keys not in own.values:
        return None
    return Prefix(own.values[keys], own.values[values], _mask(own, keys))


def _mask(own: Readings, name: str) -> jax.Array:
    return prompt_mask(own.length[name], own.values[name].shape[1])
