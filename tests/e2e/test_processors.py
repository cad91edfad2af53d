# SPDX-License-Identifier: Apache-2.0
"""Processors and connectors in a running collector: what they make of items arrives at an otlphttp receiver
and in the store, and is counted; tail_sampling decides whole traces, also across kill -9."""
import hashlib
import json
import random
import threading
import time

import pytest

from far_side import FarSide, plain
from harness import FULL, attributes, get, get_json, post, wait_for
from test_collector_delivery import Collector

HEAD = """
receivers:
  otlp:
    protocols:
      http: { endpoint: '127.0.0.1:%(port)d' }
exporters:
  sonde:
  otlphttp:
    endpoint: http://127.0.0.1:%(far)d
    encoding: json
extensions:
  sonde_web: { endpoint: '127.0.0.1:%(web)d' }
"""

CHANGES = HEAD + """
processors:
  memory_limiter: { check_interval: 1s, limit_mib: 8000 }
  batch: { timeout: 10ms }
  resource: { attributes: [{ key: team, value: shop, action: upsert }] }
  attributes:
    actions:
      - { key: http.request.method, from_attribute: http.method, action: upsert }
      - { key: http.method, action: delete }
      - { key: user, action: hash }
  filter:
    error_mode: ignore
    traces: { span: ['name == "/health"'], spanevent: ['name == "noise"'] }
    logs: { log_record: ['severity_number < SEVERITY_NUMBER_INFO'] }
  redaction: { allow_all_keys: true, blocked_values: ['4[0-9]{15}'], summary: info }
  probabilistic_sampler: { sampling_percentage: 25 }
connectors:
  count:
    spans:
      shop.spans: { conditions: ['kind == SPAN_KIND_SERVER'], attributes: [{ key: route }] }
service:
  extensions: [sonde_web]
  pipelines:
    logs:
      receivers: [otlp]
      processors: [memory_limiter, resource, attributes, filter, redaction, batch]
      exporters: [otlphttp, sonde]
    traces:
      receivers: [otlp]
      processors: [resource, attributes, filter, batch]
      exporters: [otlphttp, count]
    traces/sampled:
      receivers: [otlp]
      processors: [filter, probabilistic_sampler]
      exporters: [sonde]
    metrics:
      receivers: [count]
      exporters: [otlphttp, sonde]
"""

TAIL = HEAD + """
processors:
  tail_sampling:
    decision_wait: 300ms
    policies:
      - { name: errors, type: status_code, status_code: { status_codes: [ERROR] } }
service:
  extensions: [sonde_web]
  pipelines:
    traces:
      receivers: [otlp]
      processors: [tail_sampling]
      exporters: [otlphttp]
"""


@pytest.fixture
def far():
    side = FarSide()
    yield side
    side.end()


def span(trace, name, number=1, status=0, **values):
    now = time.time_ns()
    return {"traceId": trace, "spanId": "%016x" % number, "name": name, "kind": 2,
            "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 1000000),
            "status": {"code": status}, "attributes": attributes(values)}


def traces(spans):
    return {"resourceSpans": [{"resource": {"attributes": attributes({"service.name": "shop"})},
                               "scopeSpans": [{"spans": spans}]}]}


def send(port, signal, body):
    status, _, answer = post("http://127.0.0.1:%d/v1/%s" % (port, signal), json.dumps(body).encode(),
                             "application/json")
    assert status == 200, answer


def fnv1a(data):
    h = 2166136261
    for byte in data:
        h = (h ^ byte) * 16777619 & 0xffffffff
    return h


def test_items_are_changed_filtered_masked_sampled_and_counted(far):
    c = Collector(CHANGES, far.port)
    c.start()
    try:
        now = time.time_ns()
        records = [{"timeUnixNano": str(now), "severityNumber": n, "body": {"stringValue": text},
                    "attributes": attributes({"user": "ann", "http.method": "GET"})}
                   for n, text in ((5, "too fine"), (9, "paid with 4111111111111111"))]
        send(c.port, "logs", {"resourceLogs": [{
            "resource": {"attributes": attributes({"service.name": "shop"})},
            "scopeLogs": [{"logRecords": records}]}]})
        ids = [hashlib.md5(b"%d" % i).hexdigest() for i in range(200)]
        spans = [span(i, "GET /cart", route="/cart") for i in ids] + [span(ids[0], "/health", 2)]
        spans[0]["events"] = [{"timeUnixNano": str(now), "name": "noise"},
                              {"timeUnixNano": str(now), "name": "kept"}]
        send(c.port, "traces", traces(spans))

        wait_for("the log record", lambda: far.rows("logs"))
        (resource, record), = far.rows("logs")
        assert resource == {"service.name": "shop", "team": "shop"}
        assert record["body"] == {"stringValue": "paid with ****"}
        assert plain(record["attributes"]) == {
            "http.request.method": "GET", "user": hashlib.sha256(b"ann").hexdigest(),
            "redaction.body.masked.count": "1"}
        wait_for("the spans", lambda: len(far.rows("traces")) == 200)
        assert {s["name"] for _, s in far.rows("traces")} == {"GET /cart"}
        assert [e["name"] for _, s in far.rows("traces") for e in s.get("events", [])] == ["kept"]
        wait_for("the count", lambda: far.rows("metrics"))
        (resource, metric), = [(r, m) for r, m in far.rows("metrics") if m["name"] == "shop.spans"]
        point, = metric["sum"]["dataPoints"]
        assert int(point["asInt"]) == 200 and plain(point["attributes"]) == {"route": "/cart"}
        assert resource["team"] == "shop" and metric["sum"]["aggregationTemporality"] in (1, "DELTA")

        def stored():
            query = c.server.http + "/loki/api/v1/query_range?query=%7Bservice_name%3D%22shop%22%7D"
            return get_json(query)["data"]["result"]
        wait_for("the record in the store", stored)
        values = [v for stream in stored() for v in stream["values"]]
        assert [v[1] for v in values] == ["paid with ****"]

        # The store has the traces that the Collector would have chosen: by the hash's lower 14 bits.
        rate = int(25 * 16384 / 100)
        chosen = {i for i in ids if (fnv1a(bytes(4) + bytes.fromhex(i)) & 0x3fff) < rate}
        assert 20 < len(chosen) < 80

        def kept():
            found = get_json(c.server.http + "/jaeger/api/traces?service=shop&limit=500")["data"]
            return {t["traceID"].rjust(32, "0") for t in found}
        wait_for("the chosen traces", lambda: len(kept()) >= len(chosen))
        assert kept() == chosen
        page = get(c.server.http + "/metrics")
        assert b"filtered" in page and b"not sampled" in page
    finally:
        c.end()


class Tracer(threading.Thread):
    """Traces of three spans in three requests, whose first span says whether they are kept."""

    def __init__(self, port, tag):
        super().__init__(daemon=True)
        self.port, self.tag = port, tag
        self.acked = {}   # trace -> span numbers
        self.errors, self.rest = set(), set()
        self.halt = False

    def run(self):
        n = 0
        try:
            while not self.halt:
                ids = [hashlib.md5(b"%s %d" % (self.tag.encode(), n + i)).hexdigest() for i in range(12)]
                n += len(ids)
                for i, trace in enumerate(ids):
                    (self.errors if i % 3 == 0 else self.rest).add(trace)
                for number in (1, 2, 3):
                    rows = [span(t, "s%d" % number, number, 2 if number == 1 and t in self.errors else 0)
                            for t in ids]
                    send(self.port, "traces", traces(rows))
                    for t in ids:
                        self.acked.setdefault(t, set()).add(number)
        except (OSError, AssertionError):
            pass


def test_traces_are_decided_once_across_kill_9(far):
    c = Collector(TAIL, far.port)
    tracers = []
    try:
        for number in range(60 if FULL else 4):
            c.start()
            tracer = Tracer(c.port, "t%d" % number)
            tracers.append(tracer)
            tracer.start()
            want = random.randint(20, 120)
            wait_for("acknowledged traces", lambda: len(tracer.acked) >= want, 30, every=0.005)
            time.sleep(random.random() * 0.6)  # the moment of the end: some wait, some were decided
            c.server.kill()
            tracer.join(30)
        c.start()
        wanted = {(t, n) for x in tracers for t in x.errors for n in x.acked.get(t, ())}
        assert wanted

        def arrived():
            return {(s["traceId"], int(s["spanId"], 16)) for _, s in far.rows("traces")}
        wait_for("all spans of the sampled traces", lambda: wanted <= arrived(), 30, every=0.1)
        dropped = {t for x in tracers for t in x.rest}
        wait_for("the others are left out", lambda: b"not sampled" in get(c.server.http + "/metrics"), 30)
        assert not {t for t, _ in arrived()} & dropped
        assert c.metric("sonde_tail_sampling_sampled_traces_total", policy="errors") > 0
        print("%d spans of %d sampled traces, %d traces left out" % (
            len(wanted), len({t for t, _ in wanted}), len(dropped)))
    finally:
        c.end()
