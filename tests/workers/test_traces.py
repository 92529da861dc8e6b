"""A request is one trace from its caller through the API to the worker; spans name no rows."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
import tiny_model
from waiting import until
from worker_deployment import Deployment

from ptsys.api.app import create_app
from ptsys.process import traces

otlp = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
pytestmark = pytest.mark.device
CALLER = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """Keeps the spans that are sent to it, as OTLP over HTTP sends them."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, object]] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                sent = otlp.ExportTraceServiceRequest.FromString(body)
                for resource in sent.resource_spans:
                    names = {a.key: a.value.string_value for a in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        collector.spans += [(names["service.name"], span) for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, service: str, name: str) -> list:
        return [span for where, span in list(self.spans) if (where, span.name) == (service, name)]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    made = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{made.server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield made
    monkeypatch.setattr(traces, "_tracer", None)
    made.server.shutdown()
    made.server.server_close()


def test_without_being_asked_for_there_are_none() -> None:
    assert traces.carried() == {}
    with traces.span("x") as span:
        assert span is None


def test_one_trace_from_the_caller_to_the_worker(
    deploy: Callable[..., Deployment], collector: Collector
) -> None:
    import anyio

    deployment = deploy()
    deployment.start_worker(traces=True).ready()
    _, secret = deployment.service.keys.create("ann")
    traces.start("ptsys-api")
    app = create_app(deployment.settings)
    secret_row = "red stone of nobody"
    headers = {
        "Authorization": f"Bearer {secret}",
        "traceparent": f"00-{CALLER}-b7ad6b7169203331-01",
    }

    async def ask() -> int:
        body = {"model": tiny_model.NAME, "inputs": [secret_row], "decoding": {"max_tokens": 2}}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=100
        ) as client:
            answer = await client.post("/v1/predict", json=body, headers=headers)
            await app.state.context.aclose()
            return answer.status_code

    assert anyio.run(ask) == 200
    until(lambda: collector.named("ptsys-api", "POST /v1/predict"), 30)
    until(lambda: collector.named("ptsys-worker", "predict"), 30)
    [asked] = collector.named("ptsys-api", "POST /v1/predict")
    [answered] = collector.named("ptsys-worker", "predict")
    assert asked.trace_id.hex() == answered.trace_id.hex() == CALLER
    assert answered.parent_span_id == asked.span_id
    job = deployment.submit("short", steps=2)
    deployment.wait(job)
    until(lambda: collector.named("ptsys-worker", "job"), 30)
    told = str([span for _, span in collector.spans])
    assert job.id in told
    assert secret_row not in told
    assert "ann" not in {a.value.string_value for _, s in collector.spans for a in s.attributes}
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
