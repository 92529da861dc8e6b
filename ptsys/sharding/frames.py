"""What two processes of a group say to each other: a map of plain data, and arrays as raw bytes.

A frame is the length of its head (4 bytes, big-endian), the head in msgpack, and then every array's
bytes in the order in which the head lists their types and shapes. Nothing is executed on reading,
and what a frame may hold is bounded.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from ptsys.errors import Unavailable

MOST_HEAD_BYTES = 2**20
MOST_ARRAY_BYTES = 2**32
_TYPES = {np.dtype(kind).str for kind in (np.float32, np.int32, np.uint32, np.bool_)}
_LENGTH = struct.Struct("!I")
_NONCE_BYTES = 32


class Frame(NamedTuple):
    """A map and the arrays that belong to it."""

    head: dict[str, Any]
    arrays: list[NDArray[Any]]


def send(link: socket.socket, head: dict[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> None:
    """Write a frame. Raises OSError, of which TimeoutError is one, if it cannot be."""
    whole = [np.asarray(array, order="C") for array in arrays]
    listed = [[array.dtype.str, list(array.shape)] for array in whole]
    packed = msgpack.packb({"head": head, "arrays": listed}, use_bin_type=True)
    link.sendall(_LENGTH.pack(len(packed)) + packed)
    for array in whole:
        if array.size:
            link.sendall(array.reshape(-1).view(np.uint8).data)


def receive(link: socket.socket) -> Frame:
    """Read a frame. Raises EOFError when the other end has closed, OSError, of which TimeoutError
    is one, when it is lost, and Unavailable for bytes that are no frame of ours."""
    (length,) = _LENGTH.unpack(_read(link, _LENGTH.size))
    if length > MOST_HEAD_BYTES:
        raise _foreign(f"a head of {length} bytes")
    try:
        told = msgpack.unpackb(_read(link, length), raw=False)
        head, listed = told["head"], [(str(kind), tuple(shape)) for kind, shape in told["arrays"]]
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise _foreign(str(error)) from None
    if not isinstance(head, dict):
        raise _foreign("a head that is no map")
    return Frame(head, _arrays(link, listed))


def _arrays(link: socket.socket, listed: Sequence[tuple[str, tuple[int, ...]]]) -> list[Any]:
    left = MOST_ARRAY_BYTES
    found = []
    for kind, shape in listed:
        if kind not in _TYPES or any(type(size) is not int or size < 0 for size in shape):
            raise _foreign(f"an array of type {kind}")
        left -= math.prod(shape) * np.dtype(kind).itemsize
        if left < 0:
            raise _foreign(f"more than {MOST_ARRAY_BYTES} bytes of arrays")
        array = np.empty(shape, np.dtype(kind))
        if array.size:
            _fill(link, array.reshape(-1).view(np.uint8).data)
        found.append(array)
    return found


def _read(link: socket.socket, count: int) -> bytes:
    buffer = bytearray(count)
    _fill(link, memoryview(buffer))
    return bytes(buffer)


def _fill(link: socket.socket, view: memoryview) -> None:
    while len(view):
        count = link.recv_into(view)
        if count == 0:
            raise EOFError("the connection was closed")
        view = view[count:]


def _foreign(what: str) -> Unavailable:
    return Unavailable(
        f"{what} came where a process of this group was expected; run the same version of ptsys "
        "in all of them, and let nobody else use the group's port"
    )


# ---- who is there -----------------------------------------------------------------------------


def nonce() -> bytes:
    """A number used once, for the other end to prove with that it knows the token."""
    return secrets.token_bytes(_NONCE_BYTES)


def proof(token: str | None, role: str, number: bytes) -> bytes:
    """What only those who know the token can answer; without one, what anybody can."""
    return hmac.new((token or "").encode(), role.encode() + number, hashlib.sha256).digest()


def proves(answer: object, token: str | None, role: str, number: bytes) -> bool:
    """Whether the other end knows the token."""
    return isinstance(answer, bytes) and hmac.compare_digest(answer, proof(token, role, number))
