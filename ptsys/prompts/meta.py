"""The prompt kind `meta`: what makes a frozen model's encoder write prompts.

Arrays, for a model of width D: `tokens` [M, D], soft tokens behind which each example is read
alone; `start` [Q, D], the end that all written prompts begin with, `tail` [Q, D, D], the maps of
the first Q outputs that are averaged over the examples and added to it; `summary` [D, D] and
`label` [D, D], the maps of what stands side by side for every example: a summary of it, from the
output after those Q, and its label's own encodings, to which `embedding_scale` [1] times the
label's embeddings are added. `ptsys.passes.emit` is the same, as pretraining differentiates it.
One with a generator of its own has the parameters of an encoder too, those of all its layers in one
array, `generator.` before their names: that reads the examples in place of the frozen model's.
`domain` [3, N], where there is one, says of which tasks it is (`ptsys.library.domain`); nothing is
written with it.

A model does not read it as a prompt. Shape letters: M meta-prompt tokens, Q outputs averaged,
A label tokens, S slots of an example, P tokens of the written prompt.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptsys.data.shown_examples import LABEL
from ptsys.errors import InvalidInput
from ptsys.kinds.registry import DOMAIN, GENERATOR
from ptsys.kinds.registry import META as NAME
from ptsys.kinds.trees import Shapes, Tree
from ptsys.prompts.check import check_numbers
from ptsys.types.library import MOST_NUMBERS, VECTOR_KINDS
from ptsys.types.requests import Aggregate

NAMES = ("tokens", "start", "tail", "summary", "label", "embedding_scale")
SIDE = 128
"""Positions that stand side by side at most, the last ones."""
MOST_TOKENS = 128
_LEAST = 1e-6  # under the root of a norm's mean square


class Emission(NamedTuple):
    """What the encoder made of one example: its outputs at the meta-prompt's tokens, right-aligned,
    and at the label's places, with the embeddings of the label's tokens, float32."""

    tokens: NDArray[np.float32]
    label: NDArray[np.float32]
    embedded: NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class MetaPrompts:
    """The kind, as far as it is one of prompts: it is stored, shared and sent like them."""

    name: str = NAME

    def shapes(self, length: int, model: Any) -> Shapes:
        """One that averages so many outputs, with a whole map for each."""
        width = model.d_model
        return {
            "tokens": (length + 1, width),
            "start": (length, width),
            "tail": (length, width, width),
            "summary": (width, width),
            "label": (width, width),
            "embedding_scale": (1,),
        }

    def check(self, tree: Mapping[str, NDArray[Any]], model: Any, name: str | None = None) -> Tree:
        """The arrays that write, as contiguous float32, once they are known to be a meta-prompt for
        a model of configuration `model`, called `name`. Raises InvalidInput naming what is wrong.
        """
        missing = [array for array in NAMES if array not in tree]
        if missing:
            raise InvalidInput(f"a meta-prompt has an array {missing[0]!r} too", field=missing[0])
        width, owner = model.d_model, f"model {name!r}" if name else "the model"
        means = len(tree["start"]) if tree["start"].ndim else 0
        wanted = {
            "tokens": (means + 1, width),
            "start": (means, width),
            "tail": (means, width, width),
            "summary": (width, width),
            "label": (width, width),
        }
        for array, shape in wanted.items():
            found = tree[array].shape
            if array == "tokens" and len(found) == 2 and found[0] > means:
                shape = (found[0], width)
            if found != shape or not 1 <= found[0] <= max(MOST_TOKENS, width):
                raise InvalidInput(
                    f"{array} has shape {list(found)}; in a meta-prompt that averages {means} "
                    f"outputs of {owner}, whose width is {width}, it is {list(shape)}",
                    field=array,
                )
        if tree["embedding_scale"].size != 1:
            raise InvalidInput("embedding_scale is one number", field="embedding_scale")
        if len(tree["tokens"]) > MOST_TOKENS:
            raise InvalidInput(
                f"a meta-prompt has at most {MOST_TOKENS} tokens, this one {len(tree['tokens'])}",
                field="tokens",
            )
        extra = {array: x.shape for array, x in tree.items() if array.startswith(GENERATOR)}
        generator = {GENERATOR + path: x for path, x in model.encoder_shapes.items()}
        if extra and extra != generator:
            differ = sorted(extra.items() ^ generator.items())[0][0]
            raise InvalidInput(
                f"the generator has not the shapes of {owner}'s encoder, in {differ!r} to begin "
                "with",
                field=differ,
            )
        checked = {array: check_numbers(tree[array], array) for array in (*wanted, *extra)}
        scale = check_numbers(tree["embedding_scale"].reshape(1), "embedding_scale")
        return checked | {"embedding_scale": scale}

    def kept(self, tree: Mapping[str, NDArray[Any]], model: Any, name: str | None = None) -> Tree:
        """All arrays that are stored: those that write, checked likewise, and its domain."""
        checked = self.check(tree, model, name)
        if DOMAIN not in tree:
            return checked
        wanted = (len(VECTOR_KINDS), min(model.d_model, MOST_NUMBERS))
        if tree[DOMAIN].shape != wanted:
            raise InvalidInput(
                f"{DOMAIN} has shape {list(tree[DOMAIN].shape)}; of this model it is "
                f"{list(wanted)}: leave it out, or export the meta-prompt again",
                field=DOMAIN,
            )
        return checked | {DOMAIN: check_numbers(tree[DOMAIN], DOMAIN)}


META = MetaPrompts()


def generator_of(meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters of its own generator; None if the frozen model's encoder is it."""
    found = {
        name.removeprefix(GENERATOR): array
        for name, array in meta.items()
        if name.startswith(GENERATOR)
    }
    return found or None


def written(
    meta: Tree,
    emissions: Sequence[Emission],
    shown: Sequence[Sequence[int]],
    aggregate: Aggregate = "each",
) -> NDArray[np.float32]:
    """The prompt [P, D] of a task, of whose examples these are the emissions; `shown` are the ids
    that were read, the label's first.

    By `mean` it is the start's tokens alone, with the examples' mean added, and by `joint` likewise
    of the one emission of all examples together; by `each` the examples
    stand side by side before them, as many as `SIDE` positions hold. A description has no label,
    and where there is nothing else, only its mean counts.
    """
    outputs = np.stack([one.tokens for one in emissions])[:, -len(meta["tokens"]) :]
    memory, means = _normed(outputs), len(meta["start"])
    tail = np.einsum("nqd,qdf->qf", memory[:, :means], meta["tail"]) / len(emissions)
    end = meta["start"] + tail
    labels = [np.array(ids[:LABEL]) > 0 for ids in shown]
    if aggregate != "each" or not any(map(np.any, labels)):
        return np.ascontiguousarray(end, np.float32)
    summaries = memory[:, means] @ meta["summary"]
    encoded = _normed(np.stack([one.label for one in emissions])) @ meta["label"]
    encoded = encoded + meta["embedding_scale"] * np.stack([one.embedded for one in emissions])
    side = [
        slot
        for summary, label, real in zip(summaries, encoded, labels, strict=True)
        for slot in (summary, *label[: len(real)][real])
    ]
    return np.ascontiguousarray(np.concatenate([np.stack(side[-SIDE:]), end]), np.float32)


def _normed(x: NDArray[np.float32]) -> NDArray[np.float32]:
    square = np.mean(np.square(x), axis=-1, keepdims=True)
    found: NDArray[np.float32] = x / np.sqrt(square + np.float32(_LEAST))
    return found
