"""One tiny frozen model for all tests of the passes, so that compiled functions are shared."""

from __future__ import annotations

import pytest
from numpy_t5 import Reference
from tiny_batches import tiny

from ptsys.passes.frozen import Frozen


@pytest.fixture(scope="session")
def frozen() -> Frozen:
    """A vocabulary of 64."""
    return tiny(64)


@pytest.fixture(scope="session")
def reference(frozen: Frozen) -> Reference:
    """`frozen`, in NumPy float64."""
    return Reference(frozen)


@pytest.fixture(scope="session")
def chatty() -> Frozen:
    """A vocabulary of 12 whose rows end after two to six tokens."""
    return tiny(12, seed=11)
