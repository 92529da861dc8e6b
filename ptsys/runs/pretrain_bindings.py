"""What gin may bind of pretraining, and which run to start; it needs nothing of the service, so
that `scripts/pretrain.py` runs on a machine that has JAX and little else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gin

from ptsys.config import Settings
from ptsys.data.episodes import EpisodeConfig
from ptsys.data.mixture import MixtureConfig
from ptsys.models.t5.gin_bindings import configurable_t5
from ptsys.passes.pretrain import PretrainOptimizer, Steering
from ptsys.passes.pretrain_reading import Reading
from ptsys.runs.pretrain import PretrainRun
from ptsys.runs.pretrain_pools import PoolConfig

PRETRAINING = (
    configurable_t5,
    *(
        gin.external_configurable(one, module=f"ptsys.{room}")
        for room, ones in (
            ("runs", (PretrainRun, PoolConfig)),
            ("data", (MixtureConfig, EpisodeConfig)),
            ("passes", (PretrainOptimizer, Steering, Reading)),
        )
        for one in ones
    ),
)


@gin.configurable("start", module="ptsys.runs")  # type: ignore[untyped-decorator]
def chosen(
    run: Callable[[Settings], dict[str, Any]] = gin.REQUIRED,
) -> Callable[[Settings], dict[str, Any]]:
    """The run that the file binds: `start.run = @PretrainRun()`."""
    return run
