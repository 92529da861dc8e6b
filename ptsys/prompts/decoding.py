"""What decoders of foreign bytes have in common: whatever goes wrong is the input's fault."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from ptsys.errors import InvalidInput

_MOST_AXES = 8
_MOST_PLACES = 2**40
_LONGEST = 200  # letters of a library's own words


@contextlib.contextmanager
def decoding(form: str, field: str) -> Iterator[None]:
    """Turn every error within into InvalidInput: libraries tell of bytes that they did not expect
    in nearly any way, Rust's panics, which are no `Exception`, among them."""
    try:
        yield
    except (InvalidInput, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = str(error).split("\n")[0][:_LONGEST] or type(error).__name__
        raise InvalidInput(f"this is not a whole {form}: {reason}", field=field) from None


def check_shape(shape: Sequence[int], form: str, field: str) -> None:
    """Raise InvalidInput for axes that no array has, before anything is made of them."""
    wrong = any(not 0 <= size <= _MOST_PLACES for size in shape)
    if wrong or len(shape) > _MOST_AXES:
        told = str(list(shape[:_MOST_AXES]))[:_LONGEST]
        raise InvalidInput(
            f"the {form} claims an array of {len(shape)} axes, {told}: it is truncated or damaged; "
            "save a float32 array [length, width]",
            field=field,
        )
