# SPDX-License-Identifier: Apache-2.0
"""The remote write exporter against a receiver that fails: what is asked to be sent again is, what is refused
is not, each point is counted once, and what was acknowledged to the sender arrives after kill -9."""
import http.server
import json
import threading
import time

import pytest

from harness import Collector, attributes, get, post, wait_for

CONFIG = """
receivers:
  otlp:
    protocols: { http: { endpoint: "127.0.0.1:@otlp@" } }
exporters:
  prometheusremotewrite:
    endpoint: http://127.0.0.1:@far@/api/v1/write
    headers: { X-Scope-OrgID: team }
    %s
    retry_on_failure: { initial_interval: 10ms, max_interval: 50ms }
service:
  pipelines:
    metrics: { receivers: [otlp], exporters: [prometheusremotewrite] }
"""


class Receiver:
    """Answers with `script`, one status after the other, then 204; keeps (headers, body)."""

    def __init__(self, port, script=()):
        self.script, self.requests = list(script), []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = receiver.script.pop(0) if receiver.script else 204
                receiver.requests.append((code, dict(self.headers), body))
                self.send_response(code)
                if code == 429:
                    self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def bodies(self, code=204):
        return [unsnap(body) for status, _, body in self.requests if status == code]


def unsnap(body):
    """Enough of snappy to read what is sent: literals and copies."""
    size, at, shift = 0, 0, 0
    while True:
        size |= (body[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if body[at - 1] < 0x80:
            break
    out = bytearray()
    while at < len(body):
        tag = body[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                more = length - 59
                length = int.from_bytes(body[at:at + more], "little")
                at += more
            out += body[at:at + length + 1]
            at += length + 1
            continue
        if tag & 3 == 1:
            length, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | body[at]
            at += 1
        else:
            width = 2 if tag & 3 == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(body[at:at + width], "little")
            at += width
        for _ in range(length):
            out.append(out[-offset])
    assert len(out) == size
    return bytes(out)


def send(server, names, temporality=2):
    now = time.time_ns()
    metrics = [{"name": name, "sum": {"aggregationTemporality": temporality, "isMonotonic": True, "dataPoints": [
        {"timeUnixNano": str(now), "asInt": "1"}]}} for name in names]
    body = {"resourceMetrics": [{"resource": {"attributes": attributes({"service.name": "s"})},
                                 "scopeMetrics": [{"scope": {}, "metrics": metrics}]}]}
    status, _, answer = post("http://127.0.0.1:%d/v1/metrics" % server.port["otlp"], json.dumps(body).encode())
    assert status == 200, answer


def counted(server):
    """{name{labels}: value} of the exporter."""
    lines = get(server.http + "/metrics").decode().splitlines()
    return {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) for line in lines
            if 'component="prometheusremotewrite"' in line and "{" in line}


def count(server, what, **labels):
    return sum(v for k, v in counted(server).items()
               if k.startswith(what + "{") and all('%s="%s"' % label in k for label in labels.items()))


def test_what_is_to_be_sent_again_is_and_what_is_refused_is_not():
    with Collector(CONFIG % "") as server:
        with Receiver(server.port["far"], [503, 429, 500, 400]) as far:
            send(server, ["a"])
            dropped = "sonde_component_dropped_items_total"
            wait_for("the refusal", lambda: count(server, dropped, reason="refused by the receiver") == 1)
            send(server, ["b"])
            wait_for("the other", lambda: count(server, "sonde_exporter_sent_items_total") == 1)
            assert [code for code, _, _ in far.requests] == [503, 429, 500, 400, 204]
            assert [b"a_total" in unsnap(body) for _, _, body in far.requests] == [True] * 4 + [False]
            assert count(server, dropped) == 1
            headers = far.requests[0][1]
            assert headers["Content-Type"] == "application/x-protobuf"
            assert headers["Content-Encoding"] == "snappy"
            assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
            assert headers["X-Scope-OrgID"] == "team"


def test_points_that_are_not_sent_are_counted_once():
    with Collector(CONFIG % "") as server, Receiver(server.port["far"]) as far:
        send(server, ["delta"], temporality=1)
        send(server, ["good"])
        wait_for("the good one", lambda: any(b"good_total" in body for body in far.bodies()))
        wait_for("the count", lambda: count(server, "sonde_exporter_sent_items_total") == 1)
        assert count(server, "sonde_component_dropped_items_total", reason="delta temporality") == 1
        assert count(server, "sonde_component_dropped_items_total") == 1
        assert not any(b"delta" in body for body in far.bodies())


@pytest.mark.parametrize("options, expected, version", [
    ("protobuf_message: io.prometheus.write.v2.Request", b"a_total", "2.0.0"),
    ("{ namespace: my, add_metric_suffixes: false }", b"my_a", "0.1.0"),
    ("external_labels: { region: eu }", b"region", "0.1.0"),
])
def test_options_change_what_is_sent(options, expected, version):
    with Collector(CONFIG % options.strip("{ }").replace(", ", "\n    ") if options.startswith("{")
                   else CONFIG % options) as server, Receiver(server.port["far"]) as far:
        send(server, ["a"])
        wait_for("it", lambda: far.bodies())
        assert expected in far.bodies()[0]
        assert far.requests[0][1]["X-Prometheus-Remote-Write-Version"] == version


def test_what_was_acknowledged_arrives_after_kill_9():
    with Collector(CONFIG % "") as server:
        sent = ["n%d" % i for i in range(20)]
        for name in sent:
            send(server, [name])  # nobody is there
        server.kill()
        with Receiver(server.port["far"]) as far:
            server.start()
            wait_for("all of them", lambda: all(
                any(b"%s_total" % name.encode() in body for body in far.bodies()) for name in sent))
