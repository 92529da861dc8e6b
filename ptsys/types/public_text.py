"""What users of the service are told of an error: never where things lie on its machines."""

from __future__ import annotations

import re
from typing import Any

# Absolute paths and URLs of files, of two parts and more; not the API's own.
_PATH = re.compile(
    r"(?<![\w./:-])(?:[a-z][a-z0-9+]*:/{2,4}(?=[^/\s]*/)|/)(?!v1/)"
    r"(?:[^\s'\"`,;:()<>\[\]{}/]+/)+[^\s'\"`,;:()<>\[\]{}/]*"
)
_WEB = ("http:", "https:")


def public_text(error: BaseException) -> str:
    """The error's text, fit for users: its own public one if it has that, else without paths."""
    public: str | None = getattr(error, "public", None)  # of `PtsysError`
    return without_paths(str(error)) if public is None else public


def without_paths(text: str) -> str:
    """The text with the last part alone of every absolute path in it."""
    return _PATH.sub(_last_part, text) if "/" in text else text


def without_paths_in(data: Any) -> Any:
    """JSON without the paths in its texts."""
    if isinstance(data, str):
        return without_paths(data)
    if isinstance(data, dict):
        return {key: without_paths_in(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_paths_in(value) for value in data]
    return data


def _last_part(found: re.Match[str]) -> str:
    path = found.group()
    if path.startswith(_WEB):
        return path
    return path.rstrip("/").rpartition("/")[2]
