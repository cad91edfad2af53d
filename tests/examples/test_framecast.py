# SPDX-License-Identifier: Apache-2.0
"""framecast beyond its demo: what it stands on goes away and comes back, programs die in the middle of a
generation, GPUs that can be read and those that cannot, production, every error's envelope. Whatever
happens, each generation ends, credits add up, and no request is missing from the telemetry."""
import json
import re
import signal
import sqlite3
import subprocess

import pytest

from framecast import ADA, Framecast
from harness import wait_for, within

RECORD = ["timestamp", "level", "request_id", "trace_id", "span_id", "service", "environment", "user_id",
          "team_id", "generation_id", "message", "data"]
SHORT = {"GENERATION_LEASE_SECONDS": 2, "HEARTBEAT_MS": 200, "ANTHROPIC_TIMEOUT_MS": 700}
LONGEST = 6  # seconds that an answer may take while something is away


def system(environment=None, **more):
    return Framecast(quiet=True, keep=True, environment={**SHORT, **(environment or {}), **more})


@pytest.fixture
def observed(server, fast_export, postgres, redis):
    """framecast on PostgreSQL and Redis, reporting to the server."""
    with system(fast_export, DATABASE_URL=postgres.url, REDIS_URL=redis.url) as s:
        s.control_pod(step_ms=2)
        yield s
        s.check()
        for program in ("api", "pod"):
            assert "AddressSanitizer" not in s.output(program, "err"), s.output(program, "err")
            assert "runtime error" not in s.output(program, "err"), s.output(program, "err")


def envelope(answer):
    error = answer["error"]
    assert set(error) == {"code", "message", "request_id", "trace_id", "details", "help"}, answer
    assert error["request_id"] and len(error["trace_id"]) == 32 and error["message"] and error["help"]
    return error


def answers_503(s, code):
    """One request while something is away: an envelope, soon."""
    with within(LONGEST):
        status, _, answer = s.create()
    assert status == 503 and envelope(answer)["code"] == code, answer
    return True


def degraded(s, check):
    status, answer = s.request_json("GET", "/ready")
    assert status == 503 and answer["status"] == "degraded", answer
    assert answer["checks"][check] not in ("ok", ""), answer
    assert s.request("GET", "/health")[0] == 200
    return answer["checks"]


def ready(s):
    return s.request_json("GET", "/ready")[0] == 200


def value(server, expr):
    return sum(float(r["value"][1]) for r in server.promql(expr))


def settled(server, created):
    """The server's numbers: all have ended, nothing waits, credits add up."""
    def check():
        ended = value(server, "sum(generations_completed_total)")
        waits = value(server, "generations_queued_current + generations_processing_current")
        back = value(server, 'sum(generations_completed_total{status!="completed"})') * 10
        assert (ended, waits) == (created, 0), (ended, waits)
        assert value(server, "sum(generation_credits_refunded_total)") == back
        return value(server, "generation_credits_charged_total") == created * 10
    wait_for("%d generations to end in the server's numbers" % created, check, 30, 0.1)


class Numbered:
    """Requests with ids of their own, to be found again: each as an access log line, a server span and a
    count."""

    def __init__(self, s, server):
        self.system, self.server, self.statuses = s, server, {}

    def create(self, count=1):
        for _ in range(count):
            name = "numbered-%04d" % len(self.statuses)
            self.statuses[name], _, _ = self.system.create(headers={"X-Request-ID": name})

    def accepted(self):
        return sum(status == 202 for status in self.statuses.values())

    def check(self):
        wanted = {name: str(status) for name, status in self.statuses.items()}

        def logged():
            lines = self.server.logs('{service="framecast-api"} |= "http_request" | route="/v1/generations"')
            assert len(lines) == len(wanted), "%d lines, %d requests" % (len(lines), len(wanted))
            return {f["request_id"]: f["status"] for _, _, f in lines} == wanted

        def traced():
            found = {}
            for trace in self.server.traces("framecast-api", operation="POST /v1/generations", limit=1000):
                for span in trace["spans"]:
                    tags = {t["key"]: t["value"] for t in span["tags"]}
                    if span["operationName"] == "POST /v1/generations":
                        assert tags["request_id"] not in found
                        found[tags["request_id"]] = str(tags["http.response.status_code"])
            return found == wanted

        def counted():
            return value(self.server, 'sum(api_requests_total{endpoint="/v1/generations",method="POST"})') \
                == len(wanted)
        wait_for("an access log line of each request", logged, 30, 0.1)
        wait_for("a server span of each request", traced, 30, 0.1)
        wait_for("a count of each request", counted, 30, 0.1)


# ---- what it stands on goes away ----

def test_without_its_database(observed, server, postgres):
    numbered = Numbered(observed, server)
    numbered.create(3)
    wait_for("generations", lambda: value(server, 'generations_completed_total{status="completed"}') == 3, 20)
    postgres.down()
    wait_for("/ready to tell", lambda: degraded(observed, "database"), 20)
    assert degraded(observed, "database")["s3"] == "ok"
    with within(2 * LONGEST):
        numbered.create(2)
    assert list(numbered.statuses.values())[-2:] == [503, 503]
    status, answer = observed.request_json("GET", "/v1/generations/gen_000000000000", headers=ADA)
    assert status == 503 and envelope(answer)["code"] == "DATABASE_UNAVAILABLE"
    postgres.up()
    wait_for("/ready", lambda: ready(observed), 20)
    numbered.create(2)
    assert list(numbered.statuses.values())[-2:] == [202, 202]
    settled(server, numbered.accepted())
    assert value(server, 'api_requests_total{endpoint="/v1/generations",status="503"}') == 2
    numbered.check()


def test_with_the_database_gone_in_the_middle_of_generations(observed, server, postgres):
    """For longer than a lease: the pod's report waits for the database, and nobody is given up for it."""
    observed.control_pod(step_ms=25)
    made = [observed.created() for _ in range(2)]
    wait_for("the pod to work", lambda: observed.pod_status()["status"] == "processing", 10)
    postgres.down()
    wait_for("the pod to report in vain", lambda: observed.output("pod").count(
        "Report was not taken") > SHORT["GENERATION_LEASE_SECONDS"], 20)
    postgres.up()
    assert [observed.ended(g)["status"] for g in made] == ["completed", "completed"]
    settled(server, 2)


def test_with_the_database_gone_before_an_event_is_taken(server, fast_export, postgres, redis):
    """One thread takes the events: the second is taken without a database, and goes back."""
    with system(fast_export, DATABASE_URL=postgres.url, REDIS_URL=redis.url, RUNNER_THREADS=1) as s:
        s.control_pod(step_ms=2)
        s.control(service="anthropic", delay_ms=500)
        first, second = s.created(), s.created()
        wait_for("the first to be taken", lambda: s.generation(first)["status"] == "processing", 10)
        postgres.down()
        wait_for("the second to be taken in vain", lambda: [
            x for x in s.lines("api") if x["generation_id"] == second and x["level"] == "error"], 10)
        postgres.up()
        assert [s.ended(g)["status"] for g in (first, second)] == ["completed", "completed"]
        settled(server, 2)


def test_without_its_queue(observed, server, redis):
    numbered = Numbered(observed, server)
    numbered.create(2)
    redis.down()
    wait_for("/ready to tell", lambda: degraded(observed, "inngest"), 20)
    with within(2 * LONGEST):
        numbered.create(2)
    assert list(numbered.statuses.values())[-2:] == [503, 503]
    answers_503(observed, "QUEUE_UNAVAILABLE")
    numbered.statuses["the one before"] = 503
    redis.up()
    wait_for("/ready", lambda: ready(observed), 20)
    numbered.create(2)
    assert list(numbered.statuses.values())[-2:] == [202, 202]
    settled(server, 7)
    assert value(server, 'generation_credits_refunded_total{failure_type="queue"}') == 30
    assert len(observed.output("api").splitlines()) < 400, "the log is flooded"


@pytest.mark.parametrize("which, check", [("postgres", "database"), ("redis", "inngest")])
def test_with_a_database_or_queue_that_hangs(observed, server, postgres, redis, which, check):
    frozen = {"postgres": postgres, "redis": redis}[which]
    observed.ended(observed.created())
    frozen.freeze()
    with within(LONGEST):
        status, _, answer = observed.create()
    assert status == 503 and envelope(answer)["code"] in ("DATABASE_UNAVAILABLE", "QUEUE_UNAVAILABLE")
    wait_for("/ready to tell", lambda: degraded(observed, check), 20)
    frozen.thaw()
    wait_for("/ready", lambda: ready(observed), 20)
    assert observed.ended(observed.created())["status"] == "completed"
    wait_for("nothing to wait", lambda: value(
        server, "generations_queued_current + generations_processing_current") == 0, 30)


def test_with_outside_services_that_fail_hang_or_are_slow(observed, server):
    """The language model in three ways, then the bucket; each failure is one generation's only."""
    faults = [({"fail": 100}, "error"), ({"hang": 100}, "timeout"), ({"delay_ms": 5000}, "timeout")]
    for number, (fault, outcome) in enumerate(faults):
        observed.control(service="anthropic", **fault)
        failed = observed.ended(observed.created())
        assert (failed["status"], failed["failure_type"], failed["credits_refunded"]) == (
            "failed", "language_model", 10)
        observed.control(service="anthropic", fail=0, hang=0, delay_ms=20)
        assert observed.ended(observed.created())["status"] == "completed"
        lines = wait_for("its line", lambda n=number: at_least(n + 1, [
            x for x in observed.lines("api") if x["message"] == "Language model gave no text"]))
        assert len(lines) == number + 1 and list(lines[-1]) == RECORD
        assert lines[-1]["data"]["outcome"] == outcome
        failed_span(server, lines[-1]["trace_id"], "expand_prompt", outcome)
    observed.control(service="s3", fail=100)
    wait_for("/ready to tell", lambda: "500" in degraded(observed, "s3")["s3"], 20)
    failed = observed.ended(observed.created())
    assert (failed["failure_type"], failed["credits_refunded"]) == ("storage", 10)
    observed.control(service="s3", fail=0)
    wait_for("/ready", lambda: ready(observed), 20)
    assert observed.ended(observed.created())["status"] == "completed"
    settled(server, 8)
    for outcome, count in (("error", 1), ("timeout", 2), ("success", 5)):
        assert value(server, 'anthropic_requests_total{status="%s"}' % outcome) == count


def at_least(count, found):
    """Programs write their lines a little after the answers that tests wait for."""
    return found if len(found) >= count else None


def failed_span(server, trace_id, name, error_type):
    """The trace has a span of that name that failed in that way."""
    def found():
        spans = server.trace(trace_id)["spans"]
        tags = [{t["key"]: t["value"] for t in s["tags"]} for s in spans if s["operationName"] == name]
        return tags and tags[0]["error"] is True and tags[0]["error.type"] == error_type
    wait_for("a failed span %s" % name, found, 20, 0.1)


def test_with_the_collector_gone(observed, server):
    numbered = Numbered(observed, server)
    numbered.create(3)
    server.kill()
    numbered.create(10)
    for generation in range(3):
        observed.created(headers={"X-Request-ID": "numbered-%04d" % len(numbered.statuses)})
        numbered.statuses["numbered-%04d" % len(numbered.statuses)] = 202
    assert ready(observed)
    server.start()
    numbered.create(2)
    settled(server, 18)
    numbered.check()


# ---- programs die in the middle ----

def kill(s, program):
    process = s.process(program)
    process.send_signal(signal.SIGKILL)
    process.wait()
    s.programs = [p for p in s.programs if p[1] is not process]


def test_a_pod_that_is_killed_in_the_middle(observed, server):
    observed.control_pod(step_ms=200)
    made = observed.created()
    wait_for("the pod to work", lambda: (observed.pod_status()["current_generation"] or {}).get(
        "generation_id") == made, 10)
    kill(observed, "pod")
    failed = observed.ended(made)
    assert (failed["status"], failed["failure_type"], failed["credits_refunded"]) == (
        "failed", "pod_lost", 10)
    gone = observed.ended(observed.created())
    assert (gone["failure_type"], gone["credits_refunded"]) == ("pod_unavailable", 10)
    observed.start_pod()
    observed.control_pod(step_ms=2)
    assert observed.ended(observed.created())["status"] == "completed"
    settled(server, 3)
    created = next(x for x in observed.lines("api") if x["generation_id"] == made)

    def whole():
        spans = server.trace(created["trace_id"])["spans"]
        found = {s["operationName"]: {t["key"]: t["value"] for t in s["tags"]} for s in spans}
        return found if {"expire_generation", "run_workflow"} <= set(found) else None
    found = wait_for("the dead pod's spans and the end in one trace", whole, 20, 0.1)
    assert "died" in found["run_workflow"]["otel.status_description"]
    assert found["expire_generation"]["error.type"] == "pod_lost"
    assert value(server, 'runpod_requests_total{status="error"}') >= 4


def test_a_pod_that_sleeps_for_too_long_and_one_that_is_stopped(observed, server):
    """The one wakes up, goes on, and nobody wants it any more: what was refunded stays refunded. The other
    says so before it ends."""
    observed.control_pod(step_ms=20)
    made = observed.created()
    wait_for("the pod to work", lambda: observed.pod_status()["status"] == "processing", 10)
    observed.process("pod").send_signal(signal.SIGSTOP)
    assert observed.ended(made)["failure_type"] == "pod_lost"
    observed.process("pod").send_signal(signal.SIGCONT)
    wait_for("the pod to stop", lambda: observed.pod_status()["status"] == "idle", 10)
    assert observed.generation(made)["status"] == "failed"
    assert observed.ended(observed.created())["status"] == "completed"
    observed.control_pod(step_ms=200)
    made = observed.created()
    wait_for("the pod to work", lambda: observed.pod_status()["status"] == "processing", 10)
    assert observed.stop("pod") == 0
    failed = observed.ended(made)
    assert (failed["failure_type"], failed["credits_refunded"]) == ("pod_stopped", 10)
    settled(server, 3)


def test_an_api_that_is_killed_in_the_middle(observed, server):
    """The pod reports to the next one; the numbers before the death are kept, too."""
    observed.control_pod(step_ms=40)
    made = observed.created()
    wait_for("the pod to work", lambda: observed.pod_status()["status"] == "processing", 10)
    kill(observed, "api")
    observed.start_api()
    assert observed.ended(made)["status"] == "completed"
    for name in ("generations_queued_current", "generations_processing_current"):
        # What the dead one said last stands there for five minutes, beside what its successor says.
        newest = "%s and topk(1, timestamp(%s))" % (name, name)
        wait_for("nothing waits", lambda q=newest: [r["value"][1] for r in server.promql(q)] == ["0"], 20)
    completed = 'sum(max_over_time(generations_%s_total[1h]))'
    wait_for("it was created", lambda: value(server, completed % "created") == 1, 20)
    wait_for("it ended", lambda: value(server, completed % "completed") == 1, 20)


# ---- what it shows ----

FAKE_NVML = """
#include <stdio.h>
int nvmlInit_v2(void) { return %d; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **ret) { *ret = (void *)&i; return i; }
int nvmlDeviceGetName(void *d, char *ret, unsigned n) { snprintf(ret, n, "NVIDIA A100"); return d == 0; }
int nvmlDeviceGetMemoryInfo(void *d, unsigned long long *ret)
{ ret[0] = 40960ull << 20; ret[1] = 8960ull << 20; ret[2] = 32000ull << 20; return d == 0; }
int nvmlDeviceGetUtilizationRates(void *d, unsigned *ret) { ret[0] = 85; ret[1] = 40; return d == 0; }
const char *nvmlErrorString(int result) { (void)result; return "Driver Not Loaded"; }
"""


@pytest.mark.parametrize("result, gpu, reason", [
    (0, {"name": "NVIDIA A100", "memory_used_mb": 32000, "memory_total_mb": 40960,
         "utilization_percent": 85}, None),
    (9, None, "NVML: Driver Not Loaded")])
def test_the_pod_shows_its_gpu(tmp_path, result, gpu, reason):
    source = tmp_path / "nvml.c"
    source.write_text(FAKE_NVML % result)
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(tmp_path / "libnvidia-ml.so.1"), str(source)],
                   check=True, timeout=60)
    with system(LD_LIBRARY_PATH=str(tmp_path)) as s:
        status = s.pod_status()
    assert status["gpu"] == gpu and status.get("gpu_reason") == reason
    assert status["status"] == "idle" and status["current_generation"] is None


def test_in_production():
    """Nothing that changes or tells too much; the rest is there."""
    with system(ENVIRONMENT="production") as s:
        for url in (s.url, s.pod):
            for path in ("/debug/config", "/debug/connections", "/debug/log-level"):
                assert s.request("GET", path, url=url)[0] == 404
            assert s.request("POST", "/debug/log-level", {"level": "debug"}, url=url)[0] == 404
            for path in ("/debug/logs", "/debug/queue", "/debug/memory", "/metrics", "/ready"):
                assert s.request("GET", path, url=url)[0] == 200, path
        status, answer = s.request_json("POST", "/control?step_ms=1", b"", url=s.pod)
        assert status == 404 and envelope(answer)["code"] == "NOT_FOUND"
        assert s.pod_status()["status"] == "idle"
        s.ended(s.created())
        lines = s.lines("api") + s.lines("pod")
        assert lines and all(line["environment"] == "production" for line in lines)
        assert all(list(line) == RECORD for line in lines)


def test_no_secret_is_shown(postgres, redis):
    """Planted where secrets are: in the database's URL, the keys, a pod's token."""
    url = postgres.url.replace("test@", "test:planted-password@")
    with system(DATABASE_URL=url, REDIS_URL=redis.url, ANTHROPIC_API_KEY="planted-key",
                AWS_SECRET_ACCESS_KEY="planted-aws", SONDE_LOG_LEVEL="debug") as s:
        s.ended(s.created())
        status, _, config = s.request("GET", "/debug/config")
        assert status == 200 and b"ANTHROPIC_API_KEY" in config and b"DATABASE_URL" in config
        seen = [config.decode()]
        for base in (s.url, s.pod):
            for path in ("/debug/connections", "/debug/logs?level=debug&lines=1000", "/debug/config",
                         "/debug/status", "/debug/artifacts", "/metrics"):
                seen.append(s.request("GET", path, url=base)[2].decode())
        seen += [s.output(p, kind) for p in ("api", "pod") for kind in ("out", "err")]
    assert not [text for text in seen if "planted" in text]


def test_connections_and_log_level(observed):
    pools = observed.request_json("GET", "/debug/connections")[1]["pools"]
    assert pools[0]["name"] == "database" and pools[0]["max"] >= 1
    assert {c["system"] for c in pools[0]["connections"]} <= {"postgresql"}
    assert observed.request_json("POST", "/debug/log-level", {"level": "debug"}, url=observed.pod)[1] == {
        "level": "debug", "old": "info"}
    made = observed.created()
    observed.ended(made)

    def steps():
        lines = [x for x in observed.lines("pod") if x["message"] == "Step finished"]
        assert all(list(x) == RECORD and x["generation_id"] == made for x in lines)
        return len(lines) == 63
    wait_for("a debug line of each step", steps, 10)


def test_ready_may_always_be_200():
    with system(READY_ALWAYS_200=1) as s:
        s.control(service="s3", fail=100)
        wait_for("a degraded answer", lambda: s.request_json("GET", "/ready")[1]["status"] == "degraded", 10)
        assert s.request("GET", "/ready")[0] == 200


def test_every_error_has_its_envelope():
    """Each status that the two programs answer with."""
    def expect(status, code, method, path, body=None, headers=ADA, url=None):
        got, answer_headers, text = s.request(method, path, body, headers, url=url)
        error = envelope(json.loads(text))
        assert (got, error["code"]) == (status, code), text
        assert answer_headers["X-Request-ID"] == error["request_id"]
        return error
    with system(CREDIT_LIMIT=25) as s:
        s.control_pod(step_ms=20)
        mine = s.created(who={"X-User-Id": "usr_1"})
        prompt = {"prompt": "a"}
        expect(400, "INVALID_JSON", "POST", "/v1/generations", b"{")
        error = expect(400, "INVALID_PROMPT", "POST", "/v1/generations", {"prompt": "x" * 3000})
        assert error["details"] == {"longest_bytes": 2000}
        expect(401, "UNAUTHENTICATED", "POST", "/v1/generations", prompt, {})
        expect(401, "UNAUTHENTICATED", "POST", "/v1/webhooks/runpod", {"status": "completed"}, {})
        expect(400, "INVALID_REPORT", "POST", "/v1/webhooks/runpod", {"token": "x", "status": "?"}, {})
        expect(404, "GENERATION_NOT_FOUND", "GET", "/v1/generations/" + mine)
        expect(404, "GENERATION_NOT_FOUND", "POST", "/v1/generations/%s/cancel" % mine, b"")
        with sqlite3.connect(s.environment["SQLITE_PATH"], timeout=10) as database:
            token, = database.execute("SELECT webhook_token FROM generations").fetchone()
        for seconds in (-5, 1e308, "x"):
            assert s.request("POST", "/v1/webhooks/runpod", {"status": "completed", "token": token,
                                                             "gpu_seconds": seconds})[0] == 200
        page = s.request("GET", "/metrics")[2].decode()
        counted = re.search(r"^runpod_gpu_seconds_total (.+)$", page, re.M)
        assert not counted or 0 <= float(counted.group(1)) < 60, "GPU seconds that cannot be"
        expect(404, "NOT_FOUND", "GET", "/v2")
        expect(404, "NOT_FOUND", "GET", "/v1/generations/%s/cancel/more" % mine)
        expect(405, "METHOD_NOT_ALLOWED", "DELETE", "/v1/generations/" + mine)
        expect(413, "BODY_TOO_LARGE", "POST", "/v1/generations", b" " * (3 << 20))
        two = [s.created(), s.created()]
        expect(402, "INSUFFICIENT_CREDITS", "POST", "/v1/generations", prompt)
        assert s.cancel(two[1])[0] == 200
        s.created()
        error = expect(409, "GENERATION_ALREADY_TERMINAL", "POST", "/v1/generations/%s/cancel" % two[1], b"")
        assert error["details"] == {"generation_id": two[1], "current_status": "canceled"}
        with sqlite3.connect(s.environment["SQLITE_PATH"], timeout=10) as database:
            database.execute("UPDATE generations SET status = 'odd' WHERE id = ?", (two[1],))
        expect(500, "INTERNAL", "GET", "/v1/generations/" + two[1])
        run = {"generation_id": "gen_1", "user_id": "usr_1", "prompt": "a", "output_key": "k",
               "upload_url": s.outside, "webhook": {"url": s.url + "/v1/webhooks/runpod", "token": "t"}}
        expect(400, "INVALID_RUN", "POST", "/run", dict(run, prompt=""), {}, s.pod)
        expect(400, "INVALID_CANCEL", "POST", "/cancel", b"[", {}, s.pod)
        expect(404, "GENERATION_NOT_FOUND", "POST", "/cancel", {"generation_id": "gen_none"}, {}, s.pod)
        s.control_pod(step_ms=500)
        assert [s.request("POST", "/run", run, url=s.pod)[0] for _ in range(20)] == [202] * 20
        statuses = [s.request("POST", "/run", dict(run, generation_id="gen_%d" % n), url=s.pod)[0]
                    for n in range(2, 10)]
        assert set(statuses) <= {202, 429}
        error = expect(429, "POD_BUSY", "POST", "/run", dict(run, generation_id="gen_10"), {}, s.pod)
        assert error["details"] == {"most_waiting": 8}


def test_a_team_shares_and_others_do_not():
    with system() as s:
        made = s.created()
        assert s.generation(made, {"X-User-Id": "usr_9", "X-Team-Id": "tm_456"})["generation_id"] == made
        assert "error" in s.generation(made, {"X-User-Id": "usr_9", "X-Team-Id": "tm_1"})
        assert "error" in s.generation(made, {"X-User-Id": "usr_9"})
        s.ended(made)
