# SPDX-License-Identifier: Apache-2.0
"""What the collector sends, judged by other people's receivers: grpcio's server, Python's http.server,
TLS by both; and what it writes to files and stderr, read by OpenTelemetry's own messages."""
import glob
import json
import os
import shutil
import struct
import subprocess
import time
import urllib.request

import grpc
import pytest

from harness import Collector, attributes, post, wait_for
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from receivers import Certificates, GrpcReceiver, HttpReceiver

CODE = grpc.StatusCode
RECEIVERS = {"otlp": GrpcReceiver, "otlphttp": HttpReceiver}
PIPELINES = """
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:@otlp@
exporters:
%s
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [%s]}
    metrics: {receivers: [otlp], exporters: [%s]}
    traces: {receivers: [otlp], exporters: [%s]}
"""
QUICK = "retry_on_failure: {initial_interval: 50ms, max_interval: 100ms}"


def config(exporters, more=""):
    """exporters: {id: [lines]}"""
    text = "".join("  %s:\n%s" % (name, "".join("    %s\n" % line for line in lines))
                   for name, lines in exporters.items())
    names = ", ".join(exporters)
    return PIPELINES % (text, names, names, names) + more


def send(server, signal, numbers):
    """One request with a log record, span or data point for each number."""
    now = str(time.time_ns())
    rows = {
        "logs": lambda n: {"timeUnixNano": now, "body": {"stringValue": "line %d" % n}},
        "traces": lambda n: {"traceId": "%032x" % (n + 1), "spanId": "%016x" % (n + 1), "name": "span %d" % n,
                             "startTimeUnixNano": now, "endTimeUnixNano": now},
        "metrics": lambda n: {"timeUnixNano": now, "asDouble": n},
    }
    items = [{**rows[signal](n), "attributes": attributes({"n": n})} for n in numbers]
    if signal == "metrics":
        items = [{"name": "counted_total", "sum": {"dataPoints": items, "isMonotonic": True,
                                                   "aggregationTemporality": 2}}]
    outer, scope, inner = {"logs": ("resourceLogs", "scopeLogs", "logRecords"),
                           "traces": ("resourceSpans", "scopeSpans", "spans"),
                           "metrics": ("resourceMetrics", "scopeMetrics", "metrics")}[signal]
    body = {outer: [{"resource": {"attributes": attributes({"service.name": "shop"})},
                     scope: [{"scope": {"name": "test"}, inner: items}]}]}
    code = post("http://127.0.0.1:%d/v1/%s" % (server.port["otlp"], signal), json.dumps(body).encode())[0]
    assert code == 200


def send_all(server, count, step=100):
    for begin in range(0, count, step):
        for signal in ("logs", "traces"):
            send(server, signal, range(begin, begin + step))
    send(server, "metrics", [count])


def arrived(receiver, count):
    return wait_for("all items", lambda: len(receiver.numbers("logs")) >= count
                    and len(receiver.numbers("traces")) >= count and receiver.counted() == count, 30)


def dropped(server):
    """Items that exporters gave up, whatever the reason."""
    page = urllib.request.urlopen(server.http + "/metrics", timeout=10).read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
               if line.startswith("sonde_component_dropped_items_total{"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("kind,options", [
    ("otlp", ["compression: none"]), ("otlp", ["compression: gzip"]),
    ("otlphttp", ["compression: none"]), ("otlphttp", [])])
def test_all_signals_arrive_in_order_with_headers(kind, options):
    with RECEIVERS[kind]() as receiver:
        lines = ["endpoint: " + receiver.endpoint, "headers: {x-team: core, X-Key: 'a secret'}",
                 "tls: {insecure: true}", *options]
        with Collector(config({kind: lines})) as server:
            send_all(server, 1000)
            arrived(receiver, 1000)
            assert receiver.numbers("logs") == list(range(1000))
            assert receiver.numbers("traces") == list(range(1000))
            for _, headers in receiver.heads:
                assert (headers["x-team"], headers["x-key"]) == ("core", "a secret")
            encodings = {headers.get("content-encoding") for _, headers in receiver.heads}
            assert kind == "otlp" or encodings == ({"gzip"} if not options else {None})
            assert "a secret" not in server.output()


def test_json_to_one_url_for_each_signal():
    class Json(HttpReceiver):
        def decode(self, signal, body):
            return json.loads(body)

        def numbers(self, signal):
            with self.lock:
                return [int(a["value"]["intValue"]) for r in self.requests["logs"] for x in r["resourceLogs"]
                        for s in x["scopeLogs"] for row in s["logRecords"] for a in row["attributes"]]

    with Json() as receiver:
        lines = ["logs_endpoint: %s/other/logs" % receiver.endpoint, "encoding: json", "compression: none"]
        with Collector(config({"otlphttp": lines})) as server:
            send(server, "logs", range(50))
            wait_for("all logs", lambda: receiver.numbers("logs") == list(range(50)))
            assert receiver.heads[0][1]["content-type"] == "application/json"


@pytest.mark.parametrize("kind,script", [
    ("otlp", [(CODE.UNAVAILABLE, "not now", 0.1), (CODE.RESOURCE_EXHAUSTED, "full", 0.1),
              (CODE.DEADLINE_EXCEEDED, "slow", None)]),
    ("otlphttp", [(503, {"Retry-After": "0"}), (429, {}), (502, {}), (504, {})])])
def test_what_is_refused_for_now_is_sent_again(kind, script):
    with RECEIVERS[kind](script) as receiver:
        lines = ["endpoint: " + receiver.endpoint, "tls: {insecure: true}", QUICK]
        with Collector(config({kind: lines})) as server:
            send(server, "logs", range(100))
            send(server, "logs", range(100, 200))
            wait_for("all logs", lambda: len(receiver.numbers("logs")) >= 200)
            assert receiver.numbers("logs") == list(range(200))
            assert len(receiver.refused["logs"]) == len(script)


@pytest.mark.parametrize("kind,script", [
    ("otlp", [(CODE.INVALID_ARGUMENT, "never", None), 3]), ("otlphttp", [(400, {})])])
def test_what_is_refused_for_good_is_dropped_and_counted(kind, script):
    with RECEIVERS[kind](script) as receiver:
        lines = ["endpoint: " + receiver.endpoint, "tls: {insecure: true}", QUICK]
        with Collector(config({kind: lines})) as server:
            send(server, "logs", range(10))
            wait_for("the refusal", lambda: receiver.refused["logs"])
            send(server, "logs", range(10, 20))
            wait_for("the next", lambda: receiver.numbers("logs") == list(range(10, 20)))
            refused = 10 + (3 if 3 in script else 0)
            wait_for("the count", lambda: dropped(server) == refused)


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("kind", RECEIVERS)
def test_tls_and_mutual_tls(kind, mutual, certificates):
    give = certificates.grpc if kind == "otlp" else certificates.http
    option = {"credentials" if kind == "otlp" else "context": give(mutual)}
    own = [", cert_file: %s, key_file: %s" % (certificates.file("client"), certificates.key("client"))
           if mutual else ""]
    with RECEIVERS[kind](**option) as receiver:
        good = ["endpoint: " + receiver.endpoint, QUICK,
                "tls: {ca_file: %s%s}" % (certificates.file("ca"), own[0])]
        bad = [*good[:2], "tls: {ca_file: %s%s}" % (certificates.file("other"), own[0])]
        with Collector(config({kind: good, kind + "/bad": bad})) as server:
            send(server, "logs", range(20))
            wait_for("all logs", lambda: receiver.numbers("logs") == list(range(20)))
            wait_for("the reason", lambda: "certificate" in server.output())


def test_bearer_token_and_a_receiver_that_comes_late():
    with GrpcReceiver() as first:
        address = first.endpoint.rsplit("/", 1)[1]
    more = "extensions:\n  bearertokenauth: {token: abcd}\n  sonde_web:\n    endpoint: 127.0.0.1:@web@\n"
    text = config({"otlp": ["endpoint: " + address, "tls: {insecure: true}", QUICK,
                            "auth: {authenticator: bearertokenauth}"]}, more)
    text = text.replace("service:\n", "service:\n  extensions: [bearertokenauth, sonde_web]\n")
    with Collector(text) as server:
        send(server, "logs", range(100))
        wait_for("a failure", lambda: "refused" in server.output().lower())
        with GrpcReceiver(address=address.replace("localhost", "127.0.0.1")) as receiver:
            wait_for("all logs", lambda: receiver.numbers("logs") == list(range(100)))
            assert receiver.heads[0][1]["authorization"] == "Bearer abcd"
        assert "abcd" not in server.output()


# ---- files ----

def lines_of(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def numbers_of(requests):
    return [int(a["value"]["intValue"]) for r in requests for x in r["resourceLogs"]
            for s in x["scopeLogs"] for row in s["logRecords"] for a in row["attributes"]]


def test_files_are_whole_lines_and_begun_again_when_renamed(tmp_path):
    path = tmp_path / "deep" / "data.json"
    lines = ["path: %s" % path, "create_directory: {enabled: true}"]
    with Collector(config({"file": lines})) as server:
        send(server, "logs", range(10))
        wait_for("the first", lambda: numbers_of(lines_of(path)) == list(range(10)))
        os.rename(path, str(path) + ".old")
        send(server, "logs", range(10, 20))
        wait_for("the new file", lambda: numbers_of(lines_of(path)) == list(range(10, 20)))
    with Collector(config({"file": lines})) as server:  # goes on where it ended
        send(server, "logs", range(20, 30))
        wait_for("more", lambda: numbers_of(lines_of(path)) == list(range(10, 30)))


def test_files_rotate_and_the_oldest_go(tmp_path):
    path = tmp_path / "data.json"
    text = "x" * 200_000
    lines = ["path: %s" % path, "rotation: {max_megabytes: 1, max_backups: 2}",
             "sending_queue: {batch: {min_size: 1, max_size: 1}}"]
    with Collector(config({"file": lines})) as server:
        for n in range(20):
            body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [
                {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": text},
                 "attributes": attributes({"n": n})}]}]}]}
            post("http://127.0.0.1:%d/v1/logs" % server.port["otlp"], json.dumps(body).encode())
        wait_for("the last", lambda: numbers_of(lines_of(path))[-1:] == [19])
        old = sorted(glob.glob(str(tmp_path / "data-*T*.json")))
        assert len(old) == 2
        kept = [n for name in [*old, path] for n in numbers_of(lines_of(name))]
        assert kept == list(range(kept[0], 20))
        assert all(os.path.getsize(name) <= 1 << 20 for name in [*old, path])


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_files_of_frames(tmp_path, compression):
    if compression == "zstd" and not shutil.which("zstd"):
        pytest.skip("no zstd program")
    path = tmp_path / "data.bin"
    lines = ["path: %s" % path, "format: proto", "compression: " + compression]
    with Collector(config({"file": lines})) as server:
        send(server, "logs", range(10))

        def read():
            data, found = path.read_bytes(), []
            while data:
                size, = struct.unpack(">I", data[:4])
                frame, data = data[4:4 + size], data[4 + size:]
                assert len(frame) == size
                if compression == "zstd":
                    frame = subprocess.run(["zstd", "-dc"], input=frame, stdout=subprocess.PIPE,
                                           check=True).stdout
                request = logs_pb2.ExportLogsServiceRequest.FromString(frame)
                found += [a.value.int_value for x in request.resource_logs for s in x.scope_logs
                          for row in s.log_records for a in row.attributes]
            return found
        wait_for("the frames", lambda: read() == list(range(10)))


def test_debug_shows_what_passes():
    exporters = {"debug": ["verbosity: detailed"], "logging": ["loglevel: warn"],
                 "debug/n": ["verbosity: normal"]}
    with Collector(config(exporters)) as server:
        send_all(server, 2, 2)
        for text in ("-> service.name: Str(shop)", "Name           : span 1", "Str(line 1)", "counted_total",
                     "logging: logs: 1 resources, 2 log records", "debug/n: traces: 1 resources, 2 spans",
                     "line 1 n=1\n", "counted_total n=2 2\n"):
            wait_for(repr(text), lambda: text in server.output())
