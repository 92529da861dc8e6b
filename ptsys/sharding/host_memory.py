"""How the C library gives memory to XLA's CPU programs, and how much it has given out."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let freed buffers be used again instead of being given back to the kernel.

    XLA's CPU programs allocate their temporaries anew on every run; glibc maps such large buffers
    and unmaps them, and the kernel's clearing of every page took a quarter of a T5 layer's time
    (measured). The process then keeps the most memory that it once needed. Without effect where
    the C library is another one."""
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return
    mallopt(_MMAP_THRESHOLD, _MOST)
    mallopt(_TRIM_THRESHOLD, _MOST)
    mallopt(_ARENA_MAX, 1)  # a thread's own arena holds no buffer over 64 MiB


class _Mallinfo(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = (
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    )


def allocated() -> int | None:
    """Bytes that the C library has given out in this process and not got back: without what is
    freed but kept, unlike resident memory. None where the C library does not tell."""
    mallinfo2 = _glibc("mallinfo2")  # since 2.33
    if mallinfo2 is None:
        return None
    mallinfo2.restype = _Mallinfo
    told = mallinfo2()
    return int(told.uordblks) + int(told.hblkhd)


def _glibc(name: str) -> Any:
    """A function of the C library; None where that is another one."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
