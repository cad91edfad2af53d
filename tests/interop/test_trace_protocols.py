# SPDX-License-Identifier: Apache-2.0
"""Zipkin's and Jaeger's protocols in and out: OpenTelemetry's exporters for them send to sonde, and what came
is found by the Jaeger query API; sonde sends to receivers made of their message classes, and to itself."""
import base64
import json
import os
import subprocess
import sys
import time

import pytest

from foreign import HERE, SpanCollector, old_python
from harness import Collector, get, post, wait_for

PIPELINES = """
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:@otlp@
  zipkin:
    endpoint: 127.0.0.1:@zipkin@
  zipkin/parsed:
    endpoint: 127.0.0.1:@web@
    path_prefix: /zipkin
    parse_string_tags: true
  jaeger:
    protocols:
      grpc:
        endpoint: 127.0.0.1:@jaeger@
      thrift_http:
        endpoint: 127.0.0.1:@thrift@
      thrift_compact:
        endpoint: 127.0.0.1:@agent@
exporters:
  sonde:
  %s
service:
  pipelines:
    traces:
      receivers: [otlp, zipkin, zipkin/parsed, jaeger]
      exporters: [%s]
"""
IN = {"zipkin-json": "http://127.0.0.1:%(zipkin)d/api/v2/spans",
      "zipkin-proto": "http://127.0.0.1:%(zipkin)d/api/v2/spans",
      "zipkin-json parsed": "http://127.0.0.1:%(web)d/zipkin/api/v2/spans",
      "jaeger-grpc": "127.0.0.1:%(jaeger)d",
      "jaeger-thrift": "http://127.0.0.1:%(thrift)d/api/traces?format=jaeger.thrift",
      "jaeger-thrift agent": "127.0.0.1:%(agent)d"}


def send(python, protocol, endpoint):
    done = subprocess.run([python, "-W", "ignore", os.path.join(HERE, "send_python.py"), protocol, endpoint,
                           "interop", "traces"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])["spans"]


def tags_of(fields):
    return {f["key"]: f["value"] for f in fields}


def text_of(value):
    """A value as OpenTelemetry's mapping for Zipkin writes it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def find(server, wanted):
    trace = wait_for("the trace", lambda: server.trace(wanted["trace_id"]))
    return trace, wait_for("the span", lambda: [
        s for s in server.trace(wanted["trace_id"])["spans"] if s["spanID"] == wanted["span_id"]])[0]


def check_span(server, protocol, wanted):
    """What both protocols carry; times in microseconds, and as exact as floating point in the exporters."""
    trace, span = find(server, wanted)
    tags = tags_of(span["tags"])
    assert span["operationName"] == wanted["name"]
    assert abs(span["startTime"] - int(wanted["start_ns"]) / 1000) < 2
    assert abs(span["duration"] - (int(wanted["end_ns"]) - int(wanted["start_ns"])) / 1000) < 2
    assert tags["span.kind"] == wanted["kind"]
    assert tags.get("otel.status_code", "") == wanted["status"]
    assert tags.get("error") == (True if wanted["status"] == "ERROR" else None)
    assert tags.get("otel.status_description") == ("deadlock" if wanted["status"] == "ERROR" else None)
    assert (tags["otel.scope.name"], tags["otel.scope.version"]) == ("interop", "9.9")
    assert not {"otel.library.name", "otel.library.version"} & set(tags)
    parents = [r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF"]
    assert parents == ([wanted["parent_id"]] if wanted["parent_id"] else [])
    assert trace["processes"][span["processID"]]["serviceName"] == "interop"
    for key, value in wanted["attributes"].items():
        if isinstance(value, list):  # the exporter for Jaeger writes Python's own text of it
            assert tags[key] == (str(tuple(value)) if "jaeger" in protocol else text_of(value))
        elif "jaeger" in protocol or "parsed" in protocol:
            assert tags[key] == value and isinstance(tags[key], bool) == isinstance(value, bool), key
        else:
            assert tags[key] == text_of(value), key
    assert [tags_of(e["fields"]) for e in span["logs"]] == [
        {"event": e["name"], **e["attributes"]} for e in wanted["events"]]
    for got, event in zip(span["logs"], wanted["events"]):
        assert abs(got["timestamp"] - int(event["time_ns"]) / 1000) < 2
    return trace, span


@pytest.fixture(scope="module")
def receiving():
    with Collector(PIPELINES % ("", "sonde")) as server:
        yield server


@pytest.mark.parametrize("protocol", IN)
def test_sdk_exporters_are_understood(receiving, protocol):
    sent = send(old_python(), protocol.split()[0], IN[protocol] % receiving.port)
    assert len(sent) == 3
    for wanted in sent:
        trace, span = check_span(receiving, protocol, wanted)
        if "jaeger" in protocol:
            links = [(r["traceID"], r["spanID"]) for r in span["references"]
                     if r["refType"] == "FOLLOWS_FROM"]
            assert links == [(link["trace_id"], link["span_id"]) for link in wanted["links"]]
            assert span["flags"] == 1
            process = tags_of(trace["processes"][span["processID"]]["tags"])
            if protocol == "jaeger-grpc":  # the exporter for Thrift sends no tags of the process
                assert process["service.version"] == "1.2.3"
        else:
            assert tags_of(span["tags"])["service.version"] == "1.2.3"


def test_wrong_requests_are_refused_with_the_reason(receiving):
    zipkin = "http://127.0.0.1:%d/api/v2/spans" % receiving.port["zipkin"]
    thrift = "http://127.0.0.1:%d/api/traces" % receiving.port["thrift"]
    assert post(zipkin, b"[]")[0] == 202
    code, _, body = post(zipkin, b'[{"traceId":"1","id":"2"},{"traceId":"x"}]')
    assert code == 400 and b"span 1: traceId must be 1 to 32 hexadecimal digits" in body
    assert post(zipkin, b"\x0a\x05\x0a", "application/x-protobuf")[0] == 400
    assert post(zipkin, b"<>", "text/xml")[0] == 415
    code, _, body = post(thrift, b"\x0c\x00\x01\x0b", "application/x-thrift")
    assert code == 400 and b"at byte 4" in body
    assert post(thrift, b"{}", "application/json")[0] == 415


# ---- out ----

OUT = """
  jaeger:
    endpoint: 127.0.0.1:%(jaeger)d
    tls: {insecure: true}
    retry_on_failure: {initial_interval: 100ms}
  zipkin/json:
    endpoint: http://127.0.0.1:%(zipkin)d/api/v2/spans
    retry_on_failure: {initial_interval: 100ms}
  zipkin/proto:
    endpoint: http://127.0.0.1:%(zipkin)d/api/v2/spans
    format: proto
    compression: gzip
    retry_on_failure: {initial_interval: 100ms}
"""


def jaeger_value(tag):
    kinds = {"STRING": "vStr", "BOOL": "vBool", "INT64": "vInt64", "FLOAT64": "vFloat64"}
    value = tag.get(kinds[tag.get("vType", "STRING")], "")
    return int(value) if tag.get("vType") == "INT64" else value


def jaeger_tags(tags):
    return {t["key"]: jaeger_value(t) for t in tags}


def hex_of(text):
    return base64.b64decode(text).hex()


def check_jaeger(request, wanted):
    span = next(s for s in request["spans"] if hex_of(s["spanId"]) == wanted["span_id"])
    tags = jaeger_tags(span["tags"])
    assert hex_of(span["traceId"]) == wanted["trace_id"] and span["operationName"] == wanted["name"]
    assert tags["span.kind"] == wanted["kind"]
    assert tags.get("otel.status_code", "") == wanted["status"]
    assert tags.get("error") == (True if wanted["status"] == "ERROR" else None)
    for key, value in wanted["attributes"].items():
        assert tags[key] == (text_of(value) if isinstance(value, list) else value), key
    references = [(r.get("refType", "CHILD_OF"), hex_of(r["traceId"]), hex_of(r["spanId"]))
                  for r in span.get("references", [])]
    assert references == (
        [("CHILD_OF", wanted["trace_id"], wanted["parent_id"])] if wanted["parent_id"] else []) + [
        ("FOLLOWS_FROM", link["trace_id"], link["span_id"]) for link in wanted["links"]]
    assert [jaeger_tags(e["fields"]) for e in span.get("logs", [])] == [
        {"event": e["name"], **e["attributes"]} for e in wanted["events"]]
    assert request["process"]["serviceName"] == "interop"
    assert jaeger_tags(request["process"]["tags"])["service.version"] == "1.2.3"


def check_zipkin(request, wanted):
    def identity(text):
        return text if request["protocol"] == "json" else hex_of(text)

    span = next(s for s in request["spans"] if identity(s["id"]) == wanted["span_id"])
    assert identity(span["traceId"]) == wanted["trace_id"] and span["name"] == wanted["name"]
    assert identity(span.get("parentId", "")) == wanted["parent_id"]
    assert span.get("kind", "INTERNAL").lower() == wanted["kind"]
    assert int(span["timestamp"]) == int(wanted["start_ns"]) // 1000
    assert span["localEndpoint"]["serviceName"] == "interop"
    assert span["tags"].get("otel.status_code", "") == wanted["status"]
    assert span["tags"].get("error") == ("deadlock" if wanted["status"] == "ERROR" else None)
    assert span["tags"]["service.version"] == "1.2.3"
    for key, value in wanted["attributes"].items():
        assert span["tags"][key] == text_of(value), key
    assert [a["value"] for a in span.get("annotations", [])] == [
        '"%s":%s' % (e["name"], text_of(e["attributes"])) for e in wanted["events"]]


def test_what_goes_out_is_understood():
    """The receivers refuse each exporter's first request or more: all of it comes again."""
    with SpanCollector("--refuse", "4") as far:
        with Collector(PIPELINES % (OUT.strip() % vars(far), "jaeger, zipkin/json, zipkin/proto")) as server:
            sent = send(sys.executable, "grpc", "http://127.0.0.1:%d" % server.port["otlp"])
            for protocol in ("jaeger", "json", "proto"):
                request = wait_for("a request by " + protocol, lambda: [
                    r for r in far.requests if r["protocol"] == protocol])[0]
                for wanted in sent:
                    (check_jaeger if protocol == "jaeger" else check_zipkin)(request, wanted)


LARGE = """
receivers:
  zipkin:
    endpoint: 127.0.0.1:@zipkin@
exporters:
  jaeger:
    endpoint: 127.0.0.1:%d
    tls: {insecure: true}
service:
  pipelines:
    traces:
      receivers: [zipkin]
      exporters: [jaeger]
"""


def test_a_batch_beyond_the_limit_of_grpc_is_cut():
    """8,000 spans of 1 kB are one batch, and twice what a gRPC server takes in one request."""
    now = int(time.time() * 1e6)
    spans = [{"traceId": "%032x" % (i + 1), "id": "%016x" % (i + 1), "timestamp": now,
              "localEndpoint": {"serviceName": "large"}, "tags": {"n": str(i), "text": "x" * 1000}}
             for i in range(8000)]
    with SpanCollector() as far, Collector(LARGE % far.jaeger) as server:
        code, _, body = post("http://127.0.0.1:%d/api/v2/spans" % server.port["zipkin"],
                             json.dumps(spans).encode())
        assert code == 202, body
        wait_for("all spans", lambda: len(far.spans()) >= 8000)
        assert [int(jaeger_tags(s["tags"])["n"]) for s in far.spans()] == list(range(8000))
        assert len(far.requests) == 3
        sent = 'sonde_exporter_sent_items_total{component="jaeger",signal="traces"} 8000'
        wait_for("the count", lambda: sent in get(server.http + "/metrics").decode())


ONWARD = """
  jaeger:
    endpoint: 127.0.0.1:%(jaeger)d
    tls:
      insecure: true
"""


def test_a_trace_through_two_servers_stays_the_same(receiving):
    with Collector(PIPELINES % (ONWARD.strip() % receiving.port, "sonde, jaeger")) as first:
        sent = send(sys.executable, "grpc", "http://127.0.0.1:%d" % first.port["otlp"])
        for wanted in sent:
            trace, span = find(first, wanted)
            far_trace, far = find(receiving, wanted)
            assert {**span, "processID": ""} == {**far, "processID": ""}
            assert trace["processes"][span["processID"]] == far_trace["processes"][far["processID"]]
