"""Runs on a data directory with a tiny random model, and on a running stack."""

from commands import imported, model_folder, root, stack

__all__ = ["imported", "model_folder", "root", "stack"]
