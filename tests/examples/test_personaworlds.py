# SPDX-License-Identifier: Apache-2.0
"""PersonaWorlds beside its demo: what stands in the queue, what /readyz says of migrations, filters of its
logs, its dashboards; and faults: after each of them everything is as before, and nothing that was measured
is lost."""
import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading

import pytest
import yaml

import dashboards
from conftest import EXAMPLES
from harness import ROOT, timed, wait_for
from personaworlds import PersonaWorlds

LONGEST = 5.0  # seconds that an answer may take while something is away
SETTINGS = {"JOB_BACKOFF_MS": "50", "MODEL_TIMEOUT_MS": "1000", "QUEUE_LEASE_S": "1",
            "DIGEST_SECONDS": "86400"}


class Counted(PersonaWorlds):
    """Numbers its requests and notes how each was answered."""

    def prepare(self):
        super().prepare()
        self.answers = {}  # request id: status
        self.counting = threading.Lock()
        self.took = []  # seconds for each

    def ask(self, method, path, body=None, user="ada", headers=None, timeout=30):
        with self.counting:
            number = "n-%d" % len(self.answers)
            number = (headers or {}).get("X-Request-ID", number)
            self.answers[number] = None
        with timed(self.took):
            answer = super().ask(method, path, body, user, {**(headers or {}), "X-Request-ID": number},
                                 timeout)
        self.answers[number] = answer[0]
        return answer


def running(server, fast_export, **environment):
    return Counted(keep=True, environment={**fast_export, **SETTINGS, **environment})


def ends_well(system):
    """The programs end when they are told to, with nothing that a sanitizer found."""
    for name in [name for name, _ in system.programs if name != "standin"]:
        code, said = system.stop(name), system.output(name, "err")
        assert code == 0 and "Sanitizer" not in said and "runtime error" not in said, (name, code, said)


@pytest.fixture
def on_sqlite(server, fast_export):
    with running(server, fast_export, DATABASE_URL="", REDIS_URL="") as s:
        s.control(service="anthropic", delay_ms=10)
        yield s
        ends_well(s)


@pytest.fixture
def system(server, fast_export, postgres, redis):
    with running(server, fast_export, DATABASE_URL=postgres.url, REDIS_URL=redis.url) as s:
        s.control(service="anthropic", delay_ms=10)
        s.people()
        yield s
        ends_well(s)


def readiness(system):
    """(status, {check: (status, detail)})"""
    status, body = system.request_json("GET", "/readyz")
    return status, {name: (c["status"], c.get("detail")) for name, c in body["checks"].items()}


def until_ready(system):
    wait_for("the API to be ready", lambda: readiness(system)[0] == 200, 20)


def number(server, expr):
    result = server.promql(expr)
    return float(result[0]["value"][1]) if result else 0


def until_published(system, answers):
    for answer in answers:
        wait_for("a post to be published", lambda a=answer: system.post_status(a["post_id"]) == "published",
                 30, 0.1)


def nothing_is_lost(system, server):
    """As many counts, access logs and server spans in the server as there were requests, each with its id
    and its status."""
    wanted = len(system.answers)
    wait_for("each request to be counted", lambda: number(
        server, "sum(http_requests_total)") == wanted, 30, 0.2)
    by_status = {r["metric"]["status"]: float(r["value"][1])
                 for r in server.promql("sum by (status) (http_requests_total)")}
    for status in set(system.answers.values()):
        assert by_status[str(status)] == list(system.answers.values()).count(status), by_status

    def logged():
        lines = server.logs('{service="api"} |= "http_request"')
        return {f["request_id"]: int(f["status"]) for _, _, f in lines} == system.answers
    wait_for("each request's log line", logged, 30, 0.2)
    ids = set()

    def traced():
        for trace in server.traces("api", limit=1500):
            for span in trace["spans"]:
                tags = {t["key"]: t["value"] for t in span["tags"]}
                if tags.get("span.kind") == "server":
                    ids.add(tags["request_id"])
        return ids == set(system.answers)
    wait_for("each request's span", traced, 30, 0.2)


# ---- tracing by one id ----


def waiting_jobs(system, queue):
    with sqlite3.connect(system.environment["SQLITE_PATH"]) as db:
        return [json.loads(row[0]) for row in db.execute(
            "SELECT job FROM queue_jobs WHERE name = ? ORDER BY id", ("personaworlds:" + queue,))]


def test_the_payload_carries_the_request_id_as_trace_id(on_sqlite):
    on_sqlite.people()
    on_sqlite.stop("worker")
    _, request_id, answer = on_sqlite.post(headers={"X-Request-ID": "asked-for-1"})
    job, = waiting_jobs(on_sqlite, "generate_post")
    assert request_id == "asked-for-1"
    assert job == {"trace_id": request_id, "job_id": answer["job_id"], "type": "generate_post",
                   "subject": answer["post_id"], "user_id": "ada"}


def test_the_payload_in_redis_is_the_same(system, redis):
    system.stop("worker")
    _, request_id, answer = system.post()
    job, = map(json.loads, redis.cli("LRANGE", "personaworlds:generate_post", "0", "-1").splitlines())
    assert (job["trace_id"], job["job_id"]) == (request_id, answer["job_id"])
    assert "traceparent" not in job


def test_jobs_without_a_request_and_without_sense_are_counted(system, redis):
    """A job that somebody else put there has no trace; one that cannot be read fails at once."""
    for payload in ('{"job_id":"job_x","type":"moderate","subject":"post_none"}', "no JSON",
                    '{"trace_id":"from-afar","job_id":"job_y","type":"moderate","subject":"post_none"}'):
        redis.cli("LPUSH", "personaworlds:moderate", payload)

    def page(name, **labels):
        from exposition import parse
        text = system.request("GET", "/metrics", url=system.urls["worker"])[2].decode()
        return parse(text).value(name, **labels)
    wait_for("three failures", lambda: page("jobs_processed_total", type="moderate",
                                            status="failed") == 3)
    assert page("jobs_trace_total", type="moderate", status="failed", trace="missing") == 2
    assert page("jobs_trace_total", type="moderate", status="failed", trace="present") == 1
    assert page("job_retries_total", type="moderate") == 0
    line = wait_for("its line", lambda: [x for x in system.lines("worker") if x["msg"] == "job_completed"
                                         and x.get("request_id") == "from-afar"])[0]
    assert (line["trace_id"], line["job_id"], line["level"]) == ("from-afar", "job_y", "error")


# ---- health and logs ----


def test_a_missing_migration_makes_the_api_unready(system, postgres):
    database = postgres.url.rpartition("/")[2]
    assert readiness(system)[1]["migrations"] == ("ok", "4 applied")
    postgres.sql("DELETE FROM schema_migrations WHERE version = 3", database)
    wait_for("it to be noticed", lambda: readiness(system)[0] == 503)
    assert readiness(system)[1]["migrations"] == ("failed", "3 of 4 applied, 3 create_posts is missing")
    assert readiness(system)[1]["database"][0] == "ok"
    assert system.request("GET", "/healthz")[0] == 200
    system.stop("api")
    system.start_api()
    assert readiness(system) == (200, {"database": ("ok", "connected"), "queue": ("ok", "connected"),
                                       "migrations": ("ok", "4 applied")})


def test_jq_filters_work_on_what_the_programs_print(on_sqlite):
    on_sqlite.people()
    _, _, answer = on_sqlite.post()
    until_published(on_sqlite, [answer])
    on_sqlite.control(service="anthropic", fail=100)
    on_sqlite.ask("POST", "/personas/%s/preview" % on_sqlite.personas[0], {"topic": "x"})

    def jq(program, expression):
        done = subprocess.run(["jq", "-c", expression], capture_output=True, text=True, timeout=60,
                              input=on_sqlite.output(program).rpartition("\n")[0])
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]
    errors = wait_for("an error", lambda: jq("api", 'select(.level=="error")'))
    assert {line["level"] for line in errors} == {"error"}
    assert all(line["request_id"] and line["service"] == "api" for line in errors)
    jobs = jq("worker", "select(.job_id != null)")
    every = jq("worker", ".")
    assert {line["job_id"] for line in jobs} >= {answer["job_id"]} and 0 < len(jobs) < len(every)


def test_the_worker_listens_where_it_is_told_and_shows_no_more_than_asked(on_sqlite):
    worker = on_sqlite.urls["worker"]
    assert worker.endswith(":%s" % on_sqlite.environment["WORKER_OBSERVABILITY_PORT"])
    for path, status in (("/healthz", 200), ("/metrics", 200), ("/readyz", 404), ("/health", 404),
                         ("/debug/pprof/heap", 404), ("/", 404)):
        got, _, body = on_sqlite.request("GET", path, url=worker)
        assert got == status, path
        assert status == 200 or json.loads(body)["error"]["code"] == "NOT_FOUND", body
    environment = {**os.environ, **{k: str(v) for k, v in on_sqlite.environment.items()}}

    def cannot_listen():
        done = subprocess.run([on_sqlite.process("worker").args[0]], capture_output=True, text=True,
                              timeout=60, env=environment)
        assert done.returncode == 1 and "WORKER_OBSERVABILITY_PORT" in done.stderr, done.stderr
        return done.stderr
    assert ":%s " % environment["WORKER_OBSERVABILITY_PORT"] in cannot_listen()
    del environment["WORKER_OBSERVABILITY_PORT"]
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", 9091))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        assert ":9091 " in cannot_listen()


def test_dashboards_are_those_of_the_list_of_panels():
    for name in dashboards.BOARDS:
        with open(os.path.join(EXAMPLES, "personaworlds", name)) as f:
            assert f.read() == dashboards.text(name), "run examples/personaworlds/dashboards.py"
    both = {p["title"]: p["targets"] for p in dashboards.BOARDS["dashboard.json"]["panels"]
            if p["type"] != "row"}
    parts = {p["title"]: p["targets"] for name in ("dashboard_api.json", "dashboard_worker.json")
             for p in dashboards.BOARDS[name]["panels"]}
    assert parts == both


def test_grafana_is_provisioned_with_the_dashboards():
    """The provider reads the folder that the dashboards are mounted into; Grafana is where it was said."""
    def document(path):
        with open(os.path.join(ROOT, "config/personaworlds", path)) as f:
            return yaml.safe_load(f)
    grafana = document("compose.yaml")["services"]["grafana"]
    assert grafana["profiles"] == ["observability"]
    assert [p.rpartition(":")[0].endswith(":3001") for p in grafana["ports"]] == [True]
    assert [grafana["environment"]["GF_SECURITY_ADMIN_" + k].endswith(":-admin}")
            for k in ("USER", "PASSWORD")] == [True, True]
    provider, = document("grafana/provisioning/dashboards/personaworlds.yaml")["providers"]
    titles = set()
    for volume in grafana["volumes"]:
        source, target, *_ = volume.split(":")
        if target.startswith(provider["options"]["path"] + "/"):
            with open(os.path.join(ROOT, "config/personaworlds", source)) as f:
                titles.add(json.load(f)["title"])
    assert titles == {"PersonaWorlds Observability", "PersonaWorlds API", "PersonaWorlds Worker"}
    source, = document("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    prometheus = document("compose.yaml")["services"]["prometheus"]
    assert source["url"] == "http://prometheus:9090" and source["isDefault"]
    assert prometheus["profiles"] == ["observability"] and "127.0.0.1:9090:9090" in prometheus["ports"]
    jobs = {c["job_name"]: c["static_configs"][0]["targets"]
            for c in document("prometheus.yml")["scrape_configs"]}
    assert jobs == {"personaworlds/api": ["backend:8080"], "personaworlds/worker": ["worker:9091"]}


# ---- faults ----


def ask_all(system):
    """One request of each kind; {what: (status, code of the error)}"""
    world, persona = system.worlds[0], system.personas[0]
    found = {}
    for what, method, path, body in (
            ("read", "GET", "/personas/" + persona, None), ("make", "POST", "/worlds", {"name": "New"}),
            ("post", "POST", "/worlds/%s/posts" % world, {"persona_id": persona, "topic": "x"})):
        status, headers, answer = system.ask(method, path, body)
        error = answer.get("error", {})
        assert "error" not in answer or error["request_id"] == headers["X-Request-ID"], answer
        found[what] = (status, error.get("code"))
    return found


@pytest.mark.parametrize("how", ["down", "freeze"])
def test_without_the_database(system, server, postgres, how):
    _, _, before = system.post()
    until_published(system, [before])
    getattr(postgres, how)()
    if how == "down":
        assert set(ask_all(system).values()) == {(503, "DATABASE_UNAVAILABLE")}
    else:
        status, _, answer = system.ask("GET", "/personas/" + system.personas[0])
        assert (status, answer["error"]["code"]) == (503, "DATABASE_UNAVAILABLE")
    status, checks = readiness(system)
    assert status == 503 and checks["database"][0] == "failed" and checks["database"][1]
    assert checks["migrations"] == ("failed", "schema_migrations cannot be read") or how == "freeze"
    assert system.request("GET", "/healthz")[0] == 200
    assert max(system.took) < LONGEST
    (postgres.up if how == "down" else postgres.thaw)()
    until_ready(system)
    assert ask_all(system) == {"read": (200, None), "make": (201, None), "post": (202, None)}
    nothing_is_lost(system, server)


def test_a_job_outlives_the_database(system, server, postgres):
    """It is no fault of the job: it is tried until the database is back, beyond its three attempts."""
    system.control(service="anthropic", delay_ms=600)
    _, _, answer = system.post()
    wait_for("the model to be asked", lambda: system.request_json(
        "GET", "/seen?service=anthropic", url=system.outside)[1]["total"])
    postgres.down()

    def attempts():
        return [x["attempt"] for x in system.lines("worker") if x["msg"] == "job_retried" and
                x["job_id"] == answer["job_id"]]
    wait_for("more attempts than three", lambda: len(attempts()) > 3, 30)
    postgres.up()
    until_ready(system)
    until_published(system, [answer])
    retries = len(attempts())
    wait_for("each retry to be counted", lambda: number(
        server, 'sum(job_retries_total{type="generate_post"})') == retries)
    assert number(server, 'sum(jobs_processed_total{status="failed"})') == 0
    nothing_is_lost(system, server)


def test_without_the_queue(system, server, redis):
    _, _, before = system.post()
    until_published(system, [before])
    redis.down()
    assert ask_all(system) == {"read": (200, None), "make": (201, None),
                               "post": (503, "QUEUE_UNAVAILABLE")}
    status, checks = wait_for("/readyz to tell", lambda: readiness(system)[1]["queue"][1] != "connected"
                              and readiness(system))
    assert status == 200 and checks["queue"][1].startswith("new posts are refused")
    assert max(system.took) < LONGEST
    assert system.request("GET", "/healthz", url=system.urls["worker"])[0] == 200
    redis.up()
    wait_for("the queue", lambda: readiness(system)[1]["queue"] == ("ok", "connected"))
    _, _, after = system.post()
    until_published(system, [after])
    nothing_is_lost(system, server)


@pytest.mark.parametrize("fault", [{"fail": 100}, {"hang": 100}, {"delay_ms": 3000}],
                         ids=["failing", "hanging", "slow"])
def test_with_a_model_that_does_not_work(system, server, fault):
    system.stop("worker")
    system.start_worker(JOB_ATTEMPTS="20")
    system.control(service="anthropic", **fault)
    status, _, answer = system.ask("POST", "/personas/%s/preview" % system.personas[0], {"topic": "x"})
    assert (status, answer["error"]["code"]) == (503, "MODEL_UNAVAILABLE")
    assert max(system.took) < LONGEST and readiness(system)[0] == 200
    _, _, recovered = system.post()
    wait_for("a first retry", lambda: [x for x in system.lines("worker") if x["msg"] == "job_retried"])
    system.control(service="anthropic", fail=0, hang=0, delay_ms=10)
    until_published(system, [recovered])

    def lines():
        return [x for x in system.lines("worker") if x["msg"] == "job_retried"]
    assert lines()[0]["error"].startswith("the model") and lines()[0]["level"] == "warn"
    wait_for("retries in the server", lambda: number(
        server, 'sum(job_retries_total{type="generate_post"})') == len(lines()))
    nothing_is_lost(system, server)


def test_without_the_collector(system, server):
    answers = [system.post()[2] for _ in range(3)]
    server.kill()
    answers += [system.post()[2] for _ in range(20)]
    until_published(system, answers)
    server.start()
    nothing_is_lost(system, server)
    wait_for("each job to be counted", lambda: number(
        server, 'sum(jobs_processed_total{status="completed"})') == 2 * len(answers), 30, 0.2)
    done = wait_for("each job's end in the logs", lambda: [
        f for _, _, f in server.logs('{service="worker"} |= "job_completed"')
        if f["job_type"] == "generate_post"], 30)
    wait_for("all of them", lambda: len([
        f for _, _, f in server.logs('{service="worker"} |= "job_completed"')]) == 2 * len(answers), 30)
    assert {f["job_id"] for f in done} <= {a["job_id"] for a in answers}


def test_a_worker_that_is_killed_in_a_job(system, server):
    """Another worker does the job again, and what the first one said before it died is in the server."""
    system.control(service="anthropic", delay_ms=900)
    _, request_id, answer = system.post()

    def started(lines):
        return [x for x in lines if x.get("job_id") == answer["job_id"]]
    wait_for("the model to be asked", lambda: system.request_json(
        "GET", "/seen?service=anthropic", url=system.outside)[1]["total"])
    os.kill(system.process("worker").pid, signal.SIGKILL)
    system.process("worker").wait()
    system.control(service="anthropic", delay_ms=10)
    assert not [x for x in started(system.lines("worker")) if x["msg"] == "job_completed"]
    system.start_worker()
    until_published(system, [answer])

    def events():
        return sorted(line for _, line, f in server.logs('{request_id="%s"}' % request_id)
                      if f.get("job_id") == answer["job_id"] and f["service_name"] == "worker" and
                      f.get("job_type") == "generate_post")
    wait_for("both lives of the job in the logs", lambda: [
        sum(name in line for line in events()) for name in ("job_started", "job_completed")] == [2, 1],
        30, 0.2)
    nothing_is_lost(system, server)


def test_a_worker_that_has_to_end_gives_its_job_back(system, server):
    system.control(service="anthropic", fail=100)
    system.stop("worker")
    system.start_worker(JOB_ATTEMPTS="100", JOB_BACKOFF_MS="2000")
    _, _, answer = system.post()
    wait_for("a retry", lambda: [x for x in system.lines("worker") if x["msg"] == "job_retried"])
    assert system.stop("worker") == 0
    ended = {x["msg"] for x in system.lines("worker") if x["msg"] in ("job_completed", "job_released")}
    assert ended == {"job_released"}
    system.control(service="anthropic", fail=0)
    system.start_worker()
    until_published(system, [answer])
    wait_for("its two jobs to be counted", lambda: number(server, "sum(jobs_processed_total)") == 2)
