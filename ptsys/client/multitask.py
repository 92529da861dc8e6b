"""Multi-task prompts in the user's own loop: `ptsys.prompts.multitask`, under the client's name."""

from ptsys.prompts.multitask import Affine, Method, SplitGradient, combine, split_gradient

__all__ = ["Affine", "Method", "SplitGradient", "combine", "split_gradient"]
