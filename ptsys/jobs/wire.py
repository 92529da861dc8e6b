"""What travels through Redis for an interactive request: msgpack maps, and errors by name."""

from __future__ import annotations

from typing import Any

import msgpack

from ptsys import errors
from ptsys.errors import InvalidInput, PtsysError, Unavailable
from ptsys.types.public_text import public_text

LONGEST_MESSAGE = 256 * 2**20
"""Bytes; Redis itself ends at 512 MiB."""

_ERRORS: dict[str, type[PtsysError]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, PtsysError)
}


def pack(message: dict[str, Any]) -> bytes:
    """The message in msgpack: plain data only, nothing is executed on unpacking.

    Raises InvalidInput if it is longer than `LONGEST_MESSAGE`.
    """
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    if len(packed) > LONGEST_MESSAGE:
        raise InvalidInput(
            f"the request has {len(packed) / 2**20:.0f} MiB, more than the "
            f"{LONGEST_MESSAGE // 2**20} allowed; send fewer rows at a time"
        )
    return packed


def unpack(packed: bytes | memoryview) -> dict[str, Any]:
    """The message again. Raises Unavailable if these bytes hold none."""
    try:
        message = msgpack.unpackb(packed, raw=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise Unavailable(
            f"a message of another version of ptsys, or none of ptsys, came ({error}); run the "
            "same version everywhere"
        ) from None
    if not isinstance(message, dict):
        raise Unavailable("a message that is no map came; run the same version everywhere")
    return message


def error_to_wire(error: BaseException) -> dict[str, str | None]:
    """The error as plain data.

    Errors raised on purpose travel as users may read them. Of any other, only its kind: its text
    may hold pieces of a user's rows, and belongs in the worker's own hands.
    """
    if isinstance(error, PtsysError):
        field = error.field if isinstance(error, InvalidInput) else None
        return {"type": type(error).__name__, "message": public_text(error), "field": field}
    return {
        "type": PtsysError.__name__,
        "message": f"the worker failed with {type(error).__name__}; its log says where",
        "field": None,
    }


def error_from_wire(data: dict[str, Any]) -> PtsysError:
    """The same error again, to be raised."""
    kind = _ERRORS.get(str(data.get("type")), PtsysError)
    message = str(data.get("message"))
    if issubclass(kind, InvalidInput):
        return kind(message, field=data.get("field"))
    return kind(message)
