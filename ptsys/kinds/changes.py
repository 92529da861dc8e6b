"""What training changed of a prompt: the array by which prompts of one kind compare.

Letters: P positions, W the numbers that all arrays of a prompt have at one position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput


def joined_change(
    tree: Mapping[str, NDArray[Any]], begun: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The change [P, W] of a prompt since it began at the ends of the arrays `begun`: what all its
    arrays have at a position, one beside another in the order of these.

    Positions are counted from the end, so an array that is shorter than others has not moved where
    it has nothing. Raises InvalidInput for arrays that cannot have begun there.
    """
    for name in sorted(begun.keys() | tree.keys()):
        found = tree[name].shape if name in tree else ()
        known = begun[name].shape if name in begun else ()
        if len(found) < 2 or found[1:] != known[1:] or not 0 < found[0] <= known[0]:
            raise InvalidInput(
                f"a prompt whose {name} has the shape {list(found)} does not compare with a start "
                f"of {list(known)}; search with a prompt of this model",
                field="prompt",
            )
    longest = max(len(tree[name]) for name in begun)
    parts = []
    for name, start in begun.items():
        array = np.asarray(tree[name], np.float32)
        moved = array - start[len(start) - len(array) :]
        missing = longest - len(array)
        parts.append(np.pad(moved.reshape(len(moved), -1), ((missing, 0), (0, 0))))
    return np.concatenate(parts, axis=1)
