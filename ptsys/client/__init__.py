"""The Python client: httpx, numpy and safetensors, and never an accelerator stack.

It may import types, errors and data; no store and no jobs, so that it installs on a laptop.
"""

from typing import TYPE_CHECKING, Any

from ptsys.client.asking import Gradients
from ptsys.client.client import Client
from ptsys.client.jobs import JobHandle
from ptsys.client.meta_prompts import MetaPrompt
from ptsys.client.models import ServedModel
from ptsys.client.retries import Retries
from ptsys.client.rows import read_rows
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.library import Found
from ptsys.types.multitask import MultiTaskSpec, TaskSpec
from ptsys.types.requests import Decoding, Prediction
from ptsys.types.selection import Selection
from ptsys.types.training import Initialization, Optimizer, TrainingSpec
from ptsys.types.writing import WriteSpec

if TYPE_CHECKING:
    from ptsys.client.multitask import Affine, SplitGradient, combine, split_gradient
    from ptsys.data.order import BatchOrder

__all__ = [
    "Affine",
    "AugmentSpec",
    "BatchOrder",
    "Client",
    "Decoding",
    "Example",
    "Found",
    "Gradients",
    "Initialization",
    "JobHandle",
    "MetaPrompt",
    "MultiTaskSpec",
    "Optimizer",
    "Prediction",
    "Retries",
    "Selection",
    "ServedModel",
    "SplitGradient",
    "TaskSpec",
    "TrainingSpec",
    "WriteSpec",
    "combine",
    "read_rows",
    "split_gradient",
]

_ARRAYS = {  # what a loop of one's own works with; numpy comes with it
    "Affine": "ptsys.client.multitask",
    "BatchOrder": "ptsys.data.order",
    "SplitGradient": "ptsys.client.multitask",
    "combine": "ptsys.client.multitask",
    "split_gradient": "ptsys.client.multitask",
}


def __getattr__(name: str) -> Any:
    """What works on arrays, loaded when it is first used."""
    if name not in _ARRAYS:
        raise AttributeError(f"module 'ptsys.client' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_ARRAYS[name]), name)
