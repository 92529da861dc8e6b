"""The prompt kinds `decoder` and `encoder_decoder`: soft tokens before the decoder's input, alone
or beside those before the encoder's (google-research/prompt-tuning, `PromptDecoder`; PEFT's
`MULTITASK_PROMPT_TUNING`).

Arrays: `decoder_prompt` [P, D], which stands before the decoder's start token, and `prompt` [P, D].
The model reads them as they are.
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
from ptsys.prompts.check import check_prompt
from ptsys.prompts.tokens import LENGTHS, NAME

DECODER_NAME = "decoder_prompt"


@dataclasses.dataclass(frozen=True)
class DecoderTokens(ReadAsItIs):
    """See `ptsys.kinds.prompt_kind.PromptKind`."""

    name: str
    arrays: tuple[str, ...]

    def shapes(self, length: int, model: Any) -> Shapes:
        """So many tokens before each input."""
        return dict.fromkeys(self.arrays, (length, model.d_model))

    def start(self, rows: NDArray[np.float32], model: Any) -> Tree:
        """The same tokens before each input."""
        return {name: np.array(rows) for name in self.arrays}

    def starts_at(self, initialization: str) -> bool:
        """Any but what is written: that is for the encoder to read."""
        return initialization != "meta"

    def layout(self, shapes: Shapes) -> Layout:
        """Each padded to one of the lengths of soft tokens."""
        leaves = tuple(
            Leaf(name, (_padded(shapes[name][0], name), shapes[name][1])) for name in self.arrays
        )
        return Layout(self.name, leaves, sum(leaf.shape[0] for leaf in leaves))

    def check(self, tree: Mapping[str, NDArray[Any]], model: Any, name: str | None = None) -> Tree:
        """Each as `check_prompt` has it."""
        return {
            array: check_prompt(tree[array], model.d_model, model=name, field=array)
            for array in self.arrays
        }

    def compared(self, tree: Tree, start: NDArray[np.float32]) -> NDArray[np.float32]:
        """The change of every token before the encoder's input, beside that of the decoder's."""
        return joined_change(tree, dict.fromkeys(self.arrays, start))


def _padded(length: int, name: str) -> int:
    size = smallest(length, LENGTHS)
    if size is None:
        raise InvalidInput(f"{name} is {length} tokens long; the most is {LENGTHS[-1]}", field=name)
    return size


DECODER = DecoderTokens("decoder", (DECODER_NAME,))
ENCODER_DECODER = DecoderTokens("encoder_decoder", (NAME, DECODER_NAME))
