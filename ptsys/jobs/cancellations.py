"""Word of a cancelled job, straight to the workers, so that it stops within a step.

Only a hint, over Redis's publish and subscribe: the record in the database says what was asked,
and a worker that misses the hint sees it at its next heartbeat.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ptsys.jobs.redis_address import RedisAddress

if TYPE_CHECKING:
    import redis

_RETRY_SECONDS = 2.0


def tell(client: redis.Redis, channel: str) -> None:
    """A job of a model was cancelled, whose channel this is. Raises redis.RedisError."""
    client.publish(channel, b"")


class Cancellations:
    """What a worker of one model hears."""

    def __init__(self, address: RedisAddress, model: str) -> None:
        """Connects at the first `wait`."""
        self._client = address.client(timeout=5.0)
        self._channel = address.keys.cancelled(model)
        self._subscription: redis.client.PubSub | None = None

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait for word; False after so many seconds without, or while Redis is away."""
        import redis

        try:
            if self._subscription is None:
                self._subscription = self._client.pubsub(  # type: ignore[no-untyped-call]
                    ignore_subscribe_messages=True
                )
                self._subscription.subscribe(self._channel)
            return self._subscription.get_message(timeout=seconds) is not None
        except (redis.RedisError, OSError):
            self.close()
            stop.wait(_RETRY_SECONDS)
            return False

    def close(self) -> None:
        """Hear no more."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
