"""Every matrix product of a step, from the model's shapes: what its FLOPs and bytes follow from.

Counted on rows without padding. A chunk of the gradient pass packs the encoder's positions, but has
room for more, shorter rows in its attention and its decoder, which compute that room too.
Elementwise work (norms, softmax, the gelu) is left out: it is under two percent at the published
sizes. Shape letters: see `ptsys.models.layers`; S prompt and input positions together.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

from ptsys.models.config import T5Config
from ptsys.plan.case import Case

_PACKED = (  # parts that compute real positions alone
    "encoder attention",  # without its second half where rows are full
    "encoder projections",
    "encoder feed-forward",
    "cross keys and values",
    "vocabulary",
)


@dataclasses.dataclass(frozen=True)
class Product:
    """`[left, inner] @ [inner, right]`, done `times` for every row.

    `weight` says that the right side is a frozen weight, which is read once for all rows;
    `gradients` how many of the two sides have a gradient; `last` that it ends a layer, and nothing
    asks for its result when the layer is computed again.
    """

    part: str
    left: int
    inner: int
    right: int
    times: int = 1
    weight: bool = True
    gradients: int = 1
    last: bool = False

    @property
    def flops(self) -> int:
        """Of one forward pass of one row; a multiplication and an addition are two."""
        return 2 * self.left * self.inner * self.right * self.times

    @property
    def backward_flops(self) -> int:
        """Of the gradients that reach its sides, of one row."""
        return self.gradients * self.flops

    @property
    def weight_numbers(self) -> int:
        """Numbers of weights that one pass reads."""
        return self.inner * self.right * self.times if self.weight else 0


def forward_flops(case: Case) -> dict[str, int]:
    """FLOPs of one row's forward pass, by part."""
    return _sums(case, lambda part: part.flops)


def flops(case: Case) -> dict[str, int]:
    """FLOPs of one row in the step, by part: forward, backward, and what is computed again."""
    if not case.learns:
        return forward_flops(case)
    return _sums(
        case, lambda part: part.flops * (1 + times_again(case, part)) + part.backward_flops
    )


def computed_flops(case: Case) -> dict[str, int]:
    """The same with the room for shorter rows, which the device computes as well."""
    full = math.ceil(case.shard_rows / case.chunks)
    return {
        part: count if part in _PACKED else count * case.chunk // full
        for part, count in flops(case).items()
    }


def times_again(case: Case, part: Product) -> int:
    """How often the backward pass computes a product of the forward pass again: see
    `ptsys.models.execution.Execution`."""
    execution = case.execution
    if part.part == "vocabulary":
        return int(execution.vocabulary_block is not None)
    if part.weight:
        return int(execution.remat == "layer" and not part.last)
    queries = case.positions if part.part == "encoder attention" else case.targets
    return int(execution.remat != "none") + int(queries > execution.attention_block)


def _sums(case: Case, of: Callable[[Product], int]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for part in products(case):
        sums[part.part] = sums.get(part.part, 0) + of(part)
    return sums


def products(case: Case) -> list[Product]:
    """The products of one row's forward pass."""
    config, step = case.config, case.step
    s = case.positions
    encoder = [part for layer in range(config.encoder_layers) for part in _encoder_layer(config, s)]
    if step == "predict":
        return encoder + _generated(config, s, case.targets)
    return encoder + _taught(config, s, case.targets)


def _encoder_layer(config: T5Config, s: int) -> Iterator[Product]:
    d, inner = config.d_model, config.inner_dim
    yield Product("encoder projections", s, d, inner, times=3)
    yield from _scores("encoder attention", config, s, s)
    yield Product("encoder projections", s, inner, d)
    yield from _feed_forward("encoder feed-forward", config, s)


def _taught(config: T5Config, s: int, t: int) -> list[Product]:
    """The decoder over all target positions. Before the first layer's cross-attention nothing
    depends on the prompt, so nothing there has a gradient."""
    d, inner = config.d_model, config.inner_dim
    made = []
    for number in range(config.decoder_layers):
        queries = int(number > 0)  # how many gradients those have
        made += [
            Product("decoder projections", t, d, inner, times=3, gradients=queries),
            *_scores("decoder attention", config, t, t, queries, queries),
            Product("decoder projections", t, inner, d, gradients=queries),
            Product("decoder projections", t, d, inner, gradients=queries),
            Product("cross keys and values", s, d, inner, times=2),
            *_scores("cross-attention", config, t, s, queries, 1),
            Product("decoder projections", t, inner, d),
            *_feed_forward("decoder feed-forward", config, t),
        ]
    made.append(Product("vocabulary", t, d, config.vocab_size))
    return made


def _generated(config: T5Config, s: int, t: int) -> list[Product]:
    """The decoder a token at a time, each of the `t` steps over a cache as long as the answer."""
    d, inner = config.d_model, config.inner_dim
    one = [
        Product("decoder projections", 1, d, inner, times=6),
        *_scores("decoder attention", config, 1, t),
        *_scores("cross-attention", config, 1, s),
        *_feed_forward("decoder feed-forward", config, 1),
    ]
    steps = [
        dataclasses.replace(part, times=part.times * t * config.decoder_layers) for part in one
    ]
    keys = Product("cross keys and values", s, d, inner, times=2 * config.decoder_layers)
    return [keys, *steps, Product("vocabulary", 1, d, config.vocab_size, times=t)]


def _scores(
    part: str, config: T5Config, q: int, s: int, queries: int = 1, keys: int = 1
) -> Iterator[Product]:
    """Scores and weighted values; `queries` and `keys` (with the values) are 1 where they have a
    gradient."""
    h, k = config.num_heads, config.head_dim
    weights = min(queries + keys, 1)
    yield Product(part, q, k, s, times=h, weight=False, gradients=queries + keys)
    yield Product(part, q, s, k, times=h, weight=False, gradients=weights + keys)


def _feed_forward(part: str, config: T5Config, positions: int) -> Iterator[Product]:
    d, f = config.d_model, config.d_ff
    yield Product(part, positions, d, f, times=2 if config.gated else 1)
    yield Product(part, positions, f, d, last=True)
