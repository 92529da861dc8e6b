"""OpenTelemetry traces, where they are asked for: one for each request, from the API to the worker
that answers it, and one for each run of a job. A span names no row, prompt or user.

Without `start`, or without the packages of the extra `traces`, nothing of this does anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ptsys.errors import Unavailable

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

_tracer: Tracer | None = None


def start(service: str) -> None:
    """Send spans from now on where `OTEL_EXPORTER_OTLP_ENDPOINT` says, as this service, unless
    `OTEL_SERVICE_NAME` says another. Raises Unavailable if the packages are not installed."""
    global _tracer
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise Unavailable(
            f"PTSYS_TRACES wants {error.name}, which is not installed: pip install 'ptsys[traces]'"
        ) from None
    provider = TracerProvider(resource=Resource.create().merge(Resource({"service.name": service})))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("ptsys")


@contextlib.contextmanager
def span(
    name: str, parent: Mapping[str, str] | None = None, **attributes: str | int
) -> Iterator[Span | None]:
    """What happens within is a span of that name, under the one that `parent` carries, or else
    under that of this thread or task. None where there are no traces."""
    if _tracer is None:
        yield None
        return
    told: Mapping[str, Any] = {f"ptsys.{key}": value for key, value in attributes.items()}
    with _tracer.start_as_current_span(name, context=_context(parent), attributes=told) as made:
        yield made


def begin(name: str, parent: Mapping[str, str] | None, **attributes: str | int) -> Span | None:
    """A span that another thread ends, by `end`. None where there are no traces."""
    if _tracer is None:
        return None
    told: Mapping[str, Any] = {f"ptsys.{key}": value for key, value in attributes.items()}
    return _tracer.start_span(name, context=_context(parent), attributes=told)


def carried() -> dict[str, str]:
    """What another process needs to go on with this thread's or task's span; empty without one."""
    found: dict[str, str] = {}
    if _tracer is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(found)
    return found


def _context(parent: Mapping[str, str] | None) -> Any:
    if not parent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(dict(parent))
