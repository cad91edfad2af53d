# SPDX-License-Identifier: Apache-2.0
"""The sixseven backend where its demo does not look: the metrics page against a known one, development and
production settings, and faults: the database, the services and the collector gone, slow or silent, the
backend killed. It answers through all of it, and afterwards nothing is missing."""
import glob
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import threading

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from harness import BUILD, ROOT, free_ports, get, wait_for, within
from sixseven import Sixseven

CONFIG = os.path.join(ROOT, "config/sixseven")
# What a page of sixseven looks like; `counted` drives the observer to these values.
PAGE = """\
# HELP sixseven_commands_total Total number of commands received
# TYPE sixseven_commands_total counter
sixseven_commands_total{intent="research",status="created"} 42.0
sixseven_commands_total{intent="research",status="succeeded"} 38.0
sixseven_commands_total{intent="research",status="failed"} 4.0

# HELP sixseven_job_duration_seconds Job execution duration
# TYPE sixseven_job_duration_seconds histogram
sixseven_job_duration_seconds_bucket{job_type="research",status="succeeded",le="5.0"} 10.0
sixseven_job_duration_seconds_bucket{job_type="research",status="succeeded",le="10.0"} 25.0
sixseven_job_duration_seconds_bucket{job_type="research",status="succeeded",le="+Inf"} 38.0
sixseven_job_duration_seconds_sum{job_type="research",status="succeeded"} 285.5
sixseven_job_duration_seconds_count{job_type="research",status="succeeded"} 38.0

# HELP sixseven_active_jobs Number of currently active jobs
# TYPE sixseven_active_jobs gauge
sixseven_active_jobs{job_type="research"} 3.0
sixseven_active_jobs{job_type="creative"} 1.0
"""
METRICS = {
    "sixseven_commands": ("counter", {"intent", "status"}),
    "sixseven_job_duration_seconds": ("histogram", {"job_type", "status"}),
    "sixseven_active_jobs": ("gauge", {"job_type"}),
    "sixseven_api_latency_seconds": ("histogram", {"endpoint", "method", "status_code"}),
    "sixseven_external_api_calls": ("counter", {"provider", "status"}),
    "sixseven_external_api_latency_seconds": ("histogram", {"provider"})}
QUICK = {"YUTORI_POLL_MS": 30, "PROVIDER_TIMEOUT_MS": 5000, "APP_ENV": "production"}
SOON_MS = 500    # for an answer, where a service shall hang
LONG_MS = 60000  # a task that is still running when the test is over


@pytest.fixture
def quick(fast_export):
    return dict(fast_export, **QUICK)


@pytest.fixture(scope="module")
def idle():
    """A backend that several tests share, and that is sent nowhere."""
    with backend(QUICK) as system:
        yield system


def backend(environment, **more):
    return Sixseven(environment=dict(environment, **more), keep=True)


def families(text):
    """name: (type, help, {(sample, labels, value)}), a label le as the number that it is."""
    found = {}
    for f in text_string_to_metric_families(text):
        found[f.name] = (f.type, f.documentation, {
            (s.name, frozenset((k, float(v) if k == "le" else v) for k, v in s.labels.items()), s.value)
            for s in f.samples if not s.name.endswith("_created")})
    return found


def events(system, name, **fields):
    return [li for li in system.lines("backend") if li.get("event") == name
            and all(li.get(k) == v for k, v in fields.items())]


def spans(system):
    return [li for li in system.lines("backend") if li.get("type") == "span"]


# ---- the metrics page ----

def test_the_page_is_the_known_one_when_parsed():
    done = subprocess.run([os.path.join(BUILD, "examples/sixseven/counted")], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    page, wanted = families(done.stdout), families(PAGE)
    assert len(wanted) == 3
    for name, family in wanted.items():
        assert page[name] == family


def test_the_running_page_has_the_six_metrics_and_no_others_for_requests(quick):
    with backend(quick) as system:
        system.ended(system.accepted("research six metrics"))
        found = families(system.request("GET", "/metrics")[2].decode())
    own = {n for n in found if n.startswith("sixseven_")}
    assert own == set(METRICS)
    assert "http_requests" not in found and "http_request_duration_seconds" not in found
    for name, (kind, labels) in METRICS.items():
        assert found[name][0] == kind and found[name][1]
        seen = {frozenset(k for k, _ in pairs if k != "le") for _, pairs, _ in found[name][2]}
        assert seen == {frozenset(labels)}, name


def test_prometheus_scrapes_by_the_file(quick, tmp_path):
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")
    with open(os.path.join(CONFIG, "prometheus.yml")) as f:
        config = yaml.safe_load(f)
    with backend(quick) as system:
        scrape = config["scrape_configs"][0]
        assert scrape["static_configs"][0]["targets"] == ["localhost:8000"]
        scrape["static_configs"][0]["targets"] = ["localhost:%d" % system.port]
        scrape["scrape_interval"] = "1s"
        config["rule_files"] = [os.path.join(CONFIG, f) for f in config["rule_files"]]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        url = "http://127.0.0.1:%d" % free_ports(1)[0]
        with open(tmp_path / "log", "w") as log:
            process = subprocess.Popen(
                ["prometheus", "--config.file=%s" % (tmp_path / "prometheus.yml"),
                 "--storage.tsdb.path=%s" % (tmp_path / "data"), "--web.listen-address=" + url[7:]],
                stdout=log, stderr=log)
        try:
            wait_for("a scrape", lambda: json.loads(get(
                url + "/api/v1/query?query=sixseven_active_jobs"))["data"]["result"], 20, 0.1)
            rules = json.loads(get(url + "/api/v1/rules"))["data"]["groups"][0]["rules"]
            assert [r["name"] for r in rules] == ["HighErrorRate", "SlowAPIResponse",
                                                  "ExternalAPIFailures", "StuckJobs"]
        finally:
            process.terminate()
            process.wait(20)


# ---- settings ----

def test_observing_is_observed(server, quick):
    """What was dropped, left out, and what the process costs can be asked for."""
    with backend(quick) as system:
        system.request("GET", "/jobs")
        for name in ("sonde_dropped_total", "process_cpu_seconds_total", "process_resident_memory_bytes"):
            assert "\n%s" % name in system.request("GET", "/metrics")[2].decode(), name
            wait_for(name, lambda n=name: server.promql(n), 20, 0.1)


class Taker(http.server.BaseHTTPRequestHandler):
    """Takes what comes and keeps path and headers."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    """Something that takes telemetry by HTTP: its url, and what it has seen."""
    taker = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    taker.seen, taker.url = [], "http://127.0.0.1:%d" % taker.server_address[1]
    thread = threading.Thread(target=taker.serve_forever, args=(0.02,))
    thread.start()
    yield taker
    taker.shutdown()
    thread.join()
    taker.server_close()


@pytest.mark.parametrize("settings, shown", [
    ({}, True), ({"APP_ENV": "production"}, False), ({"OTEL_TRACES_EXPORTER": "none"}, False),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL"}, False)])
def test_spans_are_on_stdout_in_development(settings, shown, receiver, monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with backend({k: v.replace("URL", receiver.url) for k, v in settings.items()}) as system:
        system.ended(system.accepted("research the console"))
        wait_for("the job's end in the log", lambda: events(system, "job_completed"))
        system.stop("backend")
        names = {s["name"] for s in spans(system)}
    assert ({"handle_command", "execute_research", "http_get"} <= names) is shown
    assert bool(names) is shown


def production():
    """The settings of production.env."""
    with open(os.path.join(CONFIG, "production.env")) as f:
        lines = [li.strip() for li in f if li.strip() and not li.startswith("#")]
    return dict(li.split("=", 1) for li in lines)


def test_production_settings(server, tmp_path):
    """Traces by gRPC, one in ten and those that a caller keeps; logs in rotated files that Filebeat and the
    Datadog agent are told of; nothing on stdout."""
    settings = production()
    assert settings["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == "http://jaeger:4317"
    settings.update({
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://" + server.grpc, "OTEL_BSP_SCHEDULE_DELAY": "100",
        "SONDE_LOG_OUTPUT": settings["SONDE_LOG_OUTPUT"].replace("/var/log/sixseven", str(tmp_path)),
        "SONDE_LOG_ROTATE_BYTES": "20KiB", "SONDE_LOG_ROTATE_KEEP": "50",
        "SONDE_SPOOL_DIR": str(tmp_path / "spool"), "SONDE_RECORDER_DIR": str(tmp_path / "recorder")})
    total = 300
    with backend(settings) as system:
        for _ in range(total):
            assert system.request("GET", "/jobs")[0] == 200
        kept = "0af7651916cd43dd8448eb211c80319c"
        system.request("GET", "/jobs", headers={"traceparent": "00-%s-b7ad6b7169203331-01" % kept})
        assert system.stop("backend") == 0
        assert system.output("backend") == ""
    files = glob.glob(str(tmp_path / "*.log*"))
    assert len(files) > 2 and all(os.path.getsize(f) <= 20 * 1024 for f in files)
    lines = [json.loads(li) for f in files for li in open(f)]
    assert len([li for li in lines if li["event"] == "jobs_listed"]) == total + 1
    listed = wait_for("traces by gRPC", lambda: server.traces("sixseven", operation="GET /jobs"))
    assert total * 0.03 <= len(listed) <= total * 0.2
    wait_for("the caller's trace", lambda: server.trace(kept)["spans"])


def test_agents_read_the_files_that_production_writes():
    output = production()["SONDE_LOG_OUTPUT"]
    pattern = re.escape("/var/log/sixseven/") + r"[^/]*\.log$"
    assert re.match("file:" + pattern, output)
    with open(os.path.join(CONFIG, "filebeat.yml")) as f:
        filebeat = yaml.safe_load(f)
    with open(os.path.join(CONFIG, "datadog/conf.yaml")) as f:
        datadog = yaml.safe_load(f)["logs"][0]
    assert filebeat["filebeat.inputs"] == [{
        "type": "log", "enabled": True, "paths": ["/var/log/sixseven/*.log"],
        "json.keys_under_root": True, "json.add_error_key": True}]
    assert filebeat["output.elasticsearch"] == {"hosts": ["localhost:9200"],
                                                "index": "sixseven-%{+yyyy.MM.dd}"}
    assert datadog["path"] == "/var/log/sixseven/*.log" and datadog["service"] == "sixseven"
    with open(os.path.join(CONFIG, "logrotate")) as f:
        assert "/var/log/sixseven/*.log {" in f.read()
    with open(os.path.join(CONFIG, "collector.yaml")) as f:
        assert yaml.safe_load(f)["receivers"]["elasticsearch"]["endpoint"].endswith(":9200")


@pytest.mark.parametrize("settings, path, header", [
    ({"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_ZIPKIN_ENDPOINT": "URL/api/v2/spans"},
     "/api/v2/spans", ("content-type", "application/json")),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_EXPORTER_OTLP_HEADERS": "x-honeycomb-team=k1"},
     "/v1/traces", ("x-honeycomb-team", "k1")),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k2"},
     "/v1/traces", ("api-key", "k2")),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL/v1/traces",
      "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "DD-API-KEY=k3"}, "/v1/traces", ("dd-api-key", "k3")),
], ids=["zipkin", "honeycomb", "new relic", "datadog"])
def test_other_backends_are_settings(settings, path, header, receiver, monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with backend({k: v.replace("URL", receiver.url) for k, v in settings.items()},
                 OTEL_BSP_SCHEDULE_DELAY=100) as system:
        system.request("GET", "/jobs")
        seen = wait_for("spans", lambda: [h for p, h in receiver.seen if p == path])
    assert seen[0].get(header[0]) == header[1]


def test_the_backend_describes_its_telemetry(quick):
    """What to look at when no logs appear, metrics stand still, traces do not show or context is lost."""
    with backend(quick) as system:
        system.process("backend").send_signal(signal.SIGUSR1)
        text = wait_for("the description", lambda: "settings" in system.output("backend", "err")
                        and system.output("backend", "err"))
    for part in (": running", "log lines", "otlp traces", "otlp metrics", "recorded", "nothing dropped",
                 "OTEL_SERVICE_NAME=sixseven", "OTEL_PROPAGATORS", "SONDE_LOG_FORMAT=sixseven"):
        assert part in text, text


def test_the_snippets_of_the_readme_compile(tmp_path):
    with open(os.path.join(ROOT, "examples/sixseven/README.md")) as f:
        snippets = re.findall(r"```c\n(.*?)```", f.read(), re.S)
    assert len(snippets) >= 6
    for number, snippet in enumerate(snippets):
        source = tmp_path / ("snippet%d.c" % number)
        source.write_text("#define _GNU_SOURCE\n#include <sonde/sonde.h>\n#include <unistd.h>\n" + snippet)
        done = subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
                               "-fsyntax-only", "-I" + os.path.join(ROOT, "include"), str(source)],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, snippet + done.stderr


# ---- faults ----

def numbered(system, first, count, wanted=(202,)):
    """Commands whose request ids are numbers; how many got an answer that was not 202."""
    refused = 0
    for n in range(first, first + count):
        with within(5):
            status, headers, answer = system.command("research number %d" % n, headers={
                "X-Request-ID": "number-%d" % n})
        assert status in wanted and headers["X-Request-ID"] == "number-%d" % n
        if status != 202:
            assert answer["error"]["code"] == "STORE_UNAVAILABLE"
            assert answer["error"]["request_id"] == "number-%d" % n and answer["error"]["trace_id"]
            refused += 1
    return refused


def numbers(fields):
    return [int(f[7:]) for f in fields if f.startswith("number-")]


def nothing_is_missing(server, total):
    """As many log lines, server spans and counts as there were numbered commands."""
    def logs():
        rows = server.logs('{service="sixseven"} |= "command_received"')
        return sorted(numbers(f["request_id"] for _, _, f in rows)) == list(range(total))

    def traces():
        found = [t["value"] for trace in server.traces("sixseven", operation="POST /command")
                 for s in trace["spans"] if s["operationName"] == "POST /command"
                 for t in s["tags"] if t["key"] == "request_id"]
        return sorted(numbers(found)) == list(range(total))
    wait_for("all log lines", logs, 40, 0.1)
    wait_for("all server spans", traces, 40, 0.1)
    wait_for("all counts", lambda: [float(r["value"][1]) for r in server.promql(
        'sum(sixseven_api_latency_seconds_count{endpoint="/command",method="POST"})')] == [total], 40, 0.1)


def nothing_is_active(system, server=None):
    wait_for("no active job", lambda: system.active() == 0, 20)
    if server:
        wait_for("no active job in the server", lambda: [float(r["value"][1]) for r in server.promql(
            "sum(sixseven_active_jobs)")] == [0], 20, 0.1)


@pytest.mark.parametrize("go, back, refused", [("down", "up", 4), ("freeze", "thaw", 1)],
                         ids=["goes", "freezes"])
def test_the_database(go, back, refused, server, quick, postgres):
    with backend(quick, DATABASE_URL=postgres.url) as system:
        assert numbered(system, 0, 5) == 0
        system.control(service="yutori", delay_ms=3000)
        running = system.accepted("research that ends while the database is away", headers={
            "X-Request-ID": "number-%d" % (10 + refused)})
        wait_for("the task", lambda: events(system, "research_task_created", job_id=running))
        getattr(postgres, go)()
        assert numbered(system, 5, refused, (503,)) == refused
        ready = wait_for("/ready to tell", lambda: [r for r in [
            system.request_json("GET", "/ready")] if r[0] == 503])[0][1]
        assert ready["checks"]["database"]["status"] != "ok" and ready["checks"]["database"]["detail"]
        assert system.request("GET", "/health")[0] == 200
        assert system.request("GET", "/jobs")[0] == 503
        assert len(events(system, "command_error", code="STORE_UNAVAILABLE")) == refused
        wait_for("the outcome that cannot be stored", lambda: events(
            system, "research_execution_error", job_id=running))
        assert system.active() >= 1
        getattr(postgres, back)()
        wait_for("the database to be back", lambda: system.request("GET", "/ready")[0] == 200)
        system.control(service="yutori", delay_ms=50)
        assert numbered(system, 5 + refused, 5) == 0
        assert system.ended(running)["status"] == "succeeded"
        nothing_is_active(system, server)
        wait_for("503 as a metric", lambda: server.promql(
            'sum(sixseven_api_latency_seconds_count{endpoint="/command",status_code="503"})'
        )[0]["value"][1] == str(refused), 20, 0.1)
        nothing_is_missing(server, 11 + refused)


@pytest.mark.parametrize("fault, status, event", [
    ({"hang": 100}, "failed", "research_failed"),
    ({"fail": 100}, "failed", "research_failed"),
    ({"delay_ms": 300}, "succeeded", "research_succeeded")], ids=["hangs", "fails", "is slow"])
def test_research_when_yutori(fault, status, event, server, quick):
    with backend(quick, **({"PROVIDER_TIMEOUT_MS": SOON_MS} if "hang" in fault else {})) as system:
        system.control(service="yutori", **fault)
        job = system.ended(system.accepted("research faults"))
        assert job["status"] == status and bool(job["error"]) == (status == "failed"), job
        assert system.request("GET", "/health")[0] == 200
        wait_for(event, lambda: events(system, event, job_id=job["job_id"]))
        if "hang" in fault:
            assert "did not answer" in job["error"]
            wait_for("failed calls as a metric", lambda: float(server.promql(
                'sum(sixseven_external_api_calls_total{provider="yutori",status="error"})'
            )[0]["value"][1]) >= 1, 20, 0.1)
        system.control(service="yutori", delay_ms=50, fail=0, hang=0)
        assert system.ended(system.accepted("research after faults"))["status"] == "succeeded"
        nothing_is_active(system, server)


@pytest.mark.parametrize("fault, status, event", [
    ({"hang": 100}, "failed", "creative_failed"), ({"fail": 100}, "failed", "creative_failed"),
    ({"delay_ms": 250}, "succeeded", "creative_succeeded")], ids=["hangs", "fails", "is slow"])
def test_pictures_when_freepik(fault, status, event, quick):
    with backend(quick, **({"PROVIDER_TIMEOUT_MS": SOON_MS} if "hang" in fault else {})) as system:
        system.control(service="freepik", **fault)
        job = system.ended(system.accepted("draw a fault"))
        assert job["status"] == status, job
        wait_for(event, lambda: events(system, event, job_id=job["job_id"]))
        system.control(service="freepik", delay_ms=50, fail=0, hang=0)
        assert system.ended(system.accepted("draw what comes after"))["status"] == "succeeded"
        nothing_is_active(system)


def test_a_service_that_is_away_for_a_moment_costs_no_job(quick):
    """Polls that fail are tried again, three times in a row."""
    with backend(quick, YUTORI_POLL_MS=150, PROVIDER_TIMEOUT_MS=SOON_MS) as system:
        system.control(service="yutori", delay_ms=400)
        job_id = system.accepted("research outages")
        wait_for("the task", lambda: events(system, "research_task_created"))
        system.control(service="yutori", hang=100)
        wait_for("a failed poll", lambda: events(system, "external_api_call", success=False))
        system.control(service="yutori", hang=0)
        assert system.ended(job_id)["status"] == "succeeded"


class Liar(Taker):
    """A service that answers what self.server.answer says: status and bytes."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self):
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_what_a_service_answers_cannot_keep_a_job_open(engine, receiver, quick, request):
    """Bytes that are no text, a text that is cut in a character, ids that would be another path."""
    more = {"DATABASE_URL": request.getfixturevalue("postgres").url} if engine == "postgresql" else {}
    receiver.RequestHandlerClass = Liar
    with backend(quick, YUTORI_URL=receiver.url + "/v1", FREEPIK_URL=receiver.url + "/v1", **more) as system:
        for status, body, said in (
                (500, b"\xff caf\xe9 " * 30, "yutori answered 500: ? caf? "),
                (500, b"x" + "\u00e9".encode() * 200, "yutori answered 500: x\u00e9"),
                (200, b'{"task_id":"../../control?hang=100"}', "names its task by what is no id"),
                (200, b'{"task_id":"%s"}' % (b"a" * 64), "names its task by what is no id"),
                (200, b'{"task_id":7}', "names no task"), (200, b"[" * 5000, "yutori answered 200: [["),
                (200, b'{"task_id":"a\\u0000"}', "yutori answered 200: "),
                (204, b"", "yutori answered 204: ")):
            receiver.answer = status, body
            job = system.ended(system.accepted("research lies"))
            assert job["status"] == "failed" and said in job["error"], body[:40]
            assert system.request_json("GET", "/jobs?limit=1")[1]["jobs"] == [job]
        receiver.answer = 200, b'{"data":{"task_id":"a/b"}}'
        assert "freepik" in system.ended(system.accepted("draw a lie"))["error"]
        for path in ("/jobs/%ff%fe", "/jobs/..%2f..%2fetc%2fpasswd", "/jobs/" + "a" * 500):
            for method in ("GET", "DELETE"):
                assert system.request(method, path)[0] == 404, path
        assert system.request_json("GET", "/jobs?status=%ff") == (200, {"count": 0, "jobs": []})
        nothing_is_active(system)


@pytest.mark.parametrize("body, said", [
    (b"", "there is no body"), (b'{"command":', "the body is no JSON: "),
    (b"[]", "the body holds no command"), (b'{"command":"research \xff"}', "the body is no JSON: "),
    (b'{"command":5}', "the body holds no command"),
    (b'{"command":"research \\u0000"}', "the body is no JSON: "), (b"[" * 100000, "the body is no JSON: "),
    (b'{"command":"research %s"}' % (b"a" * 4000), "the body holds no command"),
    (b'{"command":"draw","image":5}', "image is no text"),
    (b'{"command":"draw","options":[]}', "options are no object")],
    ids=["empty", "cut", "list", "no text", "number", "zero", "deep", "long", "image", "options"])
def test_a_wrong_command_is_told_what_is_wrong(body, said, idle):
    status, answer = idle.request_json("POST", "/command", body)
    assert status == 400 and answer["error"]["code"] == "INVALID_COMMAND"
    assert answer["error"]["message"].startswith(said)
    wait_for("the line", lambda: events(idle, "command_error", request_id=answer["error"]["request_id"]))


def test_a_job_is_cancelled_while_it_is_polled(server, quick):
    with backend(quick) as system:
        system.control(service="yutori", delay_ms=LONG_MS)
        job_id = system.accepted("research for ever")
        wait_for("polls", lambda: len(events(system, "external_api_call", operation="get_task")) > 2)
        with within(5):
            assert system.request("POST", "/jobs/%s/cancel" % job_id)[0] == 202
            assert system.ended(job_id)["status"] == "cancelled"
        names = [li["event"] for li in wait_for("the job's end", lambda: [
            li for li in system.lines("backend") if li.get("job_id") == job_id and li["event"] in
            ("job_cancelled", "research_cancelled", "job_completed")][2:] and [
                li for li in system.lines("backend") if li.get("job_id") == job_id])]
        assert {"job_cancelled", "research_cancelled", "job_completed"} <= set(names)
        nothing_is_active(system, server)
        wait_for("the outcome as a metric", lambda: server.promql(
            'sixseven_commands_total{intent="research",status="cancelled"} == 1'), 20, 0.1)


def test_the_collector_goes_and_comes_back(server, quick):
    with backend(quick) as system:
        numbered(system, 0, 10)
        server.kill()
        numbered(system, 10, 20)
        assert system.request("GET", "/ready")[0] == 200
        server.start()
        numbered(system, 30, 10)
        nothing_is_missing(server, 40)
        nothing_is_active(system, server)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_a_job_survives_the_backend(how, server, quick):
    """The next start goes on with it, in its trace and with its ids; the gauge is right all the time."""
    with backend(quick) as system:
        system.control(service="yutori", delay_ms=LONG_MS)
        doomed = system.accepted("research that is never done", session="session-1")
        wait_for("its task", lambda: events(system, "research_task_created"))
        system.control(service="yutori", delay_ms=3000)
        _, headers, answer = system.command("research that survives", session="session-2")
        wait_for("both tasks", lambda: len(events(system, "research_task_created")) == 2)
        process = system.process("backend")
        process.send_signal(how)
        process.wait(20)
        assert how == signal.SIGKILL or process.returncode == 0
        assert len(events(system, "job_released")) == (2 if how == signal.SIGTERM else 0)
        system.start_backend()
        assert system.active() == 2
        assert system.ended(answer["job_id"])["status"] == "succeeded"
        done = wait_for("the survivor's end", lambda: events(
            system, "job_completed", job_id=answer["job_id"]))
        assert [(li["request_id"], li["session_id"], li["status"]) for li in done] == [
            (headers["X-Request-ID"], "session-2", "succeeded")]
        assert system.request("DELETE", "/jobs/" + doomed)[0] == 202
        assert system.ended(doomed)["status"] == "cancelled"
        nothing_is_active(system, server)
        found = wait_for("one trace with both executions", lambda: [
            t for t in server.traces("sixseven", operation="handle_command")
            if len([s for s in t["spans"] if s["operationName"] == "execute_research"]) == 2])
        assert len(found) == 2


def test_what_a_killed_backend_had_active_is_not_active_for_ever(quick, server):
    """Its last gauge is in the server; the next start, which finds no job to take up, says 0."""
    def in_server():
        return {r["metric"]["job_type"]: float(r["value"][1]) for r in server.promql("sixseven_active_jobs")}
    with backend(quick) as system:
        numbered(system, 0, 20)
        nothing_is_active(system)
        system.control(service="yutori", delay_ms=LONG_MS)
        system.accepted("research that is forgotten")
        wait_for("an active job in the server", lambda: in_server() == {"research": 1, "creative": 0}, 20, 0.1)
        process = system.process("backend")
        process.kill()
        process.wait()
        for file in glob.glob(system.environment["SQLITE_PATH"] + "*"):
            os.remove(file)
        system.start_backend()
        page = families(system.request("GET", "/metrics")[2].decode())["sixseven_active_jobs"]
        assert {value for _, _, value in page[2]} == {0} and len(page[2]) == 2
        wait_for("none in the server", lambda: in_server() == {"research": 0, "creative": 0}, 20, 0.1)
        wait_for("all log lines", lambda: sorted(numbers(f["request_id"] for _, _, f in server.logs(
            '{service="sixseven"} |= "command_received"'))) == list(range(20)), 20, 0.1)
