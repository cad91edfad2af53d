# SPDX-License-Identifier: Apache-2.0
"""Metrics over OTLP, as a receiver decodes them by OpenTelemetry's own protobuf: deltas that survive refusals,
exponential histograms and exemplars."""
import http.server
import json
import os
import subprocess
import threading

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from harness import SONDE, wait_for
from native import ENVIRONMENT, compile_program

HERE = os.path.dirname(os.path.abspath(__file__))
DELTA, CUMULATIVE = 1, 2


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_program(os.path.join(HERE, "scraped.c"), tmp_path_factory.mktemp("exported") / "scraped",
                           "-Wall", "-Werror")


class Receiver:
    """Keeps the metrics of each request that it took, by name; refuses while `refusing`."""

    def __init__(self):
        self.taken, self.refused, self.refusing = [], 0, False
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.refusing:
                    receiver.refused += 1
                else:
                    request = ExportMetricsServiceRequest.FromString(body)
                    receiver.taken.append({m.name: m for r in request.resource_metrics
                                           for s in r.scope_metrics for m in s.metrics})
                self.send_response(503 if receiver.refusing else 200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/v1/metrics" % self.server.server_address[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def total(self, name):
        return sum(p.as_int for metrics in list(self.taken) if name in metrics
                   for p in metrics[name].sum.data_points)


class Running:
    def __init__(self, program, directory, receiver, **environment):
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**ENVIRONMENT, "SONDE_RECORDER_DIR": str(directory), "OTEL_METRIC_EXPORT_INTERVAL": "100",
                 "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": receiver.url, **environment})
        self.process.stdout.readline()

    def add(self, times):
        for _ in range(times):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "done\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@pytest.mark.parametrize("preference", ["delta", "lowmemory"])
def test_deltas_survive_refusals(program, tmp_path, preference):
    with Receiver() as receiver:
        with Running(program, tmp_path, receiver,
                     OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=preference) as running:
            running.add(5)
            wait_for("the first delta", lambda: receiver.total("asked_total") == 5)
            receiver.refusing = True
            running.add(7)
            before = receiver.refused
            wait_for("refusals", lambda: receiver.refused > before + 1)
            running.add(2)
            receiver.refusing = False
            wait_for("what was refused", lambda: receiver.total("asked_total") == 14, 40)
            running.add(1)
        assert receiver.total("asked_total") == 15
        first = receiver.taken[0]
        assert first["asked_total"].sum.aggregation_temporality == DELTA
        assert first["connections"].sum.aggregation_temporality == CUMULATIVE
        counts = [m["took_seconds"].histogram.data_points[0].count for m in receiver.taken]
        assert sum(counts) == 1000 and counts[-1] == 0
        exponential = [m["native_seconds"].exponential_histogram.data_points[0] for m in receiver.taken]
        assert sum(p.count for p in exponential) == 1000
        assert sum(sum(p.positive.bucket_counts) for p in exponential) == 1000
        starts = [m["asked_total"].sum.data_points[0].start_time_unix_nano for m in receiver.taken]
        ends = [m["asked_total"].sum.data_points[0].time_unix_nano for m in receiver.taken]
        assert starts[1:] == ends[:-1]


def test_exponential_histograms_and_exemplars(program, tmp_path):
    with Receiver() as receiver:
        with Running(program, tmp_path, receiver) as running:
            running.add(3)
            wait_for("a request", lambda: receiver.total("asked_total") >= 3)
        last = receiver.taken[-1]
        assert last["asked_total"].sum.aggregation_temporality == CUMULATIVE
        assert last["asked_total"].sum.data_points[0].as_int == 3
        point = last["signs"].exponential_histogram.data_points[0]
        assert (point.count, point.zero_count, point.sum, point.min, point.max) == (3, 1, 37, -3, 40)
        assert sum(point.negative.bucket_counts) == 1 and sum(point.positive.bucket_counts) == 1
        base = 2 ** (2 ** -point.scale)
        assert base ** point.positive.offset < 40 <= base ** (point.positive.offset + 1)
        euro = [p for p in last["orders_total"].sum.data_points if p.exemplars]
        assert len(euro) == 1 and euro[0].exemplars[0].as_int == 41
        assert len(euro[0].exemplars[0].trace_id) == 16 and len(euro[0].exemplars[0].span_id) == 8
        assert last["native_seconds"].exponential_histogram.data_points[0].exemplars
        written = last["sonde_records_written_total"].sum.data_points
        assert {p.attributes[0].value.string_value: p.as_int for p in written}["traces"] == 1


def test_the_default_aggregation_can_be_exponential(program, tmp_path):
    with Receiver() as receiver:
        with Running(program, tmp_path, receiver, OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=(
                "base2_exponential_bucket_histogram"), OTEL_METRICS_EXEMPLAR_FILTER="always_off"):
            wait_for("a request", lambda: receiver.taken)
        point = receiver.taken[-1]["took_seconds"].exponential_histogram.data_points[0]
        assert point.count == 1000 and not point.exemplars


def test_a_killed_program_leaves_its_histograms(program, tmp_path):
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env={**ENVIRONMENT, "SONDE_RECORDER_DIR": str(tmp_path)})
    process.stdout.readline()
    process.kill()
    process.wait(30)
    done = subprocess.run([SONDE, "recover", tmp_path, "-o", "json"], capture_output=True, text=True, timeout=60)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    metrics = {row["name"]: row for row in rows if row.get("type") == "metric"}
    assert metrics["native_seconds"]["kind"] == "exponential_histogram"
    assert metrics["native_seconds"]["count"] == 1000
    assert abs(metrics["native_seconds"]["sum"] - 500.5) < 1e-6
    assert metrics["signs"]["count"] == 3 and metrics["signs"]["sum"] == 37
