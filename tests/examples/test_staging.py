# SPDX-License-Identifier: Apache-2.0
"""The staging system seen through the server: on SQLite alone, and on PostgreSQL and Redis. One trace runs
through API, queue and worker; the questions that its users ask have answers; and while something that it
needs is away, slow or wrong it keeps answering, says why, and afterwards nothing is missing."""
import concurrent.futures
import json
import os
import re
import shutil
import sqlite3
import subprocess
import time

import pytest

from conftest import EXAMPLES
from harness import SONDE, get, get_json, wait_for, within

from staging import API, WORKER, Staging, bearer, token

FOLDER = os.path.join(EXAMPLES, "staging")
ORDER = {"project_id": "proj_1", "style": "modern"}
QUESTIONS = [
    "rate(http_requests_total[5m])",
    "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))",
    'rate(http_requests_total{status=~"4.."}[5m])',
    'rate(jobs_processed_total{status="completed"}[5m])',
    "rate(job_processing_duration_seconds_sum[5m]) / rate(job_processing_duration_seconds_count[5m])",
]


@pytest.fixture(params=["sqlite", "postgresql", "postgresql without redis"])
def system(request, server, fast_export):
    if request.param != "sqlite":
        fast_export["DATABASE_URL"] = request.getfixturevalue("postgres").url
    if request.param == "postgresql":
        fast_export["REDIS_URL"] = request.getfixturevalue("redis").url
    with Staging(quiet=True, environment=dict(fast_export, SONDE_LOG_OUTPUT="none")) as s:
        s.database = request.param.split()[0]
        s.queue = "redis" if request.param == "postgresql" else s.database
        yield s


@pytest.fixture
def small(fast_export):
    """Starts the system on SQLite with more settings; its output is kept."""
    started = []

    def start(**more):
        s = Staging(environment=dict(fast_export, **more), keep=True)
        started.append(s)
        s.__enter__()
        # Its health is known before its tables are made, which tests take away.
        wait_for("the worker", lambda: [x for x in s.lines("worker") if x["message"] == "Service started"])
        return s
    yield start
    for s in started:
        s.__exit__(None, None, None)


def tags(span):
    return {t["key"]: t["value"] for t in span["tags"]}


def whole_trace(server, image):
    """The trace of one order once the worker has finished it."""
    for trace in server.traces(WORKER):
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
    query = tags(next(s for s in trace["spans"] if s["operationName"] == "Database Query"))
    assert query["db.system.name"] == query["db.system"] == system.database
    enqueue = next(s for s in trace["spans"] if s["operationName"] == "Redis Enqueue")
    assert tags(enqueue)["messaging.system"] == system.queue
    root = tags(next(s for s in trace["spans"] if s["operationName"] == "POST /v1/images"))
    assert root["http.method"] == "POST" and int(root["http.status_code"]) == 202
    assert root["trace.id"] == trace["traceID"]
    return trace


def cli(server, *arguments):
    done = subprocess.run([SONDE, *arguments, "--addr", server.http], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def has_numbers(result):
    """A rate is 0, and its quantile NaN, until a second export shows an increase."""
    return result and all(float(r["value"][1]) >= 0 for r in result)


def staged(system, image, user="user_abc123", status="ready", seconds=30):
    wait_for("an image that is %s" % status,
             lambda: system.image(image["image_id"], user)["status"] == status, seconds, 0.05)


def test_the_system_is_seen_end_to_end(system, server):
    tail = subprocess.Popen([SONDE, "tail", '{service="worker"} |= "Job completed"', "-o", "json",
                             "--addr", server.http], stdout=subprocess.PIPE, text=True)
    try:
        images = [system.order("user_%03d" % (n % 7)) for n in range(10)]
        for n, image in enumerate(images):
            staged(system, image, "user_%03d" % (n % 7))
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
    slow = server.traces(WORKER, minDuration="30ms")
    assert slow and len(slow) <= len(server.traces(WORKER))
    request_id = images[3]["request_id"]
    found = get_json("%s/api/sonde/v1/find?id=%s" % (server.http, request_id))["data"]["trace_ids"]
    assert found == [trace["traceID"]]
    text = cli(server, "trace", request_id)
    assert trace["traceID"] in text and text.index("Redis Enqueue") < text.index("Job Dequeue")
    services = get_json(server.http + "/api/sonde/v1/services")["data"]
    assert {API, WORKER} <= {s["service"] for s in services}
    table = cli(server, "query", "promql", "sum by (status) (jobs_processed_total)")
    assert 'status="completed"' in table and "10" in table


# ---- faults ----

class Numbered:
    """Requests with ids of their own; the server must have each once: its line, its span, its count."""

    def __init__(self, system):
        self.system, self.count = system, 0

    def send(self, method="POST", path="/v1/images", body=ORDER, limit=5):
        self.count += 1
        headers = {**bearer("user_xyz"), "X-Request-ID": "numbered-%d" % self.count}
        with within(limit):
            status, _, text = self.system.request(method, path, body if method == "POST" else None, headers)
        answer = json.loads(text)
        if status >= 500:
            assert answer["error"]["request_id"] == "numbered-%d" % self.count
            assert re.fullmatch("[0-9a-f]{32}", answer["error"]["trace_id"])
        if status == 202:
            self.system.request("PUT", "", b"picture", url=answer["upload_url"])
        return status, answer

    def staged(self, image):
        wait_for("a staged image", lambda: self.send(
            "GET", "/v1/images/" + image["image_id"])[1].get("status") == "ready", 30, 0.1)

    def check(self, server):
        wanted = {"numbered-%d" % (n + 1) for n in range(self.count)}

        def lines():
            return [f.get("request_id") for _, _, f in server.logs('{service="api"} |= "http_request"')
                    if str(f.get("request_id")).startswith("numbered-")]

        def spans():
            return [tags(s).get("request_id") for t in server.traces(API, limit=1500) for s in t["spans"]
                    if tags(s).get("span.kind") == "server" and "request_id" in tags(s)]
        wait_for("a line of each request", lambda: wanted <= set(lines()), 20, 0.2)
        assert len(lines()) == self.count
        wait_for("a span of each request", lambda: wanted <= set(spans()), 20, 0.2)
        assert sorted(s for s in spans() if s in wanted) == sorted(wanted)
        wait_for("a count of each request", lambda: float(server.promql(
            'sum(http_requests_total{endpoint=~"/v1/.+"})')[0]["value"][1]) == self.count, 20, 0.2)


def unwell(system, check):
    """The text of a failed check on /ready, once it is there; /health stays up and tells the same."""
    def failed():
        status, answer = system.request_json("GET", "/ready")
        return status == 503 and answer["status"] == "unhealthy" and answer[check] != "connected" and answer
    answer = wait_for("/ready without the %s" % check, failed, 10, 0.1)
    assert len(answer[check]) > 5 and set(answer) == {"status", "database", "redis", "uptime_seconds"}
    status, health = system.request_json("GET", "/health")
    assert status == 200 and health["status"] == "unhealthy" and health[check] == answer[check]


def well(system):
    wait_for("/ready", lambda: system.request("GET", "/ready")[0] == 200, 15, 0.1)


def test_the_database_and_the_queue_go_and_come_back(server, fast_export, postgres, redis):
    environment = dict(fast_export, DATABASE_URL=postgres.url, REDIS_URL=redis.url)
    with Staging(environment=environment, keep=True) as system:
        numbered = Numbered(system)
        system.control(service="replicate", delay_ms=800)
        status, caught = numbered.send()
        assert status == 202
        wait_for("a job in the model's hands",
                 lambda: any(line["message"] == "Job started" for line in system.lines("worker")), 20)

        postgres.down()
        status, answer = numbered.send()
        assert status == 503 and answer["error"]["code"] == "DATABASE_ERROR"
        assert numbered.send("GET", "/v1/images/img_1")[0] == 503
        unwell(system, "database")
        wait_for("a job that goes back", lambda: any(
            line["message"] == "Job goes back into the queue" for line in system.lines("worker")), 20)
        postgres.up()
        well(system)
        system.control(service="replicate", delay_ms=50)
        numbered.staged(caught)
        assert numbered.send()[0] == 202

        redis.down()
        status, answer = numbered.send()
        assert status == 503 and answer["error"]["code"] == "QUEUE_ERROR"
        assert numbered.send("GET", "/v1/images/img_1")[0] == 404
        unwell(system, "redis")
        redis.up()
        well(system)
        status, image = numbered.send()
        assert status == 202
        numbered.staged(image)
        numbered.check(server)
        for question in ('redis_enqueue_operations_total{status="error"} >= 1',
                         'sum(http_requests_total{status="503"}) >= 3',
                         'image_processing_errors_total{type="database"} >= 1',
                         'jobs_processed_total{status="requeued"} >= 1'):
            wait_for(question, lambda q=question: server.promql(q), 20, 0.2)
        errors = server.logs('{service="api", level="error"} |= "Image could not be ordered"')
        assert {f["code"] for _, _, f in errors} == {"DATABASE_ERROR", "QUEUE_ERROR"}
        assert all(f["project_id"] == "proj_1" and f["error"] for _, _, f in errors)


def test_an_exhausted_pool_is_seen_and_passes(server, fast_export, postgres):
    with Staging(quiet=True, environment=dict(fast_export, DATABASE_URL=postgres.url,
                                              DATABASE_POOL="2")) as system:
        ratio = 'pgx_pool_idle_conns{job="%s"} / pgx_pool_max_conns{job="%s"}' % (API, API)
        system.order()
        wait_for("idle connections", lambda: float(server.promql(ratio)[0]["value"][1]) > 0.1, 20, 0.1)
        holder = postgres.hold("users")
        try:
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                def until_seen():
                    futures = [pool.submit(system.request, "POST", "/v1/images", ORDER,
                                           bearer("user_xyz")) for _ in range(4)]
                    seen = False
                    while not all(f.done() for f in futures):
                        seen = seen or server.promql(ratio + " < 0.1")
                        time.sleep(0.1)
                    return seen and {f.result()[0] for f in futures} == {503}
                wait_for("no idle connection, and 503", until_seen, 30, 0.05)
        finally:
            postgres.let_go(holder)
        wait_for("an order", lambda: system.request(
            "POST", "/v1/images", ORDER, bearer("user_xyz"))[0] == 202, 15, 0.1)
        wait_for("idle connections", lambda: float(server.promql(ratio)[0]["value"][1]) > 0.1, 20, 0.1)


def test_a_model_that_is_slow_fails_or_hangs(server, small):
    system = small(HTTP_TIMEOUT_MS="400", MODEL_TRIES="2")
    system.control(service="replicate", delay_ms=900)
    staged(system, system.order())
    slow = wait_for("the slow operation", lambda: slowest(server, "Replicate API Call"), 20, 0.2)
    assert slow[0][:3] == ["external API", WORKER, "AI Model Inference"] and float(slow[0][4]) > 300
    kinds = {row[2]: row[0] for row in slow if len(row) > 3}
    assert {"Database Update": "database", "S3 Download": "S3", "GET": "S3", "Redis Enqueue": "queue",
            "Replicate API Call": "external API", "JWT Validation": "CPU"}.items() <= kinds.items()
    assert any(t for t in server.traces(WORKER, minDuration="300ms", operation="AI Model Inference"))

    page = system.request("GET", "/metrics", url=system.admin[1])[2].decode()
    for series in ('jobs_processed_total{status="failed",type="staging"}', 'job_retries_total{type="staging"}',
                   'replicate_api_calls_total{provider="replicate",status="error"}'):
        assert "\n%s 0\n" % series in page, "a rate sees no first failure without a 0 before it: " + series
    system.control(service="replicate", delay_ms=0, fail=100)
    staged(system, system.order(), status="error")
    system.control(service="replicate", fail=0, hang=100)
    hanging = system.order()
    assert system.request("GET", "/v1/images/" + hanging["image_id"], headers=bearer("user_abc123"))[0] == 200
    staged(system, hanging, status="error")
    system.control(service="replicate", hang=0)
    system.control(service="s3", fail=100)
    body = system.request("POST", "/v1/images", ORDER, bearer("user_abc123"))
    assert body[0] == 202, "orders need no answer of S3"
    staged(system, json.loads(body[2]), status="error")
    system.control(service="s3", fail=0)
    staged(system, system.order())
    for question in ('jobs_processed_total{status="failed"} == 3', 'job_retries_total >= 2',
                     'jobs_processed_total{status="completed"} == 2',
                     'replicate_api_calls_total{status="error"} == 4',
                     'image_processing_errors_total{type="model"} == 2',
                     'image_processing_errors_total{type="download"} == 1',
                     's3_operations_total{operation="download", status="error"} == 1'):
        wait_for(question, lambda q=question: server.promql(q), 20, 0.2)
    wait_for("its lines", lambda: {"CUDA out of memory"} < {
        line["error"] for line in system.lines("worker") if line["level"] == "warn"
        and line["message"] == "Model call failed, trying again"})


def test_a_worker_that_stops_gives_its_job_back(small):
    system = small()
    system.control(service="replicate", delay_ms=60000)
    image = system.order()
    staged(system, image, status="processing")
    with within(8):
        assert system.stop("worker") == 0
    system.control(service="replicate", delay_ms=0)
    system.start_worker()
    staged(system, image)


def slowest(server, operation):
    """The rows of the command `slow`, once that operation is among them."""
    done = subprocess.run([os.path.join(FOLDER, "slow"), "--addr", server.http, "--min-duration", "300ms"],
                          capture_output=True, text=True, timeout=60)
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()[1:]]
    return rows if any(operation in row for row in rows) else None


def test_nothing_is_lost_while_the_server_is_away(server, small):
    system = small(OTEL_EXPORTER_OTLP_TIMEOUT="1000")
    numbered = Numbered(system)
    for _ in range(10):
        assert numbered.send()[0] == 202
    server.kill()
    for _ in range(20):
        assert numbered.send(limit=2)[0] == 202
    server.start()
    for _ in range(10):
        assert numbered.send()[0] == 202
    numbered.check(server)


# ---- what is kept, and what is not ----

def test_failures_are_kept_when_traces_are_sampled(server, small):
    system = small(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.1",
                   SONDE_TRACES_ALWAYS_ON_ERROR="true")
    headers, made = bearer("user_xyz"), 300
    for _ in range(made):
        assert system.request("GET", "/v1/images/img_1", headers=headers)[0] == 404
    with sqlite3.connect(system.environment["SQLITE_PATH"]) as database:
        database.execute("ALTER TABLE images RENAME TO gone")
    failed = 0
    while failed < 12:
        failed += system.request("GET", "/v1/images/img_1", headers=headers)[0] == 503
    with sqlite3.connect(system.environment["SQLITE_PATH"]) as database:
        database.execute("ALTER TABLE gone RENAME TO images")

    def roots():
        return [int(tags(s)["http.status_code"]) for t in server.traces(API, limit=1500)
                for s in t["spans"] if tags(s).get("span.kind") == "server"]
    wait_for("all failures", lambda: roots().count(503) == failed, 20, 0.2)
    wait_for("all counts", lambda: server.promql(
        'sum(http_requests_total{status="404"}) == %d' % made), 20, 0.2)
    assert 5 <= roots().count(404) <= 75, "one in ten of %d" % made
    wait_for("all lines", lambda: len(server.logs('{service="api"} |= "http_request"')) == made + failed,
             20, 0.2)


def test_old_rows_are_refused_by_the_retention(server):
    day = 86400 * 10**9
    for days, refused in ((31, True), (29, False)):
        status, _, body = server.send_logs(API, [(time.time_ns() - days * day, "old", {})])
        partial = json.loads(body).get("partialSuccess", {})
        assert status == 200 and bool(int(partial.get("rejectedLogRecords", 0))) == refused, body


def test_planted_secrets_are_nowhere(server, small):
    system = small(LOG_LEVEL="debug", JWT_SECRET="planted-signing-key")
    planted = ["planted-signing-key", "hunter2-planted", "planted-api-key", "planted-cookie"]
    tokens = [token("user_xyz", "planted-signing-key"), token("user_xyz", "wrong")]
    with sqlite3.connect(system.environment["SQLITE_PATH"]) as database:
        database.execute("ALTER TABLE users RENAME TO gone")  # a failed request is kept, redacted
    for one in tokens:
        status, _, _ = system.request(
            "POST", "/v1/images?password=hunter2-planted", {**ORDER, "password": "hunter2-planted"},
            {"Authorization": "Bearer " + one, "X-Api-Key": "planted-api-key",
             "Cookie": "session=planted-cookie"})
        assert status in (401, 503)
    with sqlite3.connect(system.environment["SQLITE_PATH"]) as database:
        database.execute("ALTER TABLE gone RENAME TO users")
    wait_for("the failed request", lambda: [t for t in server.traces(API) for s in t["spans"]
                                            if str(tags(s).get("http.status_code")) == "503"], 20, 0.1)
    wait_for("its line", lambda: server.logs('{service="api", level="error"}'), 20, 0.1)
    sinks = {"stdout": system.output("api"), "stderr": system.output("api", "err"),
             "logs": json.dumps(server.logs('{service=~".+"}')),
             "traces": json.dumps(server.traces(API)),
             "metrics": get(system.url + "/metrics").decode()}
    for path in ("/debug/logs?lines=1000", "/debug/config", "/debug/spans"):
        sinks[path] = get(system.admin[0] + path).decode()
    for name, text in sinks.items():
        assert len(text) > 2 or name == "stderr", name
        for secret in planted + [part for one in tokens for part in one.split(".")[1:]]:
            assert secret not in text, "%s is in %s" % (secret, name)


def test_levels_of_logs(small):
    system = small()
    system.order()
    wait_for("a staged image", lambda: [x for x in system.lines("worker")
                                        if x["message"] == "Job completed"])
    assert not [x for x in system.lines("api") + system.lines("worker") if x["level"] == "debug"]
    system.request("POST", "/debug/log-level", {"level": "debug"}, url=system.admin[0])
    system.order()
    line = wait_for("a debug line", lambda: [x for x in system.lines("api") if x["level"] == "debug"])[0]
    assert line["message"] == "Order parameters" and line["style"] and line["user_id"] == "user_abc123"


def test_profiles_are_read_by_go(small, tmp_path):
    if not shutil.which("go"):
        pytest.skip("Go is not installed")
    system = small()
    address = system.admin[0] + "/debug/pprof/"
    for kind, found in (("profile?seconds=1", "Type: cpu"), ("goroutine", "Showing nodes")):
        done = subprocess.run(["go", "tool", "pprof", "-top", address + kind], capture_output=True,
                              text=True, timeout=300, env=dict(os.environ, PPROF_TMPDIR=str(tmp_path)))
        assert done.returncode == 0 and found in done.stdout, done.stdout + done.stderr
    status, _, text = system.request("GET", "/debug/pprof/heap", url=system.admin[0])
    assert status == 501 and b"libsonde_heap.so" in text


def test_the_dashboard_to_import_is_the_example():
    with open(os.path.join(FOLDER, "dashboard_import.json")) as f:
        board = json.load(f)["dashboard"]
    assert board["title"] == "Real Staging AI"
    assert [(p["title"], p["targets"][0]["expr"]) for p in board["panels"]] == [
        ("Request Rate", QUESTIONS[0]), ("P95 Latency", QUESTIONS[1])]
    with open(os.path.join(FOLDER, "dashboard.json")) as f:
        board = json.load(f)
    assert board["title"] == "Real Staging AI" and [p["title"] for p in board["panels"]] == [
        "Request Rate", "Response Time", "Error Rate", "Job Queue Length", "Job Processing Time",
        "Database Connections", "Memory Usage", "Goroutines"]


def test_the_command_up_runs_until_it_is_told_to_stop(server, fast_export):
    process = subprocess.Popen([os.path.join(FOLDER, "up"), "--quiet", "--rate", "20"], text=True,
                               stderr=subprocess.PIPE, env={**os.environ, **fast_export})
    try:
        wait_for("orders", lambda: server.promql("sum(http_requests_total) > 3"), 30, 0.1)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


def test_what_it_exports_has_a_plain_job(server, small):
    small().order()
    found = wait_for("its metrics", lambda: server.promql("http_requests_total"), 20, 0.1)
    assert found[0]["metric"]["job"] == API and "service_namespace" not in found[0]["metric"]
