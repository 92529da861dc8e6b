"""What a meta-prompt is compared by: the mean of the vectors of prompts, those that were tuned on
its tasks where it learned from such, else those that it writes for them.

It is kept with the meta-prompt, as its array `domain` [3, N], a row for each of `VECTOR_KINDS` in
their order: so it goes wherever the meta-prompt goes, and an index is made again from it. One
without it is searched for by words alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.kinds.registry import DOMAIN
from ptsys.kinds.trees import Tree
from ptsys.library.tensors import start_of
from ptsys.library.vectors import prompt_vector
from ptsys.prompts.orbax_form import read_array
from ptsys.prompts.tokens import TOKENS, tokens
from ptsys.store.prompts import Prompts
from ptsys.types.library import VECTOR_KINDS, VectorKind, began_shared
from ptsys.types.records import Prompt


def tuned_vectors(
    prompt: Prompt, tree: Tree, start: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """The vectors [3, N] of a stored prompt of soft tokens, as the model reads it; `start` [S, D]
    is where all of the model start. None of one that began elsewhere."""
    if not began_shared(prompt.initialization):
        return None
    return _vectors(tree, start_of(prompt, start))


def written_vectors(rows: NDArray[np.float32], start: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors [3, N] of a prompt [P, D] that was written to the start's end."""
    return _vectors(tokens(rows), start)


def domain_of(vectors: Sequence[NDArray[np.float32]]) -> Tree:
    """The array to keep of a meta-prompt with prompts of these vectors; none without any."""
    if not vectors:
        return {}
    mean: NDArray[np.float64] = np.stack(vectors).mean(axis=0, dtype=np.float64)
    return {DOMAIN: mean.astype(np.float32)}


def domain_vector(prompts: Prompts, prompt: Prompt, kind: VectorKind) -> NDArray[np.float32]:
    """The vector [N] of a stored meta-prompt. Raises InvalidInput if it keeps none, NotFound,
    Damaged or Unavailable if it cannot be read."""
    found = read_array(prompts.tensor_path(prompt.id), DOMAIN)
    if found is None or len(found) != len(VECTOR_KINDS):
        raise InvalidInput(
            f"meta-prompt {prompt.name!r} does not say what it was trained on, so it does not "
            "compare; search by words, or near one that `ptsys meta train` made",
            field="prompt",
        )
    return np.array(found[VECTOR_KINDS.index(kind)])


def _vectors(tree: Tree, start: NDArray[np.float32]) -> NDArray[np.float32]:
    change = TOKENS.compared(tree, start)
    return np.stack([prompt_vector(change, kind) for kind in VECTOR_KINDS])
