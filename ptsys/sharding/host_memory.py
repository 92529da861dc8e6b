"""How the C library gives memory to XLA's CPU programs."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let freed buffers be used again instead of being given back to the kernel.

    XLA's CPU programs allocate their temporaries anew on every run; glibc maps such large buffers
    and unmaps them, and the kernel's clearing of every page took a quarter of a T5 layer's time
    (measured). The process then keeps the most memory that it once needed. Without effect where
    the C library is another one."""
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_MMAP_THRESHOLD, _MOST)
    mallopt(_TRIM_THRESHOLD, _MOST)
    mallopt(_ARENA_MAX, 1)  # a thread's own arena holds no buffer over 64 MiB
