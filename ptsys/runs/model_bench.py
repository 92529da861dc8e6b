"""The frozen model of a run, laid out as the run or else the deployment says."""

from __future__ import annotations

from ptsys.config import Settings
from ptsys.engine.serving import Serving
from ptsys.engine.workbench import Workbench, load_workbench
from ptsys.sharding.mesh import use_every_core


def model_bench(model: str | None, serving: Serving | None, settings: Settings) -> Workbench:
    """Load a run's model. Raises NotFound, or InvalidInput if it does not fit the devices."""
    use_every_core()
    return load_workbench(settings.root, model or "", serving=serving or Serving.of(settings))
