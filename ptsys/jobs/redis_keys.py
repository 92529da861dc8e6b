"""The names of everything in Redis. All of one deployment's begin alike, so that several may share
a server and none sees another's rows, messages or workers."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class RedisKeys:
    """The keys of one deployment; `space` is how each of them begins."""

    space: str = "ptsys"

    def request(self, identifier: str) -> str:
        """Where a request's rows wait."""
        return f"{self.space}:request:{identifier}"

    def takers(self, identifier: str) -> str:
        """The workers that took a request, as `ptsys.jobs.requests` calls the key in Redis."""
        return f"{self.request(identifier)}:takers"

    def answers(self, asker: str) -> str:
        """The list on which a process gets its answers."""
        return f"{self.space}:answers:{asker}"

    def pending(self, model: str) -> str:
        """The list of ids that no worker has taken yet."""
        return f"{self.space}:pending:{model}"

    def wake(self, model: str) -> str:
        """Set while a worker of this model takes requests."""
        return f"{self.space}:wake:{model}"

    def worker(self, identifier: str) -> str:
        """What a worker tells of itself; `*` matches all."""
        return f"{self.space}:workers:{identifier}"

    @property
    def workers(self) -> str:
        """The set of those that told of themselves, some of which may be gone."""
        return f"{self.space}:workers"

    def rows(self, user: str) -> str:
        """How many rows a user may still send."""
        return f"{self.space}:rows:{user}"

    def cancelled(self, model: str) -> str:
        """The channel on which workers hear of cancelled jobs."""
        return f"{self.space}:cancelled:{model}"

    @property
    def swept(self) -> str:
        """Set while nobody needs to ask for a sweep."""
        return f"{self.space}:swept"

    @property
    def celery(self) -> str:
        """What Celery puts before each of its own keys."""
        return f"{self.space}:celery:"
