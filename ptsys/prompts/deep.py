"""The prompt kind `deep`: keys and values that every layer of encoder and decoder attends to
besides those of its own positions (prefix tuning, Li & Liang 2021; P-tuning v2, Liu et al. 2022).

Arrays [P, N, HK], P positions for N layers of heads that are HK wide together: `encoder_keys` and
`encoder_values` for the encoder's self-attention, `decoder_…` for the decoder's, `cross_…` for the
decoder's attention to what the encoder made of the input. A prompt has any of the three pairs, one
from PEFT the decoder's alone; a new one has all. The model reads them as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.kinds.buckets import smallest
from ptsys.kinds.changes import joined_change
from ptsys.kinds.prompt_kind import ReadAsItIs
from ptsys.kinds.trees import Layout, Leaf, Shapes, Tree
from ptsys.prompts.check import check_numbers

LENGTHS = (8, 16, 20, 32, 50, 64, 100, 128, 256)  # those in use stand for themselves
STACKS = ("encoder", "decoder", "cross")
PARTS = ("keys", "values")
NAMES = tuple(f"{stack}_{part}" for stack in STACKS for part in PARTS)
SCALE = 0.5  # of the numbers that a new prompt starts with


@dataclasses.dataclass(frozen=True)
class DeepPrompts(ReadAsItIs):
    """See `ptsys.kinds.prompt_kind.PromptKind`."""

    name: str = "deep"

    def shapes(self, length: int, model: Any) -> Shapes:
        """So many positions for every layer."""
        return {
            f"{stack}_{part}": (length, _layers(stack, model), model.inner_dim)
            for stack in STACKS
            for part in PARTS
        }

    def start(self, rows: NDArray[np.float32], model: Any) -> Tree:
        """Small numbers, the same for all prompts, those of a shorter one the end of a longer
        one's. They depend on neither tokens nor weights, only on the model's shape."""
        return {
            name: _drawn(number, shape)
            for number, (name, shape) in enumerate(self.shapes(len(rows), model).items())
        }

    def starts_at(self, initialization: str) -> bool:
        """It has no tokens."""
        return initialization in ("shared", "prompt")

    def layout(self, shapes: Shapes) -> Layout:
        """Positions padded to one of `LENGTHS`."""
        leaves = tuple(
            Leaf(name, (_padded(shapes[name][0], name), *shapes[name][1:]))
            for name in NAMES
            if name in shapes
        )
        return Layout(self.name, leaves, max(leaf.shape[0] for leaf in leaves))

    def check(self, tree: Mapping[str, NDArray[Any]], model: Any, name: str | None = None) -> Tree:
        """As `check_numbers` has it; keys and values for every layer, as many of one as of the
        other."""
        checked: Tree = {}
        owner = f"model {name!r}" if name else "the model"
        for array in NAMES:
            if array not in tree:
                continue
            stack, _ = array.split("_")
            wanted = (_layers(stack, model), model.inner_dim)
            found = tree[array].shape
            if len(found) != 3 or found[1:] != wanted:
                raise InvalidInput(
                    f"{array} has shape {list(found)}; {owner} has {wanted[0]} layers there and "
                    f"heads that are {wanted[1]} wide together: give [length, {wanted[0]}, "
                    f"{wanted[1]}]",
                    field=array,
                )
            if not 1 <= found[0] <= LENGTHS[-1]:
                raise InvalidInput(
                    f"{array} has {found[0]} positions; from 1 to {LENGTHS[-1]} are allowed",
                    field=array,
                )
            if found != tree[f"{stack}_keys"].shape:
                raise InvalidInput(f"{stack}_keys and {array} differ in length", field=array)
            checked[array] = check_numbers(tree[array], array)
        return checked

    def compared(self, tree: Tree, start: NDArray[np.float32]) -> NDArray[np.float32]:
        """The change of all keys and values at a position, layer by layer. One that lacks some,
        as PEFT's do, began elsewhere than those that jobs make."""
        missing = [name for name in NAMES if name not in tree]
        if missing:
            raise InvalidInput(
                f"a deep prompt without {', '.join(missing)} does not compare with those that have "
                "all keys and values; search with one that a job made",
                field="prompt",
            )
        begun = {name: _drawn(place, tree[name].shape) for place, name in enumerate(NAMES)}
        return joined_change(tree, begun)


def _layers(stack: str, model: Any) -> int:
    count: int = model.encoder_layers if stack == "encoder" else model.decoder_layers
    return count


def _padded(length: int, name: str) -> int:
    size = smallest(length, LENGTHS)
    if size is None:
        raise InvalidInput(f"{name} has {length} positions; the most is {LENGTHS[-1]}", field=name)
    return size


def _drawn(number: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Evenly between plus and minus `SCALE`, counted from the end, of Philox's raw stream, which
    never changes between versions of numpy."""
    bits = np.random.Philox(np.random.SeedSequence([number])).random_raw(int(np.prod(shape)))
    even = (bits >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - 1
    return np.ascontiguousarray((SCALE * even).reshape(shape)[::-1], np.float32)


DEEP = DeepPrompts()
