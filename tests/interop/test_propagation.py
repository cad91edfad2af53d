# SPDX-License-Identifier: Apache-2.0
"""Python's OpenTelemetry SDK and libsonde go on with each other's traces: Python calls a C service, which calls
Python back. Ids, the sampled flag, tracestate and baggage are the same all along."""
import http.server
import json

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from trace_service import TraceService

exporter = InMemorySpanExporter()


def tracer(sampler=ParentBased(ALWAYS_ON)):
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("interop")


class Continue(http.server.BaseHTTPRequestHandler):
    """A Python service: goes on with what came, and remembers it."""
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        came = propagate.extract({k.lower(): v for k, v in self.headers.items()})
        remote = trace.get_current_span(came).get_span_context()
        with tracer().start_as_current_span("answer", came) as span:
            self.server.calls[self.path] = (remote, span.get_span_context(), baggage.get_all(came))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def service(tmp_path):
    s = TraceService(str(tmp_path), Continue, OTEL_TRACES_EXPORTER="console",
                     SONDE_LOG_OUTPUT=f"file:{tmp_path}/out.jsonl")
    s.out = tmp_path / "out.jsonl"
    yield s
    if s.process.poll() is None:
        s.stop()


def call(service, span_context):
    headers = {}
    propagate.inject(headers, span_context)
    service.back.calls.clear()
    service.post(list(headers.items()), [{"url": service.url("/py"), "arguments": []}])
    return service.back.calls["/py"]


def spans_of(service):
    service.stop()
    lines = [json.loads(line) for line in service.out.read_text().splitlines()]
    return {s["name"]: s for s in lines if "span_id" in s and "name" in s}


def test_python_to_c_to_python(service):
    with tracer().start_as_current_span("ask") as span:
        mine = span.get_span_context()
        state = trace.TraceState([("vendor", "x:1"), ("tenant@sys", "y")])
        carried = trace.SpanContext(mine.trace_id, mine.span_id, False, mine.trace_flags, state)
        now = trace.set_span_in_context(trace.NonRecordingSpan(carried))
        now = baggage.set_baggage("user", "Zoë, \"the\" one;%", now)
        now = baggage.set_baggage("n", "7", now)
        remote, answered, bags = call(service, now)
    assert remote.trace_id == mine.trace_id and remote.span_id != mine.span_id
    assert remote.is_remote and remote.trace_flags.sampled
    assert list(remote.trace_state.items()) == [("vendor", "x:1"), ("tenant@sys", "y")]
    assert dict(bags) == {"user": "Zoë, \"the\" one;%", "n": "7"}
    assert answered.trace_id == mine.trace_id
    theirs = spans_of(service)
    server, client = theirs["POST /test"], theirs["call"]
    assert server["trace_id"] == client["trace_id"] == format(mine.trace_id, "032x")
    assert server["parent_span_id"] == format(mine.span_id, "016x")
    assert client["parent_span_id"] == server["span_id"]
    assert client["span_id"] == format(remote.span_id, "016x")


def test_unsampled_stays_unsampled(service):
    with tracer(ALWAYS_OFF).start_as_current_span("ask") as span:
        mine = span.get_span_context()
        remote, answered, _ = call(service, context.get_current())
    assert not mine.trace_flags.sampled
    assert remote.trace_id == mine.trace_id and remote.span_id != mine.span_id
    assert not remote.trace_flags.sampled and not answered.trace_flags.sampled
    assert spans_of(service) == {}


def test_c_begins_and_python_goes_on(service):
    exporter.clear()
    service.post([], [{"url": service.url("/py"), "arguments": []}])
    remote, answered, _ = service.back.calls["/py"]
    assert remote.is_valid and remote.trace_flags.sampled and answered.trace_id == remote.trace_id
    answer = exporter.get_finished_spans()[-1]
    assert answer.parent.span_id == remote.span_id
    theirs = spans_of(service)
    assert theirs["call"]["span_id"] == format(remote.span_id, "016x")
    assert theirs["POST /test"]["trace_id"] == format(remote.trace_id, "032x")
    assert not theirs["POST /test"].get("parent_span_id")
