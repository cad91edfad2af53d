# SPDX-License-Identifier: Apache-2.0
"""The staging example seen through the server: on SQLite alone, and on PostgreSQL and Redis from
Debian's packages. One trace runs through API, queue and worker; the questions that its users ask of
metrics, logs and traces have answers; the command line shows the same."""
import json
import os
import subprocess
import sys

import pytest

from databases import Postgres, Redis
from harness import ROOT, SONDE, get_json, wait_for

sys.path.insert(0, os.path.join(ROOT, "examples/staging"))

from staging import Staging  # noqa: E402

FAST_EXPORT = {"OTEL_METRIC_EXPORT_INTERVAL": "500", "OTEL_BSP_SCHEDULE_DELAY": "100",
               "OTEL_BLRP_SCHEDULE_DELAY": "100", "SONDE_LOG_OUTPUT": "none"}
QUESTIONS = [
    "rate(http_requests_total[5m])",
    "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))",
    'rate(http_requests_total{status=~"4.."}[5m])',
    'rate(jobs_processed_total{status="completed"}[5m])',
    "rate(job_processing_duration_seconds_sum[5m]) / rate(job_processing_duration_seconds_count[5m])",
]


@pytest.fixture(params=["sqlite", "postgresql", "postgresql without redis"])
def system(request, server):
    environment = dict(FAST_EXPORT, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)
    started = []
    try:
        if request.param != "sqlite":
            started.append(Postgres())
            environment["DATABASE_URL"] = started[0].url
        if request.param == "postgresql":
            started.append(Redis())
            environment["REDIS_URL"] = started[1].url
        with Staging(quiet=True, environment=environment) as s:
            s.database = request.param.split()[0]
            s.queue = "redis" if request.param == "postgresql" else s.database
            yield s
    finally:
        for one in started:
            one.stop()


def tags(span):
    return {t["key"]: t["value"] for t in span["tags"]}


def whole_trace(server, image):
    """The trace of one order once the worker has finished it."""
    for trace in server.traces("worker"):
        if any(tags(s).get("image_id") == image["image_id"] for s in trace["spans"]):
            names = {s["operationName"] for s in trace["spans"]}
            if {"POST /v1/images", "Job Dequeue"} <= names:
                return trace
    return None


def check_trace(system, server, image):
    trace = wait_for("the order's trace", lambda: whole_trace(server, image), 30, 0.1)
    spans = {s["spanID"]: s for s in trace["spans"]}

    def parent(span):
        return next((spans[r["spanID"]]["operationName"] for r in span["references"]
                     if r["refType"] == "CHILD_OF"), None)

    tree = {(s["operationName"], parent(s)) for s in trace["spans"]}
    assert {("POST /v1/images", None), ("JWT Validation", "POST /v1/images"),
            ("Database Query", "POST /v1/images"), ("S3 Presign Operation", "POST /v1/images"),
            ("Redis Enqueue", "POST /v1/images"), ("Job Dequeue", "Redis Enqueue"),
            ("Database Update", "Job Dequeue"), ("S3 Download", "Job Dequeue"),
            ("Replicate API Call", "Job Dequeue"), ("AI Model Inference", "Replicate API Call"),
            ("S3 Upload", "Job Dequeue")} <= tree
    query = next(s for s in trace["spans"] if s["operationName"] == "Database Query")
    assert tags(query)["db.system.name"] == system.database
    enqueue = next(s for s in trace["spans"] if s["operationName"] == "Redis Enqueue")
    assert tags(enqueue)["messaging.system"] == system.queue
    return trace


def cli(server, *arguments):
    done = subprocess.run([SONDE, *arguments, "--addr", server.http], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def has_numbers(result):
    """A rate is 0, and its quantile NaN, until a second export shows an increase."""
    return result and all(float(r["value"][1]) >= 0 for r in result)


def test_the_system_is_seen_end_to_end(system, server):
    tail = subprocess.Popen([SONDE, "tail", '{service="worker"} |= "Job completed"', "-o", "json",
                             "--addr", server.http], stdout=subprocess.PIPE, text=True)
    try:
        images = [system.order("user_%03d" % (n % 7)) for n in range(10)]
        for image in images:
            wait_for("a staged image", lambda i=image: system.image(
                i["image_id"], "user_%03d" % (images.index(i) % 7))["status"] == "ready", 30, 0.05)
        system.request("POST", "/v1/images", {"style": "modern"}, {"Authorization": "Bearer x.y.z"})
        trace = check_trace(system, server, images[3])
        line = json.loads(tail.stdout.readline())
        assert "Job completed" in json.dumps(line)
    finally:
        tail.terminate()
        tail.wait(10)
        tail.stdout.close()
    for question in QUESTIONS:
        wait_for(question, lambda q=question: has_numbers(server.promql(q)), 30, 0.1)
    assert len(server.logs('{service="api"}')) >= 20
    created = server.logs('{service="api"} |= "Image created"')
    assert {f["image_id"] for _, _, f in created} == {i["image_id"] for i in images}
    assert all(f["level"] == "warn" for _, _, f in server.logs('{service="api", level="warn"}'))
    assert server.logs('{service="api", level="warn"} |= "Token refused"')
    slow = server.traces("worker", minDuration="30ms")
    assert slow and len(slow) <= len(server.traces("worker"))
    request_id = images[3]["request_id"]
    found = get_json("%s/api/sonde/v1/find?id=%s" % (server.http, request_id))["data"]["trace_ids"]
    assert found == [trace["traceID"]]
    text = cli(server, "trace", request_id)
    assert trace["traceID"] in text and text.index("Redis Enqueue") < text.index("Job Dequeue")
    services = get_json(server.http + "/api/sonde/v1/services")["data"]
    assert {"api", "worker"} <= {s["service"] for s in services}
    table = cli(server, "query", "promql", "sum by (status) (jobs_processed_total)")
    assert 'status="completed"' in table and "10" in table
