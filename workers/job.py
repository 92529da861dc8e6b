"""A claimed job of whatever kind, run to its outcome."""

from __future__ import annotations

import logging
from typing import Any

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import Workbench
from ptsys.errors import LeaseLost
from ptsys.jobs.service import Service
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.meta_training import MetaSpec
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.writing import WriteSpec
from workers.augmentation import AugmentRun
from workers.claimed_jobs import ClaimedJob, Halt
from workers.meta import MetaRun
from workers.multitask import MultiTaskRun
from workers.run import Pause, Run
from workers.training import TrainingRun
from workers.writing import WritingRun

logger = logging.getLogger(__name__)


def run_job(
    claimed: ClaimedJob,
    service: Service,
    engine: Engine,
    bench: Workbench,
    pause: Pause = lambda: 1.0,
) -> None:
    """Prepare, train and record a job. Raises nothing: whatever happens is the job's outcome."""
    job = claimed.claim.job
    run: Run[Any]
    if isinstance(job.spec, MultiTaskSpec):
        run = MultiTaskRun(job.spec, claimed, service, engine, bench, pause)
    elif isinstance(job.spec, WriteSpec):
        run = WritingRun(job.spec, claimed, service, engine, bench, pause)
    elif isinstance(job.spec, MetaSpec):
        run = MetaRun(job.spec, claimed, service, engine, bench, pause)
    elif isinstance(job.spec, AugmentSpec):
        run = AugmentRun(job.spec, claimed, service, engine, bench, pause)
    else:
        run = TrainingRun(job.spec, claimed, service, engine, bench, pause)
    try:
        run.train()
    except LeaseLost as error:
        claimed.stop(Halt.LOST)
        logger.warning("job %s goes on elsewhere: %s", job.id, error)
    except Exception as error:
        run.fail(error)
    finally:
        run.close()
