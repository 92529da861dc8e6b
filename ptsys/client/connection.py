"""Requests to the service: the key, retries, errors and pages."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from ptsys import errors
from ptsys.client.in_process import InProcess
from ptsys.client.problems import error_of
from ptsys.client.retries import LOST, Retries
from ptsys.types.model import Value

DEFAULT_URL = "http://127.0.0.1:8765"
_COMPRESSED = 4096  # bytes from which a text is sent compressed
_PAGE = 200
_NUMBERS = {"metrics", "scores", "score", "label_scores"}  # fields whose null may be a NaN

V = TypeVar("V", bound=Value)


@dataclasses.dataclass(frozen=True)
class Answer:
    """A response, and whether an earlier attempt of the same request may have arrived too."""

    response: httpx.Response
    repeated: bool


class Connection:
    """One service and one key. Safe to share between threads."""

    def __init__(
        self,
        url: str | None,
        key: str | None,
        *,
        transport: httpx.BaseTransport | None,
        timeout: float,
        retries: Retries,
    ) -> None:
        address = url or os.environ.get("PTSYS_URL") or DEFAULT_URL
        secret = key or os.environ.get("PTSYS_API_KEY")
        if not secret:
            raise errors.InvalidInput(
                "there is no API key; give key=... or set PTSYS_API_KEY (`ptsys up` prints one)",
                field="key",
            )
        self._retries = retries
        self._near = isinstance(transport, InProcess)
        self._http = httpx.Client(
            base_url=_checked(address),
            headers={"Authorization": f"Bearer {_printable(secret)}", "User-Agent": "ptsys"},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            transport=transport,
        )

    @property
    def url(self) -> str:
        """Where the service is."""
        return str(self._http.base_url).rstrip("/")

    @property
    def retries(self) -> Retries:
        """How often, and when, to ask again."""
        return self._retries

    @property
    def near(self) -> bool:
        """Whether the service runs in this process: nothing travels, so nothing is compressed."""
        return self._near

    def close(self) -> None:
        """Close all sockets."""
        self._http.close()

    # ---- requests -------------------------------------------------------------------------

    def attempt(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
    ) -> Answer:
        """Ask until there is a final answer, of whatever status.

        Every attempt sends the same bytes and headers, an idempotency key among them. Raises
        Unavailable if the service cannot be reached or does not answer in time.
        """
        known = {name: value for name, value in (query or {}).items() if value is not None}
        request = self._http.build_request(
            method, path, params=known, headers=dict(headers or {}), json=json, content=content
        )
        pauses = self._retries.pauses()
        repeated = False
        while True:
            pause = next(pauses, None)
            try:
                response = self._http.send(request)
            except LOST as error:
                if pause is None:
                    raise _unreachable(self.url, error) from error
                wait: float | None = pause
            except httpx.HTTPError as error:
                raise _unreachable(self.url, error) from error
            else:
                wait = None if pause is None else self._retries.after(response, pause)
            if wait is None:
                return Answer(response, repeated)
            repeated = True
            self._retries.sleep(wait)

    def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """`attempt`, once the answer is a success. Raises what its problem tells."""
        return succeeded(self.attempt(method, path, **arguments).response)

    def pages(self, kind: type[V], path: str, **query: Any) -> Iterator[V]:
        """All values of a listing, newest first, a page at a time as they are consumed."""
        before: str | None = None
        while True:
            page = decoded(self.ask("GET", path, query={**query, "limit": _PAGE, "before": before}))
            for one in page["data"]:
                yield value(kind, one)
            before = page.get("next")
            if before is None:
                return

    def create(
        self, path: str, found: Callable[[], V | None], kind: type[V], **arguments: Any
    ) -> V:
        """Make something that has a name of its own.

        If an attempt before may have made it, a conflict is no error where `found` says that what
        has the name is what was to be made.
        """
        answer = self.attempt("POST", path, **arguments)
        if answer.repeated and answer.response.status_code == 409:
            own = found()
            if own is not None:
                return own
        return value(kind, decoded(succeeded(answer.response)))

    def delete(self, path: str, *, query: Mapping[str, Any] | None = None) -> None:
        """Delete; already gone after an attempt that broke off is as good."""
        answer = self.attempt("DELETE", path, query=query)
        if not (answer.repeated and answer.response.status_code == 404):
            succeeded(answer.response)

    @contextlib.contextmanager
    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, Any],
        headers: Mapping[str, str],
        silence: float | None = None,
        json: Any = None,
    ) -> Iterator[httpx.Response]:
        """An open response, of whatever status; reading it raises httpx's errors. `silence` is
        the most seconds without a byte, else those of every answer; with a `json` body it is
        POSTed."""
        read = self._http.timeout.read if silence is None else silence
        timeout = httpx.Timeout(10.0, read=read)
        method = "GET" if json is None else "POST"
        with self._http.stream(
            method, path, params=dict(query), headers=dict(headers), timeout=timeout, json=json
        ) as response:
            yield response


# ---- answers ------------------------------------------------------------------------------


def succeeded(response: httpx.Response) -> httpx.Response:
    """The response itself. Raises what its problem tells, if it is one."""
    if response.is_success:
        return response
    if response.status_code < 400:
        raise errors.InvalidInput(
            f"{response.url} answered {response.status_code}; is it ptsys? Check the URL",
            field="url",
        )
    raise error_of(response)


def decoded(response: httpx.Response) -> dict[str, Any]:
    """The object in the answer. Raises Unavailable if it holds none."""
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise errors.Unavailable(f"{response.url} gave no JSON object; is it ptsys? Check the URL")
    return found


def value(kind: type[V], data: Any) -> V:
    """The answer as a value. Keys that only a newer service knows are left out, and null where a
    number belongs is one that is not finite, for which JSON has no word."""
    try:
        return kind.model_validate(_with_nan(data), extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise errors.Unavailable(
            f"the service answered with a {kind.__name__} this client cannot read ({place}: "
            f"{first['msg']}); run one version of ptsys on both sides"
        ) from None


def _with_nan(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    told = dict(data)
    for field in _NUMBERS & told.keys():
        numbers = told[field]
        if isinstance(numbers, dict):
            told[field] = {name: math.nan if x is None else x for name, x in numbers.items()}
        elif numbers is None and field == "score":
            told[field] = math.nan
    return told


def compressed(text: bytes) -> tuple[bytes, dict[str, str]]:
    """A body and the header that goes with it: gzip where it pays."""
    if len(text) < _COMPRESSED:
        return text, {}
    return gzip.compress(text, compresslevel=5, mtime=0), {"Content-Encoding": "gzip"}


def _unreachable(url: str, error: httpx.HTTPError) -> errors.PtsysError:
    if isinstance(error, httpx.TimeoutException):
        return errors.Unavailable(
            f"{url} did not answer in time ({type(error).__name__}); a first request may have to "
            "wait for a compilation: give Client a longer timeout"
        )
    reason = str(error) or type(error).__name__
    return errors.Unavailable(f"{url} cannot be reached ({reason}); does `ptsys up` run there?")


def _checked(address: str) -> str:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise errors.InvalidInput(f"{address!r} is no URL: {error}", field="url") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise errors.InvalidInput(
            f"{address!r} is no URL of a service; write it like {DEFAULT_URL}", field="url"
        )
    return address


def _printable(secret: str) -> str:
    key = secret.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise errors.InvalidInput(
            "the API key holds characters that no key has; copy it again", field="key"
        )
    return key
