"""Identifiers that sort by the moment they were made."""

from __future__ import annotations

import secrets
import time

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_TIME_DIGITS = 11  # 55 bits of microseconds: until the year 3111
_RANDOM_DIGITS = 12


def new_id(prefix: str) -> str:
    """A fresh identifier, `<prefix>-<time><random>`: unique without coordination.

    Identifiers made in different microseconds sort by time; 60 random bits tell the others apart.
    """
    moment = _digits(time.time_ns() // 1000, _TIME_DIGITS)
    return f"{prefix}-{moment}{_digits(secrets.randbits(5 * _RANDOM_DIGITS), _RANDOM_DIGITS)}"


def _digits(number: int, count: int) -> str:
    return "".join(_DIGITS[(number >> (5 * place)) & 31] for place in reversed(range(count)))
