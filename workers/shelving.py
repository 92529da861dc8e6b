"""What a worker does for the prompt library: it keeps its model's start and index, and counts
uses."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np

from ptsys.errors import PtsysError
from ptsys.jobs.service import Service
from ptsys.library.starts import kept_start, write_start
from ptsys.prompts.check import MAX_LENGTH
from ptsys.prompts.initialization import shared_start
from workers.loading import Workbench
from workers.uses import Uses

REFRESH_SECONDS = 60.0
"""How often the index learns what changed; searches learn it by themselves, at once."""

FLUSH_SECONDS = 3.0
"""How often uses of prompts are written."""

logger = logging.getLogger(__name__)


def keep_start(service: Service, bench: Workbench) -> None:
    """Write where the model's prompts start, for processes without the model, unless it is there.
    A worker works without that: what cannot be written is only told."""
    root, served = service.settings.root, bench.served
    known = kept_start(root, served.fingerprint)
    if known is not None and len(known) == MAX_LENGTH:
        return
    try:
        start = shared_start(
            MAX_LENGTH,
            embeddings=bench.embeddings,
            shared=served.initialization,
            common_pieces=bench.common_pieces,
        )
        write_start(root, served.fingerprint, np.asarray(start))
    except PtsysError as error:
        logger.warning("the library is not told where prompts start: %s", error)


def run_shelving(service: Service, fingerprint: str, uses: Uses, stop: threading.Event) -> None:
    """Write how often prompts were asked, and bring the index of the model's prompts up to date,
    until told to stop."""
    refreshed = time.monotonic()
    while not stop.wait(FLUSH_SECONDS):
        try:
            uses.flush(service.prompts)
            if time.monotonic() - refreshed >= REFRESH_SECONDS:
                refreshed = time.monotonic()
                service.library.refresh(fingerprint)
        except PtsysError as error:
            logger.warning("the library's index was not refreshed: %s", error)
        except Exception:
            logger.exception("the upkeep of the library stumbled")
