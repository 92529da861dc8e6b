"""Datasets whose targets are a prompt's answers: what is told of one that was just made."""

from __future__ import annotations

from pydantic import Field

from ptsys.types.model import Value
from ptsys.types.records import Dataset


class Generated(Value):
    """A dataset made of a prompt's answers to `asked` inputs."""

    dataset: Dataset
    asked: int = Field(description="Inputs that were answered.")
    left_out: int = Field(description="Answers that were too uncertain, or empty.")
