"""Words of the prompt library that travel between its layers."""

from typing import Literal

Metric = Literal["cosine", "l2", "dot"]
"""How alike two prompt vectors are: the cosine of their angle, their Euclidean distance, or their
inner product ("dot", the search for the greatest inner product)."""
