"""What gin may bind of pretraining, and which run to start; it needs nothing of the service, so
that `scripts/pretrain.py` runs on a machine that has JAX and little else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gin

from ptsys.config import Settings
from ptsys.models.t5.gin_bindings import configurable_t5
from ptsys.pretraining.episodes import EpisodeConfig
from ptsys.pretraining.mixture import MixtureConfig
from ptsys.pretraining.pools import PoolConfig
from ptsys.pretraining.reading_step import Reading
from ptsys.pretraining.run import PretrainRun
from ptsys.pretraining.step import PretrainOptimizer, Steering

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
