"""Server-sent events (WHATWG HTML, section 9.2), line by line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator


@dataclasses.dataclass(frozen=True)
class Message:
    """One message of a stream: its event's name, its data, and the last id seen so far."""

    event: str
    data: str
    id: str | None


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The stream's lines. A line feed ends a line and no other sign does: the data may hold what
    `str.splitlines` takes for ends."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").removesuffix("\r")


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The messages in the lines. Comments are left out, as is a message the stream breaks off."""
    event, data, last = "", [], None  # type: str, list[str], str | None
    for line in lines:
        if not line:
            if data:
                yield Message(event or "message", "\n".join(data), last)
            event, data = "", []
            continue
        name, _, text = line.partition(":")
        text = text.removeprefix(" ")
        if name == "event":
            event = text
        elif name == "data":
            data.append(text)
        elif name == "id" and "\0" not in text:
            last = text
