"""Every matrix product of a step, from the model's shapes: what its FLOPs and bytes follow from.

Counted on rows without padding. Elementwise work (norms, softmax, the gelu) is left out: it is
under two percent at the published sizes. Shape letters: see `ptsys.models.t5.layers`; S prompt and
input positions together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from ptsys.models.t5.config import T5Config
from ptsys.models.t5.layers import reads_memory
from ptsys.plan.case import Case


@dataclasses.dataclass(frozen=True)
class Product:
    """`[left, inner] @ [inner, right]`, done `times` for every row.

    `weight` says that the right side is a frozen weight, which is read once for all rows;
    `gradients` how many of the two sides have a gradient; `last` that it ends a layer, and nothing
    asks for its result when the layer is computed again; `scores` that a softmax follows.
    """

    part: str
    left: int
    inner: int
    right: int
    times: int = 1
    weight: bool = True
    gradients: int = 1
    last: bool = False
    scores: bool = False

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
    sums = _sums(
        case, lambda part: part.flops * (1 + times_again(case, part)) + part.backward_flops
    )
    if case.step == "meta":
        sums["examples"] = round(case.shown_rows / case.rows * _shown_flops(case))
    return sums


def _shown_flops(case: Case) -> int:
    """Of one example that a prompt is written from: its encoding, computed again in the backward
    pass, and the gradient of its outputs for the meta-prompt's tokens, and for a generator that
    learns."""
    layer = list(_encoder_layer(case.config, case.shown_positions))
    once = sum(2 * part.flops + part.backward_flops for part in layer)
    if case.generator == "own-trained":
        once += sum(part.flops for part in layer if part.weight)
    return case.config.encoder_layers * once


def times_again(case: Case, part: Product) -> int:
    """How often the backward pass computes a product of the forward pass again: see
    `ptsys.models.execution.Execution`."""
    execution = case.execution
    if part.part == "vocabulary":  # in no layer
        return 0
    if part.weight:
        return int(execution.remat == "layer" and not part.last)
    queries = case.targets
    if part.part == "encoder attention":
        queries = case.positions
        if case.kernel_attends:
            return int(part.scores) + int(execution.remat == "layer")
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
            *_cross(config, t, s, queries),
            Product("decoder projections", t, inner, d),
            *_feed_forward("decoder feed-forward", config, t),
        ]
    made.append(Product("vocabulary", t, d, config.vocab_size))
    return made


def _generated(config: T5Config, s: int, t: int) -> list[Product]:
    """The decoder a token at a time, each of the `t` steps over a cache as long as the answer."""
    d, inner = config.d_model, config.inner_dim
    keys, *cross = _cross(config, 1, s, 1, all_queries=t)
    one = [
        Product("decoder projections", 1, d, inner, times=6),
        *_scores("decoder attention", config, 1, t),
        *_feed_forward("decoder feed-forward", config, 1),
        *cross,
    ]
    once = keys.part == "cross keys and values"
    if not once:
        one.append(keys)
    layers = config.decoder_layers
    made = [dataclasses.replace(part, times=part.times * t * layers) for part in one]
    if once:
        made.append(dataclasses.replace(keys, times=keys.times * layers))
    return [*made, Product("vocabulary", 1, d, config.vocab_size, times=t)]


def _cross(
    config: T5Config, t: int, s: int, queries: int, all_queries: int | None = None
) -> list[Product]:
    """Cross-attention without the projections of queries and results; few queries (in all) read
    the memory itself: `ptsys.models.t5.layers.Attention.attend_memory`."""
    d, h, k = config.d_model, config.num_heads, config.head_dim
    if not reads_memory(config, all_queries or t, s):
        keys = Product("cross keys and values", s, d, config.inner_dim, times=2)
        return [keys, *_scores("cross-attention", config, t, s, queries, 1)]
    return [
        Product("cross-attention", t, k, d, times=h, gradients=queries),
        Product("cross-attention", t, d, s, h, weight=False, gradients=queries + 1, scores=True),
        Product("cross-attention", t, s, d, times=h, weight=False, gradients=2),
        Product("cross-attention", t, d, k, times=h),
    ]


def _scores(
    part: str, config: T5Config, q: int, s: int, queries: int = 1, keys: int = 1
) -> Iterator[Product]:
    """Scores and weighted values; `queries` and `keys` (with the values) are 1 where they have a
    gradient."""
    h, k = config.num_heads, config.head_dim
    weights = min(queries + keys, 1)
    yield Product(part, q, k, s, times=h, weight=False, gradients=queries + keys, scores=True)
    yield Product(part, q, s, k, times=h, weight=False, gradients=weights + keys)


def _feed_forward(part: str, config: T5Config, positions: int) -> Iterator[Product]:
    d, f = config.d_model, config.d_ff
    yield Product(part, positions, d, f, times=2 if config.gated else 1)
    yield Product(part, positions, f, d, last=True)
