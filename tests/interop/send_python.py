# SPDX-License-Identifier: Apache-2.0
"""Sends one trace, logs and metrics through OpenTelemetry's SDK for Python, and prints what it sent; only
the trace where the protocol has nothing else.

Usage: send_python.py PROTOCOL ENDPOINT SERVICE [traces]
PROTOCOL: grpc, protobuf, jaeger-grpc, jaeger-thrift, zipkin-json or zipkin-proto
"""
import json
import sys
import time

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

protocol, endpoint, service, *only = sys.argv[1:]
OTLPLogExporter = OTLPMetricExporter = None
options = {}
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as SpanExporter

    options = {signal: {"endpoint": endpoint, "insecure": True} for signal in ("traces", "metrics", "logs")}
elif protocol == "protobuf":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as SpanExporter

    options = {signal: {"endpoint": "%s/v1/%s" % (endpoint, signal), "compression": Compression.Gzip}
               for signal in ("traces", "metrics", "logs")}
elif protocol == "jaeger-grpc":
    from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter as SpanExporter

    options["traces"] = {"collector_endpoint": endpoint, "insecure": True}
elif protocol == "jaeger-thrift":
    from opentelemetry.exporter.jaeger.thrift import JaegerExporter as SpanExporter

    host, _, port = endpoint.partition(":")  # of the agent, when the endpoint is no URL
    options["traces"] = ({"collector_endpoint": endpoint} if "://" in endpoint else
                         {"agent_host_name": host, "agent_port": int(port)})
elif protocol == "zipkin-json":
    from opentelemetry.exporter.zipkin.json import ZipkinExporter as SpanExporter

    options["traces"] = {"endpoint": endpoint}
else:
    from opentelemetry.exporter.zipkin.proto.http import ZipkinExporter as SpanExporter

    options["traces"] = {"endpoint": endpoint}

if only:
    OTLPLogExporter = OTLPMetricExporter = None

resource = Resource.create({"service.name": service, "service.version": "1.2.3",
                            "deployment.environment.name": "test"})
tracing = TracerProvider(resource=resource)
tracing.add_span_processor(BatchSpanProcessor(SpanExporter(**options["traces"])))
logging = LoggerProvider(resource=resource)
if OTLPLogExporter:
    logging.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**options["logs"])))
metering = MeterProvider(
    resource=resource,
    metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter(**options["metrics"]),
                                                  export_interval_millis=3600000)]
    if OTLPMetricExporter else [],
    views=[View(instrument_name="interop.duration",
                aggregation=ExplicitBucketHistogramAggregation([0.1, 0.5, 1]))])

ATTRIBUTES = {"text": "grün ☃", "flag": True, "whole": 42, "part": 1.5, "list": ["a", "b"]}
sent = {"spans": [], "logs": []}


def note(span, kind, status):
    sent["spans"].append({
        "trace_id": "%032x" % span.context.trace_id, "span_id": "%016x" % span.context.span_id,
        "parent_id": "%016x" % span.parent.span_id if span.parent else "", "name": span.name,
        "kind": kind, "status": status, "start_ns": str(span.start_time), "end_ns": str(span.end_time),
        "attributes": {k: list(v) if isinstance(v, tuple) else v for k, v in span.attributes.items()},
        "events": [{"name": e.name, "time_ns": str(e.timestamp), "attributes": dict(e.attributes)}
                   for e in span.events],
        "links": [{"trace_id": "%032x" % l.context.trace_id, "span_id": "%016x" % l.context.span_id}
                  for l in span.links]})


tracer = tracing.get_tracer("interop", "9.9")
linked = tracer.start_span("linked")
linked.end()
note(linked, "internal", "")
root = tracer.start_span("GET /things/{id}", kind=trace.SpanKind.SERVER, attributes=ATTRIBUTES,
                         links=[trace.Link(linked.get_span_context())])
inside = trace.set_span_in_context(root)
child = tracer.start_span("SELECT things", context=inside, kind=trace.SpanKind.CLIENT)
child.add_event("retry", {"attempt": 2})
child.set_status(trace.StatusCode.ERROR, "deadlock")
child.end()
note(child, "client", "ERROR")
root.set_status(trace.StatusCode.OK)
root.end()
note(root, "server", "OK")

logger = logging.get_logger("interop")
for i, level in enumerate(["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]):
    body = 'line %d "quoted" ☃' % i
    extra = {"number": i, "flag": i % 2 == 0, "ratio": i / 4}
    logger.emit(LogRecord(timestamp=time.time_ns(), severity_number=SeverityNumber[level],
                          severity_text=level, body=body, attributes=extra, context=inside))
    sent["logs"].append({"level": level.lower(), "body": body, "attributes": extra,
                         "trace_id": "%032x" % root.context.trace_id,
                         "span_id": "%016x" % root.context.span_id})

meter = metering.get_meter("interop")
counter = meter.create_counter("interop.requests", unit="{request}", description="Requests.")
counter.add(3, {"route": "/a"})
counter.add(4, {"route": "/b"})
opened = meter.create_up_down_counter("interop.open")
opened.add(5)
opened.add(-7)
meter.create_gauge("interop.temperature", unit="Cel").set(21.5, {"room": "küche"})
durations = meter.create_histogram("interop.duration", unit="s")
for v in (0.05, 0.3, 0.7, 3):
    durations.record(v)
sent["metrics"] = [
    ['interop_requests_total{route="/a"}', 3], ['interop_requests_total{route="/b"}', 4],
    ["interop_open", -2], ['interop_temperature_celsius{room="küche"}', 21.5],
    ['interop_duration_seconds_bucket{le="0.1"}', 1], ['interop_duration_seconds_bucket{le="0.5"}', 2],
    ['interop_duration_seconds_bucket{le="1"}', 3], ['interop_duration_seconds_bucket{le="+Inf"}', 4],
    ["interop_duration_seconds_count", 4], ["interop_duration_seconds_sum", 4.05]]

ok = tracing.force_flush() and logging.force_flush() and metering.force_flush()
for provider in (tracing, logging, metering):
    provider.shutdown()
print(json.dumps(sent))
sys.exit(0 if ok else 1)
