"""The jobs that this worker has claimed, and why each of them is to stop, if so."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Collection
from typing import Protocol

from ptsys.jobs.leases import Claim, Leases

_LOOK_SECONDS = 0.5


class Halt(enum.IntEnum):
    """Why a job stops early. A higher reason overrides a lower one."""

    GIVE_BACK = 1
    """The worker leaves, or another has its turn: save the state, give the job back."""
    CANCEL = 2
    """Its owner asked for it: keep nothing."""
    LOST = 3
    """Another worker holds the job: write nothing more."""


class Stoppable(Protocol):
    """What trains for a job: a resident, or several in turn."""

    def stop(self) -> None:
        """Stop after the step under way; from any thread."""
        ...


class ClaimedJob:
    """One claimed job on its way through this worker."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.alone = claim.alone
        self.on_trust: Callable[[], object] = lambda: None
        self._halt: Halt | None = None
        self.reason = "its worker shut down"
        self.outcome = "lost"  # how this run of the job ended, once it has
        self._training: Stoppable | None = None
        self._lock = threading.Lock()

    @property
    def halt(self) -> Halt | None:
        """Why the job is to stop; None while it may go on."""
        return self._halt

    def trust(self) -> None:
        """The job made progress: it bears company from now on."""
        if self.alone:
            self.alone = False
            self.on_trust()

    def stop(self, reason: Halt) -> None:
        """Let the job stop after the step under way, if it trains already."""
        with self._lock:
            self._halt = max(reason, self._halt or reason)
            training = self._training
        if training is not None:
            training.stop()

    def attach(self, training: Stoppable) -> None:
        """The job trains now; if it was to stop before, it stops."""
        with self._lock:
            self._training = training
            halt = self._halt
        if halt is not None:
            training.stop()


class ClaimedJobs:
    """All jobs of one worker, at most `capacity`; their leases are renewed together."""

    def __init__(self, leases: Leases, capacity: int) -> None:
        self._leases = leases
        self._capacity = capacity
        self._jobs: set[ClaimedJob] = set()
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def full(self) -> bool:
        """There is no room for another job: all places are taken, or one runs alone."""
        jobs = self._snapshot()
        return len(jobs) >= self._capacity or any(claimed.alone for claimed in jobs)

    def add(self, claim: Claim) -> ClaimedJob:
        """A job was claimed."""
        claimed = ClaimedJob(claim)
        with self._changed:
            self._jobs.add(claimed)
        return claimed

    def remove(self, claimed: ClaimedJob) -> None:
        """A job ended, or is no longer ours."""
        with self._changed:
            self._jobs.discard(claimed)
            self._changed.notify_all()

    def beat(self) -> None:
        """Renew all leases; stop what was lost or cancelled. Raises Unavailable."""
        by_id = {one.claim.job.id: one for one in self._snapshot()}
        beats = self._leases.heartbeat_all([claimed.claim for claimed in by_id.values()])
        for job in beats.lost:
            by_id[job].stop(Halt.LOST)
        for job in beats.cancel:
            by_id[job].stop(Halt.CANCEL)

    def give_back(self, jobs: Collection[str], message: str) -> None:
        """Let these jobs give their places back; `message` is what their owners hear."""
        for claimed in self._snapshot():
            if claimed.claim.job.id in jobs:
                claimed.reason = message
                claimed.stop(Halt.GIVE_BACK)

    def send_away_others(self, alone: ClaimedJob) -> None:
        """Let all others give their places back for one that is to run alone, and wait until they
        did, or until that one is to stop itself."""
        for claimed in self._snapshot():
            if claimed is not alone:
                claimed.reason = "a job that ended workers runs alone for a while"
                claimed.stop(Halt.GIVE_BACK)
        with self._changed:
            while len(self._jobs) > 1 and alone.halt is None:
                self._changed.wait(_LOOK_SECONDS)

    def stop_all(self, reason: Halt, message: str | None = None) -> None:
        """Let every job stop; `message` is what those given back hear."""
        for claimed in self._snapshot():
            claimed.reason = message or claimed.reason
            claimed.stop(reason)

    def wait_empty(self, timeout: float) -> bool:
        """Wait until no job is left; False if the time (seconds) is over before."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs, timeout)

    def _snapshot(self) -> list[ClaimedJob]:
        with self._changed:
            return list(self._jobs)
