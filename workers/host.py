"""The host of one frozen model: claims its jobs, keeps their leases, serves its requests."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ptsys.engine.compilation import keep_compilations
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.group_device import LeadingDevice
from ptsys.engine.groups import Shape
from ptsys.engine.model import ServedModel
from ptsys.engine.serving import Serving
from ptsys.engine.workbench import Workbench, keep_start, load_workbench
from ptsys.errors import PtsysError, Unavailable
from ptsys.jobs.cancellations import Cancellations
from ptsys.jobs.leases import Claim
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.requests import RequestChannel
from ptsys.jobs.service import Service
from ptsys.process.logs import naming
from ptsys.process.traces import span
from ptsys.sharding.group import group_mesh
from ptsys.sharding.leading import Followers, Loss
from workers.claimed_jobs import ClaimedJob, ClaimedJobs, Halt
from workers.follower import description
from workers.interactive import Interactive
from workers.job import run_job
from workers.library_upkeep import run_library_upkeep
from workers.measures import Measures
from workers.serve_loop import ServeLoop

logger = logging.getLogger(__name__)

_BLAME_SECONDS = 0.5  # for jobs at fault to learn of it before all others are given back
_WRITES_A_SECOND = 30.0  # of progress, by all jobs of this worker together


class ModelHost:
    """Serves one model from this process, until drained."""

    def __init__(
        self,
        service: Service,
        address: RedisAddress,
        model: str,
        worker: str,
        *,
        ahead: Callable[[ServedModel], Sequence[Shape]] | None = None,
        followers: Followers | None = None,
        measures: Measures | None = None,
    ) -> None:
        """Load the model; nothing runs yet. `ahead` gives shapes to compile before they are needed,
        `followers` the other processes that serve it together with this one, `measures` counts.

        Raises NotFound if there is no such model, InvalidInput if it is damaged or the followers
        have another, Unavailable if one of them is lost or late.
        """
        settings = service.settings
        keep_compilations(settings.root / "compilations")
        self._service = service
        self._worker = worker
        self._ahead = ahead
        serving = Serving.of(settings)
        mesh = None if followers is None else group_mesh(serving.model_shards)
        self.bench: Workbench = load_workbench(settings.root, model, mesh, serving)
        options = EngineOptions(settings.max_wait_ms, settings.max_rows, settings.max_residents)
        device = None
        if followers is not None:
            followers.wait_ready(description(self.bench.served))
            frozen = self.bench.served.frozen
            device = LeadingDevice(frozen, settings.max_residents, followers)
        self._engine = Engine(self.bench.served, options, device)
        self._measures = measures
        if measures is not None:
            self._engine.loop.observe = measures.step
            self._engine.device.compiled.observe = measures.compiled
        self._lost = False
        self._channel = RequestChannel(address)
        keep_start(settings.root, self.bench)
        interactive = Interactive(self._engine, self.bench.served, service.prompts)
        self._uses = interactive.uses
        self._serving = ServeLoop(self._channel, model, interactive)
        self._cancellations = Cancellations(address, model)
        self._jobs = ClaimedJobs(service.leases, settings.max_residents)
        self._looking = threading.Event()
        self._claims = threading.Thread(target=self._run_claims, name="claims", daemon=True)
        self._draining = threading.Event()
        self._beating = threading.Event()

    @property
    def residents(self) -> int:
        """How many jobs this worker holds."""
        return len(self._jobs)

    @property
    def work(self) -> dict[str, Any]:
        """Steps and rows of the device so far, and shapes that it compiles now."""
        shapes = self._engine.shapes
        work = dataclasses.asdict(self._engine.loop.work)
        return work | {"compiling": shapes.under_way, "compiles": shapes.now()}

    @property
    def alive(self) -> bool:
        """The device thread runs; without it nothing would ever end."""
        return self._engine.alive

    @property
    def step_seconds(self) -> float:
        """For how long the oldest step under way runs already."""
        return self._engine.loop.clock.longest(time.monotonic())

    def start(self) -> None:
        """Begin to claim jobs and to take requests."""
        self._engine.start()
        if self._ahead is not None:
            self._engine.compile_ahead(self._ahead(self._engine.model))
        self._claims.start()
        for work in (self._run_heartbeat, self._run_cancellations, self._run_library_upkeep):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()
        self._serving.start()

    def look(self, job: str) -> None:
        """That job waits. Returns at once."""
        logger.debug("job %s waits", job)
        self._looking.set()

    def serve(self) -> None:
        """Interactive requests wait. Returns at once."""
        self._serving.wake()

    def drain(self) -> bool:
        """Stop every job after its step under way, with a checkpoint, and give it back; answer
        the requests that were taken. False if something was not done in `drain_seconds`: such a
        job is taken back by the reconciler, such a request by its client's next word."""
        timeout = self._service.settings.drain_seconds
        deadline = time.monotonic() + timeout

        def left(most: float = timeout) -> float:
            return max(0.0, min(most, deadline - time.monotonic()))

        self._draining.set()
        self._looking.set()
        if not self._lost:
            self._jobs.stop_all(Halt.GIVE_BACK)
        self._claims.join(left(2.0))
        self._serving.stop(left(2.0))
        done = self._serving.wait_idle(left(timeout / 3))
        done &= self._lost or self._engine.drain(left())
        done &= self._serving.wait_idle(left())
        self._uses.flush(self._service.prompts)
        done &= self._jobs.wait_empty(left())
        self._beating.set()
        return done

    def lose(self, loss: Loss) -> None:
        """A process of the group is lost, and with it the device: every job goes back to the queue
        with its last checkpoint, requests learn that they may try again. Jobs are not to blame,
        but for those in the steps under way where a step itself failed."""
        reason = f"its group of processes ended: {loss.message}"
        error = Unavailable(f"the model's group of processes ended ({loss.message}); try again")
        self._lost = True
        if loss.fault:
            self._engine.loop.fail_under_way(error)
            time.sleep(_BLAME_SECONDS)
        self._draining.set()
        self._looking.set()
        self._jobs.stop_all(Halt.GIVE_BACK, reason)
        self._engine.abort(error)

    # ---- claiming -------------------------------------------------------------------------

    def _run_claims(self) -> None:
        """The only thread that claims, so the count of jobs never passes the limit.

        Messages bring jobs at once. When nothing comes it looks into the database itself: a
        message may be lost, or be read by a worker that is full while this one is idle. Whose turn
        it is the database says, whatever job the message was about.
        """
        while not self._draining.is_set():
            try:
                self._take_waiting()
                self._make_room()
            except PtsysError as error:
                logger.warning("no job can be claimed: %s", error)
            self._looking.wait(self._service.settings.reconcile_seconds)
            self._looking.clear()

    def _take_waiting(self) -> None:
        """Claim until nothing waits or there is no more room."""
        models = [self.bench.served.name]
        while not (self._jobs.full or self._draining.is_set()):
            empty = not self._jobs
            claim = self._service.leases.claim_next(self._worker, models, empty=empty)
            if claim is None:
                return
            self._take(claim)

    def _make_room(self) -> None:
        """If others wait and it is their turn, let jobs give their places back."""
        if self._jobs.full and not self._draining.is_set():
            turns = self._service.leases.turns
            jobs = turns.make_room(self._worker, [self.bench.served.name])
            self._jobs.give_back(jobs, "another user has a turn; it goes on when its own comes")

    def _take(self, claim: Claim) -> None:
        logger.info("job %s begins (hold %d)", claim.job.id, claim.fence)
        claimed = self._jobs.add(claim)
        claimed.on_trust = self._looking.set  # others may come
        if self._draining.is_set():
            claimed.stop(Halt.GIVE_BACK)
        name = f"job {claim.job.id}"
        threading.Thread(target=self._run_job, args=(claimed,), name=name, daemon=True).start()

    def _run_job(self, claimed: ClaimedJob) -> None:
        try:
            if claimed.alone:
                self._jobs.send_away_others(claimed)
            job = claimed.claim.job
            with naming(job=job.id), span("job", job=job.id, model=job.spec.model):
                run_job(claimed, self._service, self._engine, self.bench, self._pause)
        finally:
            self._jobs.remove(claimed)
            if self._measures is not None:
                self._measures.job_ended(claimed.outcome)
            self._looking.set()  # there is room now

    def _pause(self) -> float:
        return max(1.0, len(self._jobs) / _WRITES_A_SECOND)

    # ---- leases ---------------------------------------------------------------------------

    def _run_heartbeat(self) -> None:
        while not self._beating.wait(self._service.settings.lease_seconds / 4):
            self._beat()

    def _run_library_upkeep(self) -> None:
        fingerprint = self.bench.served.fingerprint
        run_library_upkeep(self._service, fingerprint, self._uses, self._beating)

    def _run_cancellations(self) -> None:
        """Beat at once when a job was cancelled: a beat brings back what is to stop."""
        while not self._beating.is_set():
            if self._cancellations.wait(1.0, self._beating):
                self._beat()
        self._cancellations.close()

    def _beat(self) -> None:
        try:
            self._jobs.beat()
        except Exception as error:
            if isinstance(error, Unavailable):
                logger.warning("leases were not renewed: %s", error)
            else:
                logger.exception("leases were not renewed")
            if self._measures is not None:
                self._measures.not_renewed()
