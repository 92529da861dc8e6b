"""The prompt kind `tokens`: soft tokens before the embedded input (Lester et al. 2021).

One array `prompt` [P, D], which the model reads as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.kinds.buckets import fit
from ptsys.kinds.changes import joined_change
from ptsys.kinds.prompt_kind import ReadAsItIs
from ptsys.kinds.trees import Layout, Leaf, Shapes, Tree
from ptsys.prompts.check import MAX_LENGTH, check_prompt
from ptsys.types.training import TOKENS as KIND

LENGTHS = (16, 20, 32, 50, 64, 100, 128, 256, 512, MAX_LENGTH)  # those in use stand for themselves
NAME = "prompt"


@dataclasses.dataclass(frozen=True)
class Tokens(ReadAsItIs):
    """See `ptsys.kinds.prompt_kind.PromptKind`."""

    name: str = KIND

    def shapes(self, length: int, model: Any) -> Shapes:
        """So many tokens."""
        return {NAME: (length, model.d_model)}

    def start(self, rows: NDArray[np.float32], model: Any) -> Tree:
        """These tokens."""
        return {NAME: np.array(rows)}

    def starts_at(self, initialization: str) -> bool:
        """Any of them."""
        return True

    def layout(self, shapes: Shapes) -> Layout:
        """Padded to one of `LENGTHS`."""
        length, width = shapes[NAME]
        padded = fit(length, LENGTHS, NAME)
        return Layout(self.name, (Leaf(NAME, (padded, width)),), padded)

    def check(self, tree: Mapping[str, NDArray[Any]], model: Any, name: str | None = None) -> Tree:
        """See `check_prompt`."""
        return {NAME: check_prompt(tree[NAME], model.d_model, model=name)}

    def compared(self, tree: Tree, start: NDArray[np.float32]) -> NDArray[np.float32]:
        """The change of every token."""
        return joined_change(tree, {NAME: start})


TOKENS = Tokens()


def tokens(array: NDArray[np.float32]) -> Tree:
    """The prompt of these soft tokens [P, D]."""
    return {NAME: array}


def as_tree(prompt: Tree | NDArray[np.float32]) -> Tree:
    """A prompt's arrays by name; an array alone is one of soft tokens [P, D]."""
    return tokens(prompt) if isinstance(prompt, np.ndarray) else prompt
