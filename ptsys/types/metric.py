"""How prompts are compared."""

from __future__ import annotations

from typing import Literal

Metric = Literal["cosine", "l2", "dot"]
"""How alike two prompts' vectors are: the cosine of their angle, their squared distance taken
negative, or their inner product ("dot"). A greater score is always the more alike."""
