# SPDX-License-Identifier: Apache-2.0
"""The collector file of the staging system, run as it is, with everything that it names: a Jaeger
collector, a Loki, Debian's Prometheus that scrapes it, and a program with OpenTelemetry's SDK. Its ports
are fixed and its hosts have names, so that all of it runs in a network and a mount namespace of its own:

    unshare -rmn python staging_world.py

Exits 0 when all that was sent arrived; see test_staging_collector.py."""
import base64
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from foreign import SpanCollector  # noqa: E402
from harness import ROOT, SONDE, get_json, wait_for  # noqa: E402
from loki_push import LokiReceiver  # noqa: E402

CONFIG = os.path.join(ROOT, "config/staging/otelcol.yaml")


def loopback_up():
    siocsifflags, iff_up, iff_running = 0x8914, 1, 0x40
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, siocsifflags, struct.pack("16sh14x", b"lo", iff_up | iff_running))


def name_hosts(folder):
    """Each host has an address of its own, so that none is found by chance."""
    path = os.path.join(folder, "hosts")
    with open(path, "w") as f:
        f.write("127.0.0.1 localhost\n127.0.0.2 jaeger\n127.0.0.3 loki\n")
    subprocess.run(["mount", "--bind", path, "/etc/hosts"], check=True)
    assert socket.gethostbyname("jaeger") == "127.0.0.2", "nsswitch.conf does not ask /etc/hosts"


def listens(port):
    with socket.create_connection(("127.0.0.1", port)):
        return True


def prometheus(folder):
    config = os.path.join(folder, "prometheus.yml")
    with open(config, "w") as f:
        f.write("scrape_configs:\n- job_name: otel\n  scrape_interval: 1s\n  honor_labels: true\n"
                "  static_configs:\n  - targets: ['127.0.0.1:8889']\n")
    log = open(os.path.join(folder, "prometheus.log"), "w")
    return subprocess.Popen(["prometheus", "--config.file", config, "--storage.tsdb.path", folder + "/tsdb",
                             "--web.listen-address", "127.0.0.1:9090"], stdout=log, stderr=log)


def promql(query):
    return get_json("http://127.0.0.1:9090/api/v1/query?query=" + urllib.parse.quote(query))["data"]["result"]


def check_traces(jaeger, sent):
    def by_id():
        return {base64.b64decode(s["spanId"]).hex(): s for s in jaeger.spans()}

    spans = wait_for("the spans at jaeger:14250", lambda: len(by_id()) >= len(sent["spans"]) and by_id(), 30)
    for wanted in sent["spans"]:
        span = spans[wanted["span_id"]]
        assert span["operationName"] == wanted["name"]
        assert base64.b64decode(span["traceId"]).hex() == wanted["trace_id"]
        parents = [base64.b64decode(r["spanId"]).hex() for r in span.get("references", [])
                   if r.get("refType", "CHILD_OF") == "CHILD_OF"]
        assert parents == ([wanted["parent_id"]] if wanted["parent_id"] else [])
    assert {r["process"]["serviceName"] for r in jaeger.requests} == {"interop"}


def check_logs(loki, sent):
    wait_for("the lines at loki:3100", lambda: len(loki.entries) >= len(sent["logs"]), 30)
    lines = {json.loads(line)["body"]: (labels, json.loads(line)) for labels, _, line in loki.entries}
    for wanted in sent["logs"]:
        labels, record = lines[wanted["body"]]
        assert labels["job"] == "interop" and labels["exporter"] == "OTLP", labels
        assert labels["level"].lower() == wanted["level"], labels
        assert (record["traceid"], record["spanid"]) == (wanted["trace_id"], wanted["span_id"])
        assert record["attributes"] == wanted["attributes"]


def check_metrics(sent):
    for selector, value in sent["metrics"]:
        result = wait_for(selector + " in Prometheus", lambda: promql(selector), 30)
        assert abs(float(result[0]["value"][1]) - value) < 1e-9, result
        assert result[0]["metric"]["job"] == "interop", result


def run(folder):
    loopback_up()
    name_hosts(folder)
    log = open(os.path.join(folder, "sonde.log"), "w+")
    with SpanCollector("--jaeger", "127.0.0.2:14250") as jaeger, LokiReceiver(("127.0.0.3", 3100)) as loki:
        sonde = subprocess.Popen([SONDE, "serve", "--config", CONFIG, "--data", folder + "/data"], stdout=log,
                                 stderr=log)
        scraper = prometheus(folder)
        try:
            for port in (4317, 4318, 8889):
                wait_for("port %d" % port, lambda: listens(port))
            started = time.monotonic()
            done = subprocess.run([sys.executable, os.path.join(HERE, "send_python.py"), "grpc",
                                   "http://127.0.0.1:4317", "interop"], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            sent = json.loads(done.stdout.splitlines()[-1])
            check_metrics(sent)
            check_traces(jaeger, sent)
            check_logs(loki, sent)
            print("all arrived within %.1f s" % (time.monotonic() - started))
        except BaseException:
            log.seek(0)
            print(log.read()[-4000:], file=sys.stderr)
            raise
        finally:
            scraper.kill()
            sonde.terminate()
            code = sonde.wait(30)
    assert code == 0, code


if __name__ == "__main__":
    where = tempfile.mkdtemp(prefix="sonde-staging-")
    try:
        run(where)
    finally:
        subprocess.run(["umount", "/etc/hosts"], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(where, ignore_errors=True)
