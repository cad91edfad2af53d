# SPDX-License-Identifier: Apache-2.0
"""The paths under /debug, as their users see them: on the admin port and in a server of the program's own, with
and without a token, in production, wrongly asked, many at once; and profiles, which `go tool pprof` reads."""
import concurrent.futures
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import BUILD, wait_for
from native import ENVIRONMENT, compile_program, library_build

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "debug_app.c")
GO = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
needs_go = pytest.mark.skipif(not GO, reason="go is not installed")
DEVELOPMENT = ["/debug/config", "/debug/connections", "/debug/log-level"]


class App:
    def __init__(self, program, where, *args, **environment):
        self.errors = open(where / "errors", "w+")
        self.process = subprocess.Popen(
            [program, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={"SONDE_ADMIN_ADDR": "127.0.0.1:0", "SONDE_LOG_OUTPUT": "none",
                 "SONDE_RECORDER_DIR": str(where / "recorders"), **ENVIRONMENT, **environment})
        line = self.process.stdout.readline().split()
        assert line[:1] == ["ready"], (line, self.said())
        self.port, self.own_port = int(line[1]), int(line[2])

    def said(self):
        self.errors.seek(0)
        return self.errors.read()[-4000:]

    def ask(self, path, method="GET", port=None, body=None, timeout=30, **headers):
        """(status, headers, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode("utf-8", "surrogateescape")
        finally:
            connection.close()

    def refused(self, path, status, **kwargs):
        """What an error answer says; all of them have one shape."""
        got, headers, body = self.ask(path, **kwargs)
        assert got == status and headers["Content-Type"] == "application/json", (path, got, body)
        error = json.loads(body)["error"]
        assert list(error) == ["code", "message", "request_id", "trace_id", "details", "help"], body
        assert error["message"] and error["help"] and error["details"] == {"path": path.partition("?")[0]}, body
        return error

    def get(self, path, **kwargs):
        status, headers, body = self.ask(path, **kwargs)
        assert status == 200, (path, status, body)
        assert headers["Content-Type"].startswith("application/json"), headers
        return json.loads(body)

    def do(self, byte):
        self.process.stdin.write(byte)
        self.process.stdin.flush()
        return self.process.stdout.readline().split()[2]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            said = self.said()
            self.errors.close()
        if kind is None:
            assert code == 0 and "Sanitizer" not in said and "runtime error" not in said, (code, said)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_program(SOURCE, tmp_path_factory.mktemp("debug") / "debug_app", "-Wall", "-Werror")


@pytest.fixture
def start(program, tmp_path):
    return lambda *args, **environment: App(program, tmp_path, *args, **environment)


def test_every_path_answers_on_both_ports(start):
    with start("own") as app:
        for port in (app.port, app.own_port):
            status = app.get("/debug/status", port=port)
            assert status == {"pod_id": "pod_abc123", "status": "processing",
                              "gpu": {"name": "NVIDIA A100", "memory_used_mb": 32000, "utilization_percent": 85},
                              "current_generation": {"generation_id": "gen_xyz", "progress_percent": 45}}
            assert list(status) == ["pod_id", "status", "gpu", "current_generation"]
            flow = app.get("/debug/workflow?status=running", port=port)
            assert flow == {"nodes_total": 15, "nodes_completed": 7, "nodes": [
                {"id": "KSampler_3", "status": "running", "progress": {"steps": 12, "total": 30}}]}
            assert len(app.get("/debug/workflow", port=port)["nodes"]) == 8
            assert app.get("/debug/queue", port=port) == {
                "queues": [{"name": "jobs", "depth": 3, "oldest_age_seconds": 1.5}]}
            assert app.get("/debug/connections", port=port) == {"pools": [
                {"name": "db", "max": 10, "idle": 4, "in_use": 6, "connections": [{"id": 7, "state": "active"}]}]}
            found = app.get("/debug/artifacts?generation_id=gen_xyz&number=1000", port=port)
            assert [a["bytes"] for a in found["artifacts"]] == [2000]
            assert found["artifacts"][0]["attributes"] == {"generation_id": "gen_xyz", "number": 1000,
                                                           "token": "[REDACTED]"}
            memory = app.get("/debug/memory", port=port)
            assert memory["process"]["rss_bytes"] > 1 << 20 and memory["process"]["threads"] >= 3
            assert memory["recorder"]["used_bytes"] > 0
            span, = app.get("/debug/spans", port=port)["spans"]
            assert span["name"] == "outer" and span["attributes"] == {"tenant": "t-1"}
            assert span["thread"].startswith("debug_app") and span["thread_id"] == app.process.pid
            assert re.fullmatch("[0-9a-f]{32}", span["trace_id"]) and span["age_seconds"] > 0
            assert app.get("/debug/config", port=port)["program"]["WORKERS"] == "4"
            assert app.get("/health", port=port) == {"status": "ok"}
            assert app.get("/readyz", port=port) == {"status": "ok", "checks": {"database": "ok"},
                                                     "version": "1.2.3"}
            assert app.ask("/metrics", port=port)[0] == 200
            index = app.ask("/debug/", port=port)
            assert index[0] == 200 and "/debug/pprof/heap" in index[2]
        kept = app.get("/debug/artifacts")
        assert (kept["found"], kept["kept"], kept["added"]) == (1024, 1024, 1100)
        assert kept["artifacts"][0]["attributes"]["number"] == 76
        assert app.ask("/other", port=app.own_port)[0] == 418
        assert app.ask("/debug/other", port=app.own_port)[0] == 418


def test_not_ready_says_why(start):
    with start(DEBUG_APP_BROKEN="1") as app:
        status, _, body = app.ask("/ready")
        assert status == 503
        assert json.loads(body) == {"status": "degraded", "checks": {"database": "connection refused"},
                                    "version": "1.2.3"}
        assert app.get("/healthz") == {"status": "ok"}


def lines(app, query=""):
    status, headers, body = app.ask("/debug/logs" + query)
    assert status == 200 and headers["Content-Type"] == "application/x-ndjson", body
    return [json.loads(line) for line in body.splitlines()]


@pytest.mark.parametrize("drain", ["thread", "server"])
def test_the_last_log_lines(start, drain):
    with start(SONDE_DRAIN=drain) as app:
        got = lines(app)
        assert len(got) == 100 and got[-1]["message"] == "careful"
        assert [line["number"] for line in got[:-1]] == list(range(201, 300))
        assert [line["message"] for line in lines(app, "?level=warn&lines=5")] == ["careful"]
        assert len(lines(app, "?lines=3")) == 3
        if drain == "server":
            first = lines(app, "?lines=10000")[0]
            assert first["message"] == "first_line" and "planted" not in json.dumps(first)
        app.ask("/debug/log-level?level=debug", method="POST")
        app.do("d")
        assert lines(app, "?lines=1")[0]["message"] == "spoken"
        # Long after the recorder gave the space back the tail still has them, once.
        if drain == "thread":
            for _ in range(50):
                app.do("d")
            wait_for("the tail", lambda: len(lines(app, "?lines=60")) >= 51)
            spoken = [line for line in lines(app, "?lines=10000") if line["message"] == "spoken"]
            assert len(spoken) == 51


def test_wrong_questions_are_told_what_is_right(start):
    with start() as app:
        for query, right in [("logs?lines=-1", "from 1 to 10000"), ("logs?lines=0", "from 1 to 10000"),
                             ("logs?lines=10001", "from 1 to 10000"), ("logs?lines=ten", "from 1 to 10000"),
                             ("logs?level=loud", "debug, info, warn, error or fatal"),
                             ("pprof/profile?seconds=0", "from 1 to 300"),
                             ("pprof/profile?seconds=301", "from 1 to 300"),
                             ("pprof/threads?debug=9", "from 0 to 2")]:
            error = app.refused("/debug/" + query, 400)
            assert error["code"] == "INVALID_REQUEST" and right in error["help"], error
            assert query.split("=")[1] in error["message"], error
        for body in ('{"level":"loud"}', '{"level":5}', '["debug"]', '{"level":"debug"', '{"what":"x"}',
                     '{"level":"debug","logger":"%s"}' % ("x" * 64), "nonsense", ""):
            app.refused("/debug/log-level", 400, method="POST", body=body)
        app.refused("/debug/log-level", 413, method="POST", body="x" * 70000)
        error = app.refused("/debug/nothing", 404)
        assert "/debug/status" in error["help"] and "/debug/log-level" in error["help"]
        assert (error["request_id"], error["trace_id"]) == (None, None)
        trace = "0af7651916cd43dd8448eb211c80319c"
        error = app.refused("/nothing", 404, X_Request_ID="r-7", traceparent="00-%s-b7ad6b7169203331-01" % trace)
        assert (error["request_id"], error["trace_id"]) == ("r-7", trace)
        status, headers, _ = app.ask("/debug/log-level")
        assert status == 405 and headers["Allow"] == "POST"
        for method in ("POST", "PUT", "DELETE"):
            status, headers, _ = app.ask("/debug/status", method=method)
            assert status == 405 and headers["Allow"] == "GET, HEAD"
        for path in ("status", "logs", "spans", "memory", "pprof/profile?seconds=300", "pprof/threads"):
            status, _, body = app.ask("/debug/" + path, method="HEAD", timeout=5)
            assert status == 200 and body == "", path
        assert app.ask("/debug/pprof/heap", method="HEAD")[0] == 501


def test_the_log_level_changes_at_once(start):
    with start() as app:
        status, _, body = app.ask("/debug/log-level", method="POST", body='{"level":"debug"}')
        assert status == 200 and json.loads(body) == {"level": "debug", "old": "info"}
        status, _, body = app.ask("/debug/log-level?logger=app&level=error", method="POST")
        assert json.loads(body) == {"level": "error", "old": "debug", "logger": "app"}
        app.do("d")
        assert lines(app, "?lines=1")[0]["message"] != "spoken"
        app.ask("/debug/log-level", method="POST", body='{"logger":"app","level":"debug"}')
        app.do("d")
        assert lines(app, "?lines=1")[0]["message"] == "spoken"


def test_the_token_opens_debug_and_nothing_else_does(start):
    with start("own", SONDE_ADMIN_TOKEN="s3same", SONDE_ADMIN_ADDR="0.0.0.0:0") as app:
        for port in (app.port, app.own_port):
            for authorization in (None, "", "s3same", "Bearer", "Bearer ", "Bearer s3sam", "Bearer s3samee",
                                  "Bearer S3same", "Basic s3same", "Bearer s3same "):
                headers = {} if authorization is None else {"Authorization": authorization}
                status, answered, body = app.ask("/debug/status", port=port, **headers)
                if authorization == "Bearer s3same ":
                    continue  # servers may trim it
                assert status == 401 and answered["WWW-Authenticate"].startswith("Bearer"), authorization
                assert "s3same" not in body and "pod" not in body
                error = json.loads(body)["error"]
                assert error["code"] == "UNAUTHENTICATED" and "SONDE_ADMIN_TOKEN" in error["help"], body
            for path in ("/debug/status", "/debug/pprof/threads", "/debug/config"):
                assert app.ask(path, port=port, Authorization="Bearer s3same")[0] == 200
            assert app.ask("/debug/log-level?level=info", method="POST", port=port)[0] == 401
            assert app.ask("/metrics", port=port)[0] == 200 and app.ask("/ready", port=port)[0] == 200
        assert app.ask("/debug/nothing")[0] == 401


def test_without_a_token_only_this_machine_may_ask(start):
    with start("own", SONDE_ADMIN_ADDR="0.0.0.0:0") as app:
        status, _, body = app.ask("/debug/status")
        assert status == 403 and "SONDE_ADMIN_TOKEN" in body
        assert app.ask("/metrics")[0] == 200 and app.ask("/healthz")[0] == 200
        assert app.ask("/debug/status", port=app.own_port)[0] == 200
        assert app.ask("/debug/status", port=app.own_port, X_Forwarded_For="192.0.2.7")[0] == 403
        assert app.ask("/debug/status", port=app.own_port, Forwarded="for=192.0.2.7")[0] == 403
        assert app.ask("/debug/status", port=app.own_port, Origin="https://evil.example")[0] == 403
        assert app.ask("/debug/status", port=app.own_port, Host="evil.example")[0] == 403
        assert app.ask("/debug/status", port=app.own_port, Host="localhost:1")[0] == 200


def open_files(pid):
    """What the descriptors of a process point to; one that is closed meanwhile is left out."""
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            yield os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except FileNotFoundError:
            continue


def test_several_addresses(start):
    with start(SONDE_ADMIN_ADDR="127.0.0.1:0, [::1]:0,0.0.0.0:0,nonsense") as app:
        listening = re.findall(r"nonsense", app.said())
        assert listening and app.ask("/debug/status")[0] == 200
        sockets = list(open_files(app.process.pid))
        inodes = {re.search(r"\d+", name).group() for name in sockets if name.startswith("socket:")}
        ports = set()
        for table in ("tcp", "tcp6"):
            with open("/proc/net/" + table) as f:
                for row in f.read().splitlines()[1:]:
                    fields = row.split()
                    if fields[3] == "0A" and fields[9] in inodes:
                        ports.add(int(fields[1].split(":")[1], 16))
        assert app.port in ports and len(ports) == 3, ports


@pytest.mark.parametrize("name", ["OTEL_RESOURCE_ATTRIBUTES"])
def test_production_has_not_these_three(start, name):
    with start("own", **{name: "deployment.environment.name=production"}) as app:
        for path in DEVELOPMENT:
            for method in ("GET", "POST"):
                assert app.ask(path, method=method)[0] == 404, path
        assert not any(path in app.ask("/debug/nothing")[2] for path in DEVELOPMENT)
        assert app.ask("/debug/status")[0] == 200


def test_secrets_and_odd_callbacks(start):
    with start(DEBUG_APP_ODD="1") as app:
        status = app.get("/debug/status")
        assert status["planted"]["api_key"] == "[REDACTED]" and status["planted"]["list"][:3] == [1, "two", True]
        assert "1 MiB" in status["large"]["error"] and "2 s" in status["late"]["error"]
        assert status["pod_id"] == "pod_abc123"
        pages = [app.ask("/debug/" + path)[2] for path in
                 ("status", "config", "artifacts", "logs?lines=10000", "spans", "queue", "connections")]
        assert not re.search(r"planted-\d", "".join(pages))


def catches_sigprof(app):
    with open("/proc/%d/status" % app.process.pid) as f:
        mask = re.search(r"^SigCgt:\s*(\w+)", f.read(), re.M).group(1)
    return int(mask, 16) >> (signal.SIGPROF - 1) & 1


def test_16_at_once_while_a_profile_runs(start):
    paths = ["status", "workflow", "logs", "spans", "queue", "memory", "artifacts?number=1000", "config",
             "connections", "pprof/threads", "pprof/threads?debug=2", "../metrics", "../ready"]
    with start("own") as app, concurrent.futures.ThreadPoolExecutor(17) as pool:
        profile = pool.submit(app.ask, "/debug/pprof/profile?seconds=3", timeout=60)

        def ask(i):
            path = "/debug/" + paths[i % len(paths)]
            path = path.replace("/debug/..", "")
            port = app.own_port if i % 2 else app.port
            return path, app.ask(path, port=port, timeout=60)[0]
        wait_for("the profile to run", lambda: catches_sigprof(app))
        assert app.ask("/debug/pprof/profile?seconds=1")[0] == 409
        answers = list(pool.map(ask, range(160)))
        assert [a for a in answers if a[1] != 200] == []
        status, _, body = profile.result()
        assert status == 200 and body.startswith("\x1f")


def pprof_tool():
    """Go brings `go tool pprof` as source: it is built once."""
    tool = os.path.join(BUILD, "go-tool-pprof")
    if not os.path.exists(tool):
        env = {"GOCACHE": os.path.join(BUILD, "go-cache"), **os.environ}
        subprocess.run([GO, "build", "-o", tool, "cmd/pprof"], check=True, timeout=500, env=env)
    return tool


def pprof(where, body, *args):
    profile = where / "profile.pb.gz"
    profile.write_bytes(body.encode("utf-8", "surrogateescape"))
    done = subprocess.run([pprof_tool(), *args, str(profile)], capture_output=True, text=True, timeout=60, cwd=where,
                          env={**os.environ, "PPROF_BINARY_PATH": str(where), "PPROF_TMPDIR": str(where)})
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_go
@pytest.mark.parametrize("own", [False, True])
def test_go_tool_pprof_names_what_burns_the_cpu(start, tmp_path, own):
    with start("own") as app:
        status, _, body = app.ask("/debug/pprof/profile?seconds=2", port=app.own_port if own else None)
        assert status == 200
    top = pprof(tmp_path, body, "-top")
    first = top.split("flat%")[1].splitlines()[1].split()
    assert first[-1] == "burn_inner" and float(first[1].rstrip("%")) > 50, top
    assert re.search(r"burn_outer$", top, re.M) and re.search(r"burner$", top, re.M), top
    assert "thread:  burner" in pprof(tmp_path, body, "-traces")


@needs_go
def test_go_tool_pprof_shows_where_threads_stand(start, tmp_path):
    with start() as app:
        traces = pprof(tmp_path, app.ask("/debug/pprof/goroutine")[2], "-traces")
    stack = re.search(r"thread:\s+waiter\n.*?(?=-----|\Z)", traces, re.S).group()
    assert re.search(r"pthread_cond_wait.*wait_in_here.*waiter", stack, re.S), traces
    assert re.search(r"thread:\s+burner", traces)


def test_stacks_as_text(start):
    with start() as app:
        text = app.ask("/debug/pprof/threads?debug=2")[2]
        stack = re.search(r'thread \d+ "waiter":\n(.*?)\n\n', text, re.S).group(1)
        assert re.search(r"pthread_cond_wait\n.*wait_in_here\n.*waiter\n", stack, re.S), text
        assert re.search(r'thread \d+ "pauser" \[not interrupted\]:\n.*pause\n', text), text
        text = app.ask("/debug/pprof/threads?debug=1")[2]
        assert text.startswith("threads profile: total ") and "\twait_in_here+0x" in text


def test_a_program_keeps_its_own_sigprof(start):
    with start(DEBUG_APP_SIGPROF="1") as app:
        status, _, body = app.ask("/debug/pprof/profile?seconds=1")
        assert status == 503 and "SIGPROF" in body
        assert app.do("p") == "1"


def test_sonde_stop_does_not_wait_for_a_profile(start):
    with start() as app, concurrent.futures.ThreadPoolExecutor(1) as pool:
        profile = pool.submit(app.ask, "/debug/pprof/profile?seconds=300", timeout=60)
        wait_for("the profile to run", lambda: catches_sigprof(app))
        assert app.ask("/debug/pprof/profile?seconds=1")[0] == 409
        app.process.stdin.close()
        assert app.process.wait(15) == 0
        assert profile.exception() or profile.result()[0] == 200  # its connection may be closed


def test_without_the_sampler_there_is_no_heap_profile(start):
    with start() as app:
        status, _, body = app.ask("/debug/pprof/heap")
        assert status == 501 and "LD_PRELOAD=libsonde_heap.so" in body


@needs_go
def test_the_heap_profile_names_who_holds_memory(tmp_path):
    build = library_build("plain")
    program = compile_program(SOURCE, tmp_path / "debug_app", "-Wall", build=build)
    with App(program, tmp_path, LD_PRELOAD=os.path.join(build, "libsonde_heap.so"),
             SONDE_HEAP_SAMPLE_BYTES="65536") as app:
        top = pprof(tmp_path, app.ask("/debug/pprof/heap")[2], "-top", "-unit=MB")
        text = app.ask("/debug/pprof/heap?debug=1")[2]
    first = top.split("flat%")[1].splitlines()[1].split()
    assert first[-1] == "keep_32_mib", top
    assert 24 < float(first[0].rstrip("MB")) < 44, top
    assert text.startswith("heap profile: ") and "keep_32_mib" in text


def test_without_libraries_the_paths_still_mount(tmp_path):
    build = library_build("minimal", "-DSONDE_EXPORT=OFF", "-DSONDE_ADMIN=OFF")
    program = compile_program(SOURCE, tmp_path / "debug_app", "-Wall", build=build)
    with App(program, tmp_path, "own") as app:
        assert app.port == 0
        app.port = app.own_port
        assert app.get("/debug/status")["pod_id"] == "pod_abc123"
        body = app.ask("/debug/pprof/threads")[2].encode("utf-8", "surrogateescape")
        assert b"wait_in_here" in (gzip.decompress(body) if body[:1] == b"\x1f" else body)


def test_a_production_build_has_no_code_for_the_three(tmp_path):
    build = library_build("production", "-DSONDE_EXPORT=OFF", "-DSONDE_ADMIN=OFF",
                          "-DSONDE_DEBUG_ENDPOINTS=OFF")
    static = os.path.join(build, "libsonde.a")
    names = subprocess.run(["nm", static], capture_output=True, text=True, check=True).stdout
    pages = ["debug_%s_page" % page for page in ("config", "connections", "log_level")]
    assert "debug_status_page" in names and not any(page in names for page in pages)
    with open(static, "rb") as f:
        text = f.read()
    assert b"/debug/status" in text and not any(path.encode() in text for path in DEVELOPMENT)
    with open(os.path.join(library_build("minimal", "-DSONDE_EXPORT=OFF", "-DSONDE_ADMIN=OFF"),
                           "libsonde.a"), "rb") as f:
        text = f.read()
    assert all(path.encode() in text for path in DEVELOPMENT)
    program = compile_program(SOURCE, tmp_path / "debug_app", "-Wall", build=build)
    with App(program, tmp_path, "own") as app:
        for path in DEVELOPMENT:
            assert app.ask(path, port=app.own_port)[0] == 418
        assert app.ask("/debug/status", port=app.own_port)[0] == 200
