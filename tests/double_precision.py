"""jax.numpy for modules that name float32, where a test wants float64."""

from types import ModuleType
from typing import Any

import jax.numpy as jnp


class DoublePrecision(ModuleType):
    """jax.numpy whose float32 is float64: the model computes its norms in float32."""

    float32 = jnp.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)
