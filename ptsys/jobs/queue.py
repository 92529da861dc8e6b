"""The queue: Celery messages that only say «look». Whatever they mean is in the database."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ptsys.config import Settings
from ptsys.jobs import cancellations
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import locate

if TYPE_CHECKING:
    from celery import Celery
    from kombu.pools import ProducerPool

QUEUE_CPU = "ptsys.cpu"
QUEUE_DEVICE = "ptsys.device.{model}"

TASK_LOOK = "ptsys.look"
TASK_SERVE = "ptsys.serve"

_CONNECTIONS = 10
_PATIENCE_SECONDS = 5.0  # for one of them, when many threads send at once
_SERVE_EXPIRES_SECONDS = 60
_CPU_EXPIRES_SECONDS = 3600


def device_queue(model: str) -> str:
    """The queue that workers which serve this model listen on."""
    return QUEUE_DEVICE.format(model=model)


def celery_config(settings: Settings, address: RedisAddress | None = None) -> dict[str, Any]:
    """Celery's configuration, the same for those who send and those who work.

    Without an address, Redis is looked for; raises Unavailable if none runs.
    """
    return _config(address or locate(settings))


class Queue:
    """Sends messages; each method raises Unavailable after a few short tries."""

    def __init__(self, address: RedisAddress) -> None:
        """Send through that Redis. Connects at the first message."""
        self.address = address
        self._redis = address.client(timeout=3.0)

    def send_look(self, job: str, model: str) -> None:
        """Say that this job waits. Harmless when doubled: only one worker gets its lease."""
        self._send(TASK_LOOK, [job], device_queue(model))

    def send_serve(self, model: str) -> None:
        """Say that interactive requests for this model wait."""
        self._send(TASK_SERVE, [model], device_queue(model), expires=_SERVE_EXPIRES_SECONDS)

    def send_cpu(self, name: str, *arguments: str) -> None:
        """Ask for the task of that name on a worker without an accelerator."""
        self._send(name, list(arguments), QUEUE_CPU, expires=_CPU_EXPIRES_SECONDS)

    def send_cancelled(self, model: str) -> None:
        """Say to all workers of this model that a job of theirs was cancelled."""
        import redis

        try:
            cancellations.tell(self._redis, self.address.keys.cancelled(model))
        except (redis.RedisError, OSError) as error:
            raise self.address.unavailable(error) from error

    def depth(self, model: str) -> int:
        """How many messages wait for workers of this model. Raises Unavailable."""
        import redis

        try:
            return int(self._redis.llen(self.address.keys.celery + device_queue(model)))
        except redis.RedisError as error:
            raise self.address.unavailable(error) from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._producers.force_close_all()

    @functools.cached_property
    def _app(self) -> Celery:
        from celery import Celery  # half a second that a command without a queue need not wait

        app = Celery("ptsys", set_as_current=False)
        app.conf.update(_config(self.address))
        return app

    @functools.cached_property
    def _producers(self) -> ProducerPool:
        """Connections of this queue alone. Celery's own pool is shared by all of a process that
        speak to the same Redis, and whoever closed it would close it for the others."""
        from kombu.pools import ProducerPool

        connections = self._app.connection_for_write().Pool(limit=_CONNECTIONS)
        return ProducerPool(connections=connections, limit=_CONNECTIONS)

    def _send(
        self, name: str, arguments: list[str], queue: str, expires: float | None = None
    ) -> None:
        import redis
        from kombu.exceptions import KombuError

        try:
            with self._producers.acquire(block=True, timeout=_PATIENCE_SECONDS) as producer:
                self._app.send_task(
                    name, args=arguments, queue=queue, expires=expires, producer=producer
                )
        except (KombuError, redis.RedisError, OSError, AttributeError) as error:
            # the last is kombu's, whose channel forgets its connection when that breaks under it
            raise self.address.unavailable(error) from error


def _config(address: RedisAddress) -> dict[str, Any]:
    return {
        "broker_url": address.celery_url,
        # Nothing but plain data: no pickle, neither sent nor accepted.
        "task_serializer": "json",
        "accept_content": ["json", "msgpack"],
        "result_backend": None,
        "task_ignore_result": True,
        # A worker takes no more than it works on; what it took is in the database, not here.
        "worker_pool": "threads",
        "worker_prefetch_multiplier": 1,
        "task_acks_late": False,
        "task_default_queue": QUEUE_CPU,
        "task_create_missing_queues": True,
        # Ours to configure, not Celery's.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
        "timezone": "UTC",
        # Redis may be away for a while, or for good: a worker waits for it, a sender says so soon.
        "broker_connection_retry_on_startup": True,
        "broker_connection_retry": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 3.0,
        "task_publish_retry": True,
        "task_publish_retry_policy": {
            "max_retries": 2,
            "interval_start": 0.05,
            "interval_step": 0.1,
            "interval_max": 0.2,
        },
        "broker_transport_options": {
            "global_keyprefix": address.keys.celery,
            "visibility_timeout": 3600,  # seconds; a message given twice is harmless
            "socket_timeout": 10.0,
            "socket_connect_timeout": 3.0,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "max_retries": 2,
            "interval_start": 0.05,
            "interval_step": 0.1,
            "interval_max": 0.2,
        },
    }
