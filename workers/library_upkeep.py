"""What a worker does for the prompt library: it keeps its model's index, and counts uses."""

from __future__ import annotations

import logging
import threading
import time

from ptsys.errors import PtsysError
from ptsys.jobs.service import Service
from workers.uses import Uses

REFRESH_SECONDS = 60.0
"""How often the index learns what changed; searches learn it by themselves, at once."""

FLUSH_SECONDS = 3.0
"""How often uses of prompts are written."""

logger = logging.getLogger(__name__)


def run_library_upkeep(
    service: Service, fingerprint: str, uses: Uses, stop: threading.Event
) -> None:
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
