"""Generators of many small synthetic English text tasks, from word lists and templates of our own.

The built-in tiny model is pretrained on them, so that a soft prompt has abilities to select.
It may import nothing of the other rooms.
"""

from ptsys.generated.registry import FAMILIES, WEIGHTS
from ptsys.generated.sampling import sample_tasks
from ptsys.generated.task import GeneratedTask

__all__ = ["FAMILIES", "WEIGHTS", "GeneratedTask", "sample_tasks"]
