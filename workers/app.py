"""The Celery application of a worker."""

from __future__ import annotations

from celery import Celery

from ptsys.config import Settings
from ptsys.jobs.queue import celery_config
from ptsys.jobs.redis_address import RedisAddress


def make_app(settings: Settings, address: RedisAddress | None = None) -> Celery:
    """Celery as `ptsys.jobs.queue` sets it up for senders, plus what only a worker needs.

    Remote control is off: whoever can write to Redis could stop workers with it. Who runs is
    told by `ptsys.jobs.presence`, and signals stop a worker. Raises Unavailable without a Redis.
    """
    app = Celery("ptsys", set_as_current=False)
    app.conf.update(celery_config(settings, address))
    app.conf.update(worker_enable_remote_control=False)
    return app
