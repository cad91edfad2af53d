# SPDX-License-Identifier: Apache-2.0
"""Whether what an SDK says that it sent is what a server gives back: every field of spans, logs, metrics.
Each SDK's program sends the same (send_python.py, node/, go/, rust/, java/), and prints it."""
import json
import subprocess

from harness import wait_for

METRICS = [
    ['interop_requests_total{route="/a"}', 3], ['interop_requests_total{route="/b"}', 4],
    ["interop_open", -2], ['interop_temperature_celsius{room="küche"}', 21.5],
    ['interop_duration_seconds_bucket{le="0.1"}', 1], ['interop_duration_seconds_bucket{le="0.5"}', 2],
    ['interop_duration_seconds_bucket{le="1"}', 3], ['interop_duration_seconds_bucket{le="+Inf"}', 4],
    ["interop_duration_seconds_count", 4], ["interop_duration_seconds_sum", 4.05]]


def send(command, protocol, server):
    endpoint = {"grpc": "http://" + server.grpc}.get(protocol, server.otlp)
    done = subprocess.run([*command, protocol, endpoint, "interop"], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def tags_of(item):
    return {t["key"]: t["value"] for t in item}


def same_value(got, wanted):
    """Jaeger's tags have no lists: those come as JSON text."""
    if isinstance(wanted, list):
        return json.loads(got) == wanted
    return got == wanted and isinstance(got, bool) == isinstance(wanted, bool)


def compare_span(trace, wanted):
    span = next(s for s in trace["spans"] if s["spanID"] == wanted["span_id"])
    assert span["traceID"] == wanted["trace_id"] and span["operationName"] == wanted["name"]
    assert span["startTime"] == int(wanted["start_ns"]) // 1000
    duration = int(wanted["end_ns"]) - int(wanted["start_ns"])
    assert abs(span["duration"] - duration / 1000) <= 1
    tags = tags_of(span["tags"])
    for key, value in wanted["attributes"].items():
        assert same_value(tags[key], value), (key, tags[key], value)
    assert tags.get("span.kind", "internal") == wanted["kind"]
    assert tags.get("otel.status_code", "") == wanted["status"]
    if wanted["status"] == "ERROR":
        assert tags["error"] is True and tags["otel.status_description"] == "deadlock"
    assert tags["otel.scope.name"] == "interop" and tags["otel.scope.version"] == "9.9"
    events = [{"name": tags_of(e["fields"]).get("event"), "us": e["timestamp"],
               "attributes": {k: v for k, v in tags_of(e["fields"]).items() if k != "event"}}
              for e in span["logs"]]
    assert events == [{"name": e["name"], "us": int(e["time_ns"]) // 1000,
                       "attributes": e["attributes"]} for e in wanted["events"]]
    parents = [r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF"]
    assert parents == ([wanted["parent_id"]] if wanted["parent_id"] else [])
    links = [{"trace_id": r["traceID"], "span_id": r["spanID"]} for r in span["references"]
             if r["refType"] == "FOLLOWS_FROM"]
    assert links == wanted["links"]
    process = trace["processes"][span["processID"]]
    assert process["serviceName"] == "interop"
    assert tags_of(process["tags"])["service.version"] == "1.2.3"


def compare(server, sent):
    for wanted in sent["spans"]:
        compare_span(server.trace(wanted["trace_id"]), wanted)
    lines = server.logs('{service="interop"}')
    assert len(lines) == len(sent["logs"])
    for wanted in sent["logs"]:
        _, line, fields = next(row for row in lines if row[1] == wanted["body"])
        assert fields["level"] == wanted["level"]
        assert (fields["trace_id"], fields["span_id"]) == (wanted["trace_id"], wanted["span_id"])
        for key, value in wanted["attributes"].items():
            text = json.dumps(value)
            assert float(fields[key]) == value if isinstance(value, float) else fields[key] == text
    for selector, value in sent.get("metrics", METRICS):
        result = server.promql(selector)
        assert len(result) == 1, (selector, result)
        assert abs(float(result[0]["value"][1]) - value) < 1e-9, selector
        assert result[0]["metric"]["job"] == "interop"
        assert result[0]["metric"]["deployment_environment_name"] == "test"


def check_sdk(command, protocol, server):
    sent = send(command, protocol, server)
    wait_for("what the SDK sent", lambda: server.logs('{service="interop"}'))
    compare(server, sent)
