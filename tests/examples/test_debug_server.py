# SPDX-License-Identifier: Apache-2.0
"""The debug service beside its demo: settings from a file and their errors, exporters that are really off,
log lines, secrets that reach no sink, WebSockets with another implementation and at their limits; and
faults: after each of them everything is as before, and nothing that was measured is lost."""
import contextlib
import glob
import json
import os
import queue
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from conftest import EXAMPLES
from debug_server import BEARER, RUNNER_TOKEN, STEPS, DebugServer
from harness import ROOT, get, timed, wait_for

BUILD = os.environ.get("SONDE_BUILD") or os.path.join(ROOT, "build-dev")
BINARIES = os.path.join(BUILD, "examples/debug-server")
LONGEST = 5.0  # seconds that an answer may take while something is away
IDS = {"trace_id": r"^[0-9a-f]{32}$", "span_id": r"^[0-9a-f]{16}$", "request_id": r"^\S+$",
       "session_id": r"^ses_[0-9a-f]{12}$"}


def running(environment, **more):
    return DebugServer(keep=True, environment={**environment, **more})


@pytest.fixture
def alone():
    """Without a server that it reports to."""
    with running({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "DATABASE_URL": "", "REDIS_URL": ""}) as s:
        yield s


@pytest.fixture
def observed(fast_export):
    with running(fast_export, DATABASE_URL="", REDIS_URL="") as s:
        yield s


def stream(system, session_id, **options):
    return connect(system.url.replace("http", "ws") + "/sessions/%s/stream" % session_id,
                   additional_headers=BEARER, proxy=None, **options)


def rest(socket):
    """The messages until the server closes, and its close code."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(timeout=20)))
    except ConnectionClosed as e:
        return found, e.rcvd.code if e.rcvd else 1006


def ask(socket, name, **more):
    """The reply to a debugger command; what comes before it is left out."""
    socket.send(json.dumps({"command": name, "id": "x", **more}))
    return until(socket, lambda m: m["type"] == "reply")


def until(socket, condition):
    while True:
        message = json.loads(socket.recv(timeout=20))
        if condition(message):
            return message


def value(page, name, **labels):
    """The sum of a metric's series with these labels on a /metrics page."""
    total = 0.0
    for line in page.splitlines():
        match = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
        if match and match.group(1) == name:
            have = dict(re.findall(r'(\w+)="([^"]*)"', match.group(2) or ""))
            if all(have.get(k) == v for k, v in labels.items()):
                total += float(match.group(3))
    return total


def page(system, program):
    return get(system.urls[program] + "/metrics").decode()


# ---- settings ----

def with_file(tmp_path, text, *arguments, environment=None):
    """A server with --env-file, as it ends by itself: what it says on stderr, and its exit code."""
    path = tmp_path / "settings.env"
    path.write_bytes(text.encode())
    done = subprocess.run([BINARIES + "/server", "--env-file", str(path), *arguments], timeout=30,
                          capture_output=True, text=True, env={**os.environ, **(environment or {})},
                          cwd=tmp_path)
    return done.stderr.replace(str(path), "FILE"), done.returncode


@pytest.mark.parametrize("text, why", [
    ("# fine\nPORT=1\nPORT 2\n", "FILE:3: '=' must follow the name"),
    ("=1\n", "FILE:1: a name of letters"),
    ("1A=1\n", "FILE:1: a name of letters"),
    ("A='x\n", "FILE:1: the closing quote is missing"),
    ('A="x" y\n', "FILE:1: nothing but a comment"),
    ("A=" + "x" * 5000 + "\n", "FILE:1: the line is longer"),
    ("A=1\n" * 1001, "FILE:1001: more than 1000 lines")])
def test_errors_of_an_env_file_name_the_line(tmp_path, text, why):
    said, code = with_file(tmp_path, text)
    assert said.startswith(why) and code == 2, (said, code)


def test_an_env_file_that_is_none(tmp_path):
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        done = subprocess.run([BINARIES + "/server", "--env-file", str(path)], timeout=30,
                              capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr == "%s: %s\n" % (path, why)
    said, _ = with_file(tmp_path, "A=1\0\nPORT=2\n")
    assert said == "FILE:1: the line is longer than 4094 bytes, or has a zero byte\n"


# What a value is can be seen by the error that names it.
@pytest.mark.parametrize("line, seen", [
    ("PORT=a b", "'a b'"), ("  export PORT = a # b", "'a'"), ("PORT='a # b'", "'a # b'"),
    ('PORT="a\\tb \\"c\\" \\\\" # d', "'a\tb \"c\" \\'"), ("PORT=a#b\r", "'a#b'")])
def test_values_of_an_env_file(tmp_path, line, seen):
    said, code = with_file(tmp_path, "# a comment\n\n%s\nSQLITE_PATH=%s/x.sqlite\n" % (line, tmp_path))
    assert "PORT is %s;" % seen in said and code == 2, said


def test_the_environment_wins_over_the_file_and_a_flag_over_both(tmp_path):
    text = "PORT=a\nSQLITE_PATH=%s/x.sqlite\nSONDE_LOG_OUTPUT=none\n" % tmp_path
    said, _ = with_file(tmp_path, text, environment={"PORT": "b"})
    assert "PORT is 'b';" in said
    with DebugServer(keep=True, environment={"SONDE_LOG_OUTPUT": "none"}) as s:
        s.stop("server")
        s.start("debug-server/server", arguments=["--log-output", "file:" + str(tmp_path / "log")])
        s.wait_http(s.url + "/healthz")
        wait_for("the log file", lambda: "server_started" in (tmp_path / "log").read_text())


def test_wrong_flags_are_refused():
    for arguments, why in ((["--nothing"], "--nothing is no flag"), (["--otlp"], "--otlp needs a value")):
        for program in ("server", "runner"):
            done = subprocess.run([BINARIES + "/" + program, *arguments], capture_output=True, text=True,
                                  timeout=30)
            assert done.returncode == 2 and why in done.stderr, (program, done.stderr)


def test_tokens_are_needed_beyond_this_machine(tmp_path):
    said, code = with_file(tmp_path, "BIND_ADDRESS=0.0.0.0\nSQLITE_PATH=%s/x.sqlite\n" % tmp_path)
    assert "DEBUG_API_TOKEN" in said and code == 1


def test_the_example_settings_are_a_good_file(tmp_path):
    for name in ("examples/debug-server/example.env", "config/observability/otlp.env"):
        with open(os.path.join(ROOT, name)) as f:
            said, _ = with_file(tmp_path, f.read() + "\nPORT=none\n", environment={
                "PORT": "none", "SQLITE_PATH": ":memory:"})
        assert "PORT is 'none'" in said, said


# ---- exporters that are off ----

def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code


def seen_by(server):
    return {"metrics": server.promql('count({__name__=~"debug_server_.*"})'),
            "traces": server.traces("debug-server") + server.traces("debug-runner"),
            "logs": server.logs('{service=~"debug-.*"}')}


@pytest.mark.parametrize("variable, off", [
    ("OBSERVABILITY_METRICS", {"metrics"}), ("OBSERVABILITY_TRACES", {"traces"}),
    ("OBSERVABILITY_LOG_EXPORT", {"logs"}), ("OBSERVABILITY", {"metrics", "traces", "logs"})])
def test_what_is_switched_off_is_off(server, fast_export, variable, off):
    with running(fast_export, DATABASE_URL="", REDIS_URL="", **{variable: "0"}) as s:
        assert s.run("sum.dbg")["status"] == "succeeded"
        for url in s.urls.values():
            assert status_of(url + "/healthz") == 200 and status_of(url + "/readyz") == 200
            assert status_of(url + "/metrics") == (404 if "metrics" in off else 200)
        if variable == "OBSERVABILITY":
            assert own_threads(s) == set() and s.lines("server") == []
        else:
            assert own_threads(s)
            wait_for("its lines", lambda: s.lines("server"))
    seen = seen_by(server)  # the programs have ended, and sent what they had
    for signal_name, found in seen.items():
        assert bool(found) == (signal_name not in off), (signal_name, found[:2])


def own_threads(system):
    """The names of libsonde's threads in server and runner."""
    found = set()
    for program in ("server", "runner"):
        for path in glob.glob("/proc/%d/task/*/comm" % system.process(program).pid):
            with open(path) as f:
                found.add(f.read().strip())
    return {name for name in found if name.startswith("sonde")}


def test_flags_do_the_same_as_variables(server, fast_export):
    with running(fast_export, DATABASE_URL="", REDIS_URL="") as s:
        s.stop("server")
        s.start("debug-server/server", arguments=["--no-metrics", "--no-traces", "--no-log-export"])
        s.wait_http(s.url + "/healthz")
        assert status_of(s.url + "/metrics") == 404
        assert s.run("sum.dbg")["status"] == "succeeded"
        assert s.client("--no-telemetry", "run", "samples", "sum.dbg").stdout == "sum 55\n"
    assert server.traces("debug-server", operation="POST /sessions") == []
    assert server.logs('{service="debug-server"} |= "session_c"') == []
    assert server.traces("debug-client") == [] and server.traces("debug-runner")


# ---- logs and metrics ----

def test_every_line_of_the_logs_has_its_form(alone):
    alone.run("sum.dbg")
    alone.run("crash.dbg")
    wait_for("the lines", lambda: len([x for x in alone.lines("runner") if "session_id" in x]) >= 4)
    for program in ("server", "runner"):
        text = alone.output(program)
        for line in text.splitlines():
            record = json.loads(line)
            assert list(record)[:3] == ["timestamp", "level", "service"], line
            assert record["service"] == alone.service(program) and record["message"]
            assert record["level"] in ("debug", "info", "warn", "error")
            if record["message"].startswith(("session_", "worker_")):
                for name, form in IDS.items():
                    assert re.match(form, record[name]), (name, line)


def test_one_request_id_goes_through_all_of_it(observed, server):
    _, answer = observed.order("sum.dbg", headers={"X-Request-ID": "ticket-4711"})
    assert observed.ended(answer["session_id"])["request_id"] == "ticket-4711"
    services = wait_for("the lines of both programs", lambda: {"debug-server", "debug-runner"} <= {
        fields["service_name"] for _, _, fields in server.logs('{request_id="ticket-4711"}')})
    assert services
    trace = wait_for("the trace", lambda: get_trace(server, "ticket-4711"))
    assert len({s["traceID"] for s in trace["spans"]}) == 1


def get_trace(server, some_id):
    found = json.loads(get("%s/api/sonde/v1/find?id=%s" % (server.http, some_id)))["data"]["trace_ids"]
    trace = server.trace(found[0])
    return trace if any(s["operationName"] == "worker" for s in trace["spans"]) else None


def test_the_metrics_page_counts_what_was_done(alone):
    for _ in range(3):
        alone.run("sum.dbg")
    alone.run("fail.dbg")
    alone.debug(*STEPS)
    text = wait_for("the counts", lambda: page(alone, "server"))
    assert value(text, "debug_server_sessions_created_total", repository="samples") == 5
    assert value(text, "debug_server_sessions_completed_total", status="succeeded") == 4
    assert value(text, "debug_server_session_failures_total", reason="exit_status") == 1
    assert value(text, "debug_server_sessions_active") == 0
    assert value(text, "debug_server_debugger_commands_total", command="step", status="ok") == 1
    assert value(text, "debug_server_debugger_commands_total", command="continue", status="ok") == 2
    assert value(text, "debug_server_debugger_commands_total", command="unknown") == 1
    runner = page(alone, "runner")
    assert value(runner, "debug_server_worker_starts_total", result="success") == 5
    assert value(runner, "debug_server_worker_exits_total", reason="exited") == 4
    assert value(runner, "debug_server_workers_active") == 0
    assert value(runner, "debug_server_worker_output_lines_total", stream="stdout") == 5
    wait_for("the streams to end", lambda: value(
        page(alone, "server"), "debug_server_websocket_connections_active") == 0)


# ---- streams ----

def test_another_websocket_client_can_debug(alone):
    _, answer = alone.order("sum.dbg", [5], stop_on_entry=True)
    with stream(alone, answer["session_id"]) as socket:
        assert json.loads(socket.recv(timeout=20))["type"] == "session"
        until(socket, lambda m: m.get("reason") == "entry")
        assert ask(socket, "set_breakpoint", line=9)["ok"] is True
        assert ask(socket, "set_breakpoint", line=900)["error"] == "line must be one of the program's"
        assert ask(socket, "continue")["ok"] is True
        assert until(socket, lambda m: m.get("reason") == "breakpoint")["line"] == 9
        assert ask(socket, "variables")["variables"] == {"n": 5, "i": 1, "sum": 0}
        assert ask(socket, "evaluate", expression="n * (i + 2)")["value"] == 15
        assert "division" in ask(socket, "evaluate", expression="1 / 0")["error"]
        assert ask(socket, "clear_breakpoint", line=9)["ok"] is True
        assert ask(socket, "continue")["ok"] is True
        messages, code = rest(socket)
    assert [m["line"] for m in messages if m["type"] == "output"] == ["sum 15"]
    assert messages[-1]["type"] == "ended" and messages[-1]["status"] == "succeeded" and code == 1000


def test_a_reader_that_comes_late_sees_what_was(alone):
    ended = alone.run("crash.dbg")
    with stream(alone, ended["session_id"]) as socket:
        messages, code = rest(socket)
    assert code == 1000 and messages[0]["status"] == "failed" and messages[0]["reason"] == "crashed"
    assert ended["last_output"].splitlines() == ["opening the file", "the handle is invalid"]


def refused(system, path, headers):
    with pytest.raises(InvalidStatus) as e:
        connect(system.url.replace("http", "ws") + path, additional_headers=headers, proxy=None).close()
    return e.value.response.status_code


def test_handshakes_are_refused_with_a_reason(alone):
    _, answer = alone.order("hang.dbg")
    path = "/sessions/%s/stream" % answer["session_id"]
    assert refused(alone, path, {}) == 401
    assert refused(alone, path, {"Authorization": "Bearer wrong"}) == 401
    assert refused(alone, "/sessions/ses_none/stream", BEARER) == 404
    assert refused(alone, "/runner" + path.rpartition("/")[0], BEARER) == 401
    status, _, body = alone.request("GET", path, None, BEARER)
    assert status == 426 and json.loads(body)["error"]["code"] == "UPGRADE_REQUIRED"
    assert alone.request("DELETE", "/sessions/" + answer["session_id"], None, BEARER)[0] == 202
    assert alone.ended(answer["session_id"])["status"] == "cancelled"


def test_a_message_that_is_too_long_ends_the_stream(alone):
    _, answer = alone.order("hang.dbg")
    with stream(alone, answer["session_id"]) as socket:
        socket.send("x" * (65 << 10))
        assert rest(socket)[1] == 1009
    alone.request("DELETE", "/sessions/" + answer["session_id"], None, BEARER)
    wait_for("its count", lambda: value(page(alone, "server"), "debug_server_websocket_closes_total",
                                        role="client", code="1009") == 1)


def test_a_reader_that_is_gone_is_noticed():
    """Its socket stays open, and nothing answers the server's pings."""
    with running({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "DATABASE_URL": "", "REDIS_URL": ""},
                 DEBUG_STREAM_PING_MS="100", DEBUG_STREAM_PONG_MS="200") as s:
        _, answer = s.order("hang.dbg")
        silent = s.slow_stream(answer["session_id"])
        wait_for("the loss", lambda: value(page(s, "server"), "debug_server_websocket_closes_total",
                                           role="client", code="1006") == 1, 10)
        silent.close()
        s.request("DELETE", "/sessions/" + answer["session_id"], None, BEARER)


def test_a_slow_reader_loses_messages_and_not_the_memory(alone):
    _, answer = alone.order("flood.dbg", [200000])
    slow = alone.slow_stream(answer["session_id"])
    with stream(alone, answer["session_id"], max_queue=None) as fast:
        others = rest(fast)[0]
    assert alone.ended(answer["session_id"])["reason"] == "output_limit"
    messages, code = slow.messages()
    slow.close()
    told = sum(m["count"] for m in messages if m["type"] == "dropped")
    assert told > 1000 and messages[-1]["type"] == "ended" and code == 1000
    lines = [m["number"] for m in messages if m["type"] == "output"]
    assert lines == sorted(set(lines))
    assert others[-1]["output_lines"] == len(lines) + told
    wait_for("its count", lambda: value(page(alone, "server"), "debug_server_websocket_dropped_messages_total",
                                        role="client") >= told)


# ---- messages that come close together ----

def together(socket, *messages):
    """Sends them in one segment, so that one read of the peer finds them all."""
    with socket.protocol_mutex:
        for message in messages:
            socket.protocol.send_text(json.dumps(message).encode())
        socket.socket.sendall(b"".join(socket.protocol.data_to_send()))


@contextlib.contextmanager
def scripted_server(messages, then=lambda socket: None):
    """In the server's place for a runner: to each session it sends these messages at once, and then does what
    it is told to. Its address, and what the runners said until the session's end, a list for each."""
    said = queue.Queue()

    def talk(socket):
        together(socket, *messages)
        then(socket)
        found = []
        while not found or found[-1]["type"] != "ended":
            found.append(json.loads(socket.recv(timeout=30)))
        said.put(found)

    def health(socket, request):
        return socket.respond(200, "fine\n") if request.path == "/healthz" else None

    with serve(talk, "127.0.0.1", 0, process_request=health) as s:
        thread = threading.Thread(target=s.serve_forever)
        thread.start()
        try:
            yield "http://127.0.0.1:%d" % s.socket.getsockname()[1], said
        finally:
            s.shutdown()
            thread.join()


START = {"type": "start", "repository": "samples", "environment": {}, "timeout_seconds": 30}


def answers_of_runner(*messages, program="hang.dbg", **start):
    """What the runner says of a session whose start these messages follow in the same segment."""
    start = {**START, "command": [program, "5"], **start}
    with scripted_server([start, *messages]) as (url, said), running(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "", "DATABASE_URL": "", "REDIS_URL": ""}, DEBUG_SERVER_URL=url) as s:
        assert s.order("hang.dbg")[0] == 202
        return said.get(timeout=30)


def test_a_cancel_may_come_with_the_start():
    said = answers_of_runner({"type": "cancel"})
    assert said[-1]["status"] == "cancelled", said


def command(number, name, **more):
    return {"type": "command", "command": name, "number": number, **more}


def test_commands_may_come_with_the_start():
    many = [command(n, "evaluate", expression="%d + arg(1)" % n) for n in range(2, 32)]
    said = answers_of_runner(command(1, "where"), *many, command(32, "continue"), program="sum.dbg",
                             stop_on_entry=True)
    replies = {m["number"]: m for m in said if m["type"] == "reply"}
    assert sorted(replies) == list(range(1, 33)) and all(m["ok"] for m in replies.values()), said
    assert [replies[n]["value"] for n in range(2, 32)] == [n + 5 for n in range(2, 32)]
    assert said[-1]["status"] == "succeeded"
    crowd = [command(n, "where") for n in range(1, 41)]
    replies = {m["number"]: m.get("error") for m in answers_of_runner(*crowd, {"type": "cancel"})
               if m["type"] == "reply"}  # the worker is killed before or after it has answered the others
    assert [replies.get(n) for n in range(33, 41)] == ["the worker does not run"] * 8


def with_programs(tmp_path, environment=None, **programs):
    """The service with these programs in the repository `samples`."""
    (tmp_path / "samples").mkdir()
    for name, text in programs.items():
        (tmp_path / "samples" / (name + ".dbg")).write_bytes(text)
    return running({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "DATABASE_URL": "", "REDIS_URL": ""},
                   DEBUG_REPOSITORIES=tmp_path, **(environment or {}))


def state_of(pid):
    """A letter: Z of a process that has ended and was not waited for."""
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rpartition(")")[2].split()[0]


def test_what_a_worker_says_before_its_end_is_told(tmp_path):
    """The runner stands still until the worker has said more than is read at once, and has ended."""
    text, systems = "x" * 250, []
    program = "".join("let v%d = arg(1)\n" % i for i in range(60)) + "crash\n"

    def end_of_worker(socket):
        """A pong says that the runner has passed on what came before the ping."""
        until(socket, lambda m: m.get("reason") == "breakpoint")
        runner = systems[0].process("runner").pid
        worker = wait_for("its line", lambda: [
            x["pid"] for x in systems[0].lines("runner") if x["message"] == "worker_started"][0])
        os.kill(worker, signal.SIGSTOP)
        together(socket, *(command(n, "variables") for n in range(1, 6)), command(6, "continue"))
        assert socket.ping().wait(60)
        os.kill(runner, signal.SIGSTOP)
        os.kill(worker, signal.SIGCONT)
        wait_for("the worker's end", lambda: state_of(worker) == "Z")
        os.kill(runner, signal.SIGCONT)

    start = {**START, "command": ["many.dbg", text], "breakpoints": [61]}
    with scripted_server([start], end_of_worker) as (url, said), with_programs(
            tmp_path, {"DEBUG_SERVER_URL": url}, many=program.encode()) as s:
        systems.append(s)
        assert s.order("many.dbg", [text])[0] == 202
        messages = said.get(timeout=60)
    replies = [m for m in messages if m["type"] == "reply"]
    assert [m["number"] for m in replies] == [*range(1, 7)] and all(m["ok"] for m in replies), messages
    assert all(m["variables"] == {"v%d" % i: text for i in range(60)} for m in replies[:-1])
    assert messages[-1]["reason"] == "crashed", messages


def test_variables_beyond_a_replys_room_are_counted(tmp_path):
    """Bytes that JSON spells with six; and bytes that are no text."""
    program = "".join("let v%d = arg(1)\n" % i for i in range(62)).encode() + \
        b'let odd = "\xff"\nprint "\xff"\n'
    with with_programs(tmp_path, odd=program) as s:
        _, answer = s.order("odd.dbg", ["\x01" * 250], stop_on_entry=True)
        with stream(s, answer["session_id"]) as socket:
            until(socket, lambda m: m.get("reason") == "entry")
            assert ask(socket, "set_breakpoint", line=64)["ok"] and ask(socket, "continue")["ok"]
            stopped = until(socket, lambda m: m.get("reason") == "breakpoint")
            assert stopped["line"] == 64 and stopped["source"] == "(bytes that are no text)"
            reply = ask(socket, "variables")
            assert reply["variables"].pop("odd") == "(bytes that are no text)"
            shown = reply["variables"]
            assert len(shown) > 15 and len(shown) + reply["left_out"] == 62, reply
            assert set(shown.values()) == {"\x01" * 250}
            assert ask(socket, "continue")["ok"]
            assert rest(socket)[0][-1]["status"] == "succeeded"


def test_sessions_that_are_cancelled_at_once(alone):
    """Wherever the cancel finds them: in the queue, between the start and the worker, in the worker."""
    ids = []
    for _ in range(40):
        ids.append(alone.order("hang.dbg", timeout_seconds=600)[1]["session_id"])
        for tries in range(len(ids) % 4):  # lets it come further
            alone.session(ids[-1])
        assert alone.request("DELETE", "/sessions/" + ids[-1], None, BEARER)[0] == 202
    assert {alone.ended(i)["status"] for i in ids} == {"cancelled"}


def test_a_cancel_that_the_runner_did_not_read_is_told_again(alone):
    """Its connection is lost with the cancel in it, and the runner comes back."""
    alone.stop("runner")
    _, answer = alone.order("hang.dbg")
    path = "/runner/sessions/" + answer["session_id"]
    options = {"additional_headers": {"Authorization": "Bearer " + RUNNER_TOKEN}, "proxy": None}
    with connect(alone.url.replace("http", "ws") + path, **options) as runner:
        assert json.loads(runner.recv(timeout=20))["type"] == "start"
        assert alone.request("DELETE", "/sessions/" + answer["session_id"], None, BEARER)[0] == 202
        runner.socket.shutdown(2)

    def again():
        """The types of what comes first; nothing while the server still has the lost connection."""
        with connect(alone.url.replace("http", "ws") + path, **options) as runner:
            try:
                types = [json.loads(runner.recv(timeout=20))["type"] for _ in range(2)]
            except ConnectionClosed:
                return None
            runner.send(json.dumps({"type": "ended", "status": "cancelled", "reason": ""}))
            return types
    assert wait_for("to be taken back", again) == ["resume", "cancel"]
    assert alone.ended(answer["session_id"])["status"] == "cancelled"


# ---- secrets ----

PLANTED = {"environment": "planted-env-7f3a91", "header": "planted-header-55d1",
           "url": "planted-url-91cc0e", "flag": "planted-flag-0b2d44", "next": "planted-next-c0ffee",
           "cookie": "planted-cookie-8812"}


def plant(system):
    """A session with a secret in every place that one can be in."""
    status, answer = system.order(
        "login.dbg", ["--password=" + PLANTED["flag"], "--api-key", PLANTED["next"]],
        headers={"Cookie": "sid=" + PLANTED["cookie"], "X-Api-Key": PLANTED["header"]},
        environment={"API_TOKEN": PLANTED["environment"], "PLAIN": "visible-value"}, stop_on_entry=True)
    assert status == 202
    with stream(system, answer["session_id"]) as socket:
        until(socket, lambda m: m.get("reason") == "entry")
        for _ in range(4):
            ask(socket, "step")
            until(socket, lambda m: m["type"] == "event")
        read = ask(socket, "variables")["variables"]
        assert read == {"user": "ann", "api_token": "[REDACTED]"}
        assert ask(socket, "evaluate", expression="api_token")["value"] == "[REDACTED]"
        ask(socket, "evaluate", expression='"Bearer %s"' % PLANTED["header"])
        ask(socket, "continue")
        messages, _ = rest(socket)
    system.request("POST", "/sessions?token=" + PLANTED["url"], {
        "repository": "https://ann:%s@git.example/acme/none.git" % PLANTED["url"], "command": "x"}, BEARER)
    system.request("GET", "/sessions?api_key=" + PLANTED["url"], None,
                   {"Authorization": "Bearer " + PLANTED["header"]})
    return answer["session_id"], messages


def test_no_sink_has_a_secret(server, fast_export, tmp_path):
    recorders = tmp_path / "recorders"
    with running(fast_export, DATABASE_URL="", REDIS_URL="", SONDE_LOG_LEVEL="debug",
                 SONDE_RECORDER_DIR=str(recorders)) as s:
        session_id, messages = plant(s)
        wait_for("the lines of output", lambda: len(server.logs(
            '{service="debug-runner"} |= "worker_output"')) >= 3)
        wait_for("the trace", lambda: server.traces("debug-runner"))
        sinks = {"messages": json.dumps(messages), "session": json.dumps(s.session(session_id)),
                 "list": s.request("GET", "/sessions", None, BEARER)[2].decode()}
        for program, url in s.urls.items():
            for path in ("/metrics", "/debug/status", "/debug/spans", "/debug/config", "/debug/queue",
                         "/debug/connections", "/debug/logs?lines=10000&level=debug"):
                sinks[program + path] = get(url + path).decode()
        for path in recorders.glob("*"):
            sinks["recorder " + path.name] = path.read_bytes().decode("latin1")
        for path in glob.glob(s.environment["SQLITE_PATH"] + "*"):
            with open(path, encoding="latin1") as f:
                sinks["database " + path] = f.read()
        sinks["API"] = json.dumps([server.logs('{service=~".+"}'), server.traces("debug-server"),
                                   server.traces("debug-runner")])
        s.stop("runner"), s.stop("server")
        for program in ("server", "runner"):
            for kind in ("out", "err"):
                sinks[program + "." + kind] = s.output(program, kind)
    server.stop()
    for path in glob.glob(server.data + "/**", recursive=True):
        if os.path.isfile(path):
            with open(path, encoding="latin1") as f:
                sinks["data " + path] = f.read()
    assert any("logging in as ann with [REDACTED]" in text for text in sinks.values())
    assert "login.dbg" in sinks["database " + s.environment["SQLITE_PATH"] + "-wal"] + sinks["session"]
    assert "--password=[REDACTED] --api-key [REDACTED]" in sinks["session"]
    recorded = [name for name in sinks if name.startswith("recorder")]
    assert len(recorded) == 2, recorded
    for name, text in sinks.items():
        for kind, secret in PLANTED.items():
            assert secret not in text, "%s has the secret of %s: …%s…" % (
                name, kind, text[max(0, text.index(secret) - 200):text.index(secret) + 60])


# ---- faults ----

class Counted(DebugServer):
    """Numbers its requests."""

    def prepare(self):
        super().prepare()
        self.made, self.took = 0, []  # seconds for each answer

    def request(self, method, path, body=None, headers=None, url=None, timeout=30):
        if path.startswith("/sessions"):
            self.made += 1
            headers = {"X-Request-ID": "n-%d" % self.made, **(headers or {})}
        with timed(self.took):
            return super().request(method, path, body, headers, url, timeout)


def numbers(values):
    found = [int(v[2:]) for v in values if v and v.startswith("n-")]
    assert len(found) == len(set(found)), "something is there twice"
    return set(found)


def all_is_there(server, system):
    """As many access logs, server spans and counts in the server as requests were made."""
    wanted = set(range(1, system.made + 1))
    wait_for("all access logs", lambda: numbers(
        f.get("request_id") for _, _, f in server.logs('{service="debug-server"} |= "http_request"')
        if f.get("route", "").startswith("/sessions") and f.get("status") != "101") == wanted, 30, 0.2)
    wait_for("all counts", lambda: sum(float(r["value"][1]) for r in server.promql(
        'sum(http_requests_total{job="debug-server/debug-server",route=~"/sessions.*",status!="101"})')
        ) == system.made, 30, 0.2)
    wait_for("all spans", lambda: server_spans(server) == wanted, 30, 0.2)


def server_spans(server):
    found = []
    for operation in ("POST /sessions", "GET /sessions/{id}", "DELETE /sessions/{id}", "GET /sessions"):
        for trace in server.traces("debug-server", operation=operation, limit=1500):
            for s in trace["spans"]:
                tags = {t["key"]: t["value"] for t in s["tags"]}
                if s["operationName"] == operation:
                    found.append(tags.get("request_id"))
    return numbers(found)


@pytest.fixture
def system(fast_export, postgres, redis):
    with Counted(keep=True, environment={**fast_export, "DATABASE_URL": postgres.url,
                                         "REDIS_URL": redis.url, "DEBUG_RUNNER_GRACE_MS": "500"}) as s:
        yield s


def readiness(url):
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


def not_ready(system, check, programs=("server", "runner")):
    for program in programs:
        status, body = wait_for("%s not to be ready" % program, lambda p=program: (
            lambda r: r if r[0] == 503 else None)(readiness(system.urls[p])), 10)
        assert body["checks"][check]["status"] != "ok" and body["checks"][check].get("detail"), body


def ready_again(system):
    for program, url in system.urls.items():
        wait_for("%s to be ready" % program, lambda u=url: readiness(u)[0] == 200, 15)


def test_the_database_may_go_and_come_back(system, server, postgres):
    _, before = system.order("slow.dbg", [15])
    wait_for("it to run", lambda: system.session(before["session_id"])["status"] == "running")
    postgres.down()
    status, body = system.order("sum.dbg")
    assert status == 503 and body["error"]["code"] == "DATABASE_UNAVAILABLE"
    assert body["error"]["request_id"] == "n-%d" % system.made
    not_ready(system, "database")
    assert system.session(before["session_id"])["session_id"] == before["session_id"], "known without it"
    ended = system.ended(before["session_id"])  # an end that waits for the database
    assert ended["status"] == "succeeded"
    assert value(page(system, "server"), "db_client_operation_duration_seconds_count",
                 db_operation_name="INSERT", error_type="") < value(
        page(system, "server"), "db_client_operation_duration_seconds_count", db_operation_name="INSERT")
    postgres.up()
    ready_again(system)
    wait_for("the end to be stored", lambda: postgres.sql(
        "SELECT status FROM debug_sessions WHERE id = '%s'" % before["session_id"],
        postgres.url.rpartition("/")[2]).strip() == "succeeded", 15)
    assert system.run("sum.dbg")["status"] == "succeeded"
    assert max(system.took) < LONGEST
    all_is_there(server, system)


def test_the_queue_may_go_and_come_back(system, server, redis):
    assert system.run("sum.dbg")["status"] == "succeeded"
    redis.down()
    status, body = system.order("sum.dbg")
    assert status == 503 and body["error"]["code"] == "QUEUE_UNAVAILABLE"
    not_ready(system, "queue")
    assert value(page(system, "server"), "debug_server_session_failures_total",
                 reason="queue_unavailable") == 1
    redis.up()
    ready_again(system)
    assert system.run("sum.dbg")["status"] == "succeeded"
    assert max(system.took) < LONGEST
    all_is_there(server, system)


def test_what_a_killed_runner_was_doing_is_known(system, server):
    _, answer = system.order("slow.dbg", [200], timeout_seconds=60)
    wait_for("some output", lambda: system.session(answer["session_id"])["output_lines"] >= 2)
    runner = system.process("runner")
    worker = wait_for("its worker", lambda: [
        x["pid"] for x in system.lines("runner") if x["message"] == "worker_started"][-1])
    runner.kill()
    runner.wait()
    ended = system.ended(answer["session_id"], 10)
    assert ended["status"] == "failed" and ended["reason"] == "runner_lost"
    assert "tick 2" in ended["last_output"]
    wait_for("its worker to end with it", lambda: not os.path.exists("/proc/%d/stat" % worker), 5)
    system.programs = [p for p in system.programs if p[1] is not runner]
    system.start("debug-server/runner")
    ready_again(system)
    spans = wait_for("the spans that were open", lambda: open_at_death(server, answer["request_id"]))
    assert {"run session", "worker"} <= spans
    wait_for("the count", lambda: server.promql(
        'debug_server_session_failures_total{reason="runner_lost"} == 1'))
    assert system.run("sum.dbg")["status"] == "succeeded"
    assert server.logs('{service="debug-runner", session_id="%s"} |= "worker_started"' % answer["session_id"])
    all_is_there(server, system)


def open_at_death(server, request_id):
    """The names of the runner's spans that ended by its death."""
    found = json.loads(get("%s/api/sonde/v1/find?id=%s" % (server.http, request_id)))["data"]["trace_ids"]
    trace, names = server.trace(found[0]), set()
    for s in trace["spans"]:
        tags = {t["key"]: t["value"] for t in s["tags"]}
        if trace["processes"][s["processID"]]["serviceName"] == "debug-runner" and tags.get("error"):
            names.add(s["operationName"])
    return names


def test_a_session_goes_on_while_the_server_starts_again(system, server):
    _, answer = system.order("slow.dbg", [25])
    wait_for("it to run", lambda: system.session(answer["session_id"])["output_lines"] >= 2)
    system.stop("server")
    system.start("debug-server/server")
    system.wait_http(system.url + "/readyz")
    ended = system.ended(answer["session_id"])
    assert ended["status"] == "succeeded" and ended["last_output"].endswith("tick 25\ndone\n"), ended
    wait_for("its line", lambda: [x for x in system.lines("runner") if x["message"] == "server_disconnected"])


def test_the_collector_may_go_and_come_back(system, server):
    for _ in range(3):
        system.run("sum.dbg")
    server.kill()
    ended = [system.run(name)["status"] for name in ("sum.dbg", "fail.dbg", "crash.dbg")]
    assert ended == ["succeeded", "failed", "failed"]
    assert max(system.took) < LONGEST
    server.start()
    system.run("sum.dbg")
    all_is_there(server, system)
    assert server.logs('{service="debug-server"} |= "session_failed"')


def test_a_session_that_no_runner_takes_ends():
    """And a runner that finds it in the queue later leaves it alone."""
    with running({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "DATABASE_URL": "", "REDIS_URL": ""},
                 DEBUG_QUEUE_SECONDS="1") as s:
        s.stop("runner")
        _, answer = s.order("sum.dbg")
        assert value(page(s, "server"), "debug_server_queue_length") == 1
        assert s.ended(answer["session_id"])["reason"] == "not_started"
        wait_for("it to be stored", lambda: s.session(answer["session_id"])["ended_ms"])
        s.start("debug-server/runner")
        wait_for("the runner to skip it", lambda: [
            x for x in s.lines("runner") if x["message"] == "session_skipped"])
        assert s.run("sum.dbg")["status"] == "succeeded"


def test_workers_that_go_wrong_end_alone():
    """A crash, a hang and a flood beside a session that does its work."""
    with running({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "DATABASE_URL": "", "REDIS_URL": ""},
                 DEBUG_OUTPUT_BYTES="100000") as alone:
        ends_alone(alone)


def ends_alone(alone):
    _, good = alone.order("slow.dbg", [20])
    wrong = [alone.order("crash.dbg"), alone.order("hang.dbg", timeout_seconds=1),
             alone.order("flood.dbg", [200000])]
    reasons = [alone.ended(answer["session_id"])["reason"] for _, answer in wrong]
    assert reasons == ["crashed", "timeout", "output_limit"]
    assert alone.ended(good["session_id"])["status"] == "succeeded"
    assert value(page(alone, "runner"), "debug_server_workers_active") == 0


def test_no_command_ends_what_is_debugged(alone):
    """Too long, too deep, of wrong types; an id comes back as it was sent."""
    _, answer = alone.order("sum.dbg", [5], stop_on_entry=True)
    with stream(alone, answer["session_id"]) as socket:
        until(socket, lambda m: m.get("event") == "stopped")
        for expression, said in (("(" * 3000, "too deep"), ("-" * 3000, "an expression was expected"),
                                 ("1+" * 6000 + "1", "a command has at most 4096 bytes"),
                                 ("1/0", "division by zero"),
                                 ("(0-9223372036854775807-1)/-1", "division by zero"),
                                 (7, "expression must be a text"), (None, "expression must be a text")):
            reply = ask(socket, "evaluate", expression=expression)
            assert reply["ok"] is False and said in reply["error"], expression
        for line in (0, -1, 1 << 40, "9", None, [9]):
            assert ask(socket, "set_breakpoint", line=line)["error"] == "line must be one of the program's"
        for name in (5, None, [], "run", "x" * 5000):
            assert ask(socket, name)["error"] == "there is no such command"
        for sent in (7, "x" + "\u00e9" * 100, [1, {"a": None}], None):
            assert ask(socket, "where", id=sent)["id"] == sent
        strange = {"baggage": "a=" + "b" * 3000, "traceparent": 5, "tracestate": [], "number": 1}
        assert ask(socket, "where", **strange)["line"] == 1
        socket.send("[]")
        assert until(socket, lambda m: m["type"] == "reply")["id"] is None
        assert ask(socket, "evaluate", expression="arg(1) + 1")["value"] == 6
        assert ask(socket, "continue")["ok"]
        assert rest(socket)[0][-1]["status"] == "succeeded"


def test_wrong_orders_are_refused(alone):
    for body in ({}, {"repository": "samples"}, {"repository": "../etc", "command": "x y"}, {
            "repository": "samples", "command": ["x"] * 17}, {
            "repository": "samples", "command": "sum.dbg", "environment": {"A": 1}}, {
            "repository": "samples", "command": "sum.dbg", "timeout_seconds": 10 ** 6}):
        status, _, text = alone.request("POST", "/sessions", body, BEARER)
        if body.get("repository") == "../etc":  # the last part alone counts
            assert status == 202
            assert alone.ended(json.loads(text)["session_id"])["reason"] == "start_failed"
        else:
            assert status == 400 and json.loads(text)["error"]["code"] == "INVALID_SESSION", text
    for member, values, said in (
            ("timeout_seconds", (0, -1, 1.5, "5", None), "timeout_seconds must be a whole number"),
            ("breakpoints", ("9", [0], [1.5], [-1], [1] * 65, {}), "breakpoints must be a list"),
            ("environment", ([], {"A=B": "1"}, {"": "1"}, {"LD_PRELOAD": "/x.so"}, {"A B": "1"}),
             "environment must"),
            ("environment", ({"A": "x" * (64 << 10)},), "the order is too large")):
        for wrong in values:
            status, answer = alone.order("sum.dbg", **{member: wrong})
            assert status == 400 and answer["error"]["message"].startswith(said), (member, wrong, answer)
    for text in (b"", b"{", b"\0", b"[" * 100000, b'{"repository":"\xff"}'):
        status, _, answer = alone.request("POST", "/sessions", text, BEARER)
        said = json.loads(answer)["error"]["message"]
        assert status == 400 and said.startswith("the body is no JSON" if text else "there is no body"), said
    assert alone.run("sum.dbg", 3, environment={"A": "x" * (60 << 10)})["status"] == "succeeded"
    assert alone.run("../samples/sum.dbg")["reason"] == "start_failed"
    assert alone.run("sum.dbg", 4, repository="https://git.example/acme/samples.git")["status"] == "succeeded"


def test_texts_are_cut_between_characters(system, postgres):
    """PostgreSQL and JSON take whole characters only; lines, commands and last lines have limits in bytes."""
    for pad in range(3):
        text = "x" * pad + "\u20ac" * 80
        ended = system.run("sum.dbg", *[text] * 4)
        assert ended["status"] == "succeeded" and ended["command"].startswith("sum.dbg x" if pad else "sum")
        assert wait_for("it to be stored", lambda e=ended: postgres.sql(
            "SELECT status FROM debug_sessions WHERE id = '%s'" % e["session_id"],
            postgres.url.rpartition("/")[2]).strip() == "succeeded", 10)


# ---- examples, files, load ----

def test_example_traces_can_be_looked_at(server):
    environment = {**os.environ, "SONDE_BUILD": BUILD, "SONDE_ADDR": server.http,
                   "OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp, "DEBUG_OUTPUT_BYTES": "100000"}
    done = subprocess.run([os.path.join(EXAMPLES, "debug-server/example_traces")], text=True, timeout=120,
                          capture_output=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    ids = re.findall(r"/trace/([0-9a-f]{32})$", done.stdout, re.M)
    assert len(ids) == len(set(ids)) == 7
    for one in ids:
        names = {s["operationName"] for s in server.trace(one)["spans"]}
        assert {"debug session", "run session"} <= names


def test_a_load_of_sessions_goes_through(alone):
    done = alone.load_sessions(20, 4, rounds=100)
    assert done["succeeded"] == 20 and done["per_second"] > 1
    assert value(page(alone, "runner"), "debug_server_worker_exits_total", reason="exited") == 20


def test_copies_are_equal():
    for copy in ("alerts.yaml", "grafana/dashboards/debug-server.json"):
        original = {"alerts.yaml": "alerts.yaml"}.get(copy, "dashboard.json")
        with open(os.path.join(ROOT, "config/observability", copy)) as f, \
                open(os.path.join(EXAMPLES, "debug-server", original)) as g:
            assert f.read() == g.read(), copy


def test_docs_name_what_is_there():
    """Files, links, flags and variables of docs/observability.md."""
    with open(os.path.join(ROOT, "docs/observability.md")) as f:
        text = f.read()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert os.path.exists(os.path.join(ROOT, "docs", target)), target
    for name in re.findall(r"(?<!build/)\b(?:examples|config|docs)/[\w./-]+", text):
        assert os.path.exists(os.path.join(ROOT, name.rstrip("."))), name
    for name in re.findall(r"^\| `([\w./]+)`(?:, `([\w./]+)`)? \|", text, re.M):
        assert all(os.path.exists(os.path.join(ROOT, "config/observability", n)) for n in name if n), name
    usage = subprocess.run([BINARIES + "/server", "--help"], capture_output=True, text=True, timeout=30)
    for flag in set(re.findall(r"`(--[\w-]+)", text)):
        assert flag in usage.stdout or flag == "--profile", flag


def test_stopping_ends_what_runs(alone):
    _, answer = alone.order("hang.dbg")
    wait_for("it to run", lambda: alone.session(answer["session_id"])["status"] == "running")
    alone.process("runner").send_signal(signal.SIGTERM)
    assert alone.ended(answer["session_id"], 10)["reason"] == "runner_stopped"
    assert alone.stop("runner") == 0
