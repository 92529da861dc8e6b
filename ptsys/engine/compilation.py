"""Compiled shapes: made ahead in a background thread, kept for the process and, through JAX's
persistent cache, across processes."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import jax

from ptsys.engine.compile_times import CacheHits, CompileTimes
from ptsys.types.compiling import Compiling

logger = logging.getLogger(__name__)

Compiled = Callable[..., Any]
Build = Callable[[], Compiled]


def keep_compilations(folder: Path) -> None:
    """Turn on JAX's persistent compilation cache under `folder`.

    Without the caches of XLA's own, which are for GPUs: their path would be part of every key, and
    a folder that was copied, moved or restored would be compiled anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


class CompiledShapes:
    """Executables by key. `ahead` asks for one, `get` waits for it, `ready` only looks."""

    def __init__(
        self, threads: int = 1, model: str = "", describe: Callable[[Any], str] = str
    ) -> None:
        """`model` is equal for models whose programs are: they take as long to compile. `describe`
        says of a key what it is, for users."""
        self._describe = describe
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="compile")
        self._futures: dict[Hashable, concurrent.futures.Future[Compiled]] = {}
        self._lock = threading.Lock()
        self.observe: Callable[[Hashable, float], None] = lambda key, seconds: None
        self._times = CompileTimes(model)
        self._now: dict[Hashable, float] = {}  # since when

    def ahead(self, key: Hashable, build: Build) -> concurrent.futures.Future[Compiled]:
        """Start compiling `key` unless it is compiled or under way."""
        with self._lock:
            if key not in self._futures:
                self._futures[key] = self._pool.submit(self._compile, key, build)
            return self._futures[key]

    def ready(self, key: Hashable) -> bool:
        """Whether `key` can run at once."""
        future = self._futures.get(key)
        return future is not None and future.done()

    def keys_ready(self) -> list[Hashable]:
        """All keys that can run at once."""
        with self._lock:
            return [key for key, future in self._futures.items() if future.done()]

    @property
    def under_way(self) -> int:
        """How many are being compiled, or wait for it."""
        with self._lock:
            return sum(not future.done() for future in self._futures.values())

    def now(self) -> list[Compiling]:
        """What is being compiled at this moment; what waits for its turn is not."""
        with self._lock:
            found = list(self._now.items())
        told = []
        for key, since in found:
            before = self._times.before(_kind(key), str(key)) or (None, None)
            seconds = round(time.monotonic() - since, 1)
            what = self._describe(key)
            told.append(Compiling(what=what, seconds=seconds, least=before[0], most=before[1]))
        return told

    def get(self, key: Hashable, build: Build) -> Compiled:
        """The executable, compiled now if need be; raises what the compiler raised."""
        return self.ahead(key, build).result()

    def on_ready(self, key: Hashable, build: Build, call: Callable[[], None]) -> None:
        """Call back, from any thread, once `key` is compiled or has failed to."""
        self.ahead(key, build).add_done_callback(lambda _: call())

    def close(self) -> None:
        """Drop what has not begun to compile."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _compile(self, key: Hashable, build: Build) -> Compiled:
        since = time.monotonic()
        logger.info("compiling %s", key)
        _cache.forget()
        with self._lock:
            self._now[key] = since
        try:
            compiled = build()
        finally:
            with self._lock:
                self._now.pop(key, None)
        seconds = time.monotonic() - since
        if not _cache.hit:
            self._times.add(_kind(key), str(key), seconds)
        logger.info("compiled %s in %.1f s", key, seconds)
        self.observe(key, seconds)
        return compiled


_cache = CacheHits()


def _kind(key: Hashable) -> str:
    return str(getattr(key, "kind", "other"))
