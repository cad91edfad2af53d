# SPDX-License-Identifier: Apache-2.0
"""What a program's log lines look like to those who read them: jq, terminals, files, slow pipes."""
import http.server
import json
import os
import pty
import subprocess
import threading

import pytest

from harness import ROOT, SONDE
from native import ENVIRONMENT, compile_program

FORMATS = ["", "json", "framecast", "staging", "personaworlds", "sixseven", "debug-server",
           "json,time=ts,message=msg,level_case=upper,level_names=python,time_digits=3,data=nested",
           "framecast,code=on,order=*:data", "time=,level=,message=,service=,logger=,trace=,span="]
EVENTS = ["odd", "quote\"back\\slash\n", "twice", "group", "failed", "slow_query"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_program(os.path.join(ROOT, "tests/e2e/logs_program.c"),
                           tmp_path_factory.mktemp("logs") / "logs_program", "-Wno-div-by-zero", "-rdynamic")


def environment(tmp_path, **more):
    return {**ENVIRONMENT, "SONDE_RECORDER_DIR": str(tmp_path), **more}


def run(program, tmp_path, *arguments, **more):
    done = subprocess.run([program, *arguments], env=environment(tmp_path, **more), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("spec", FORMATS)
def test_jq_reads_every_line_of_every_format(program, tmp_path, spec):
    done = run(program, tmp_path, SONDE_LOG_FORMAT=spec)
    assert done.stderr == b""
    lines = done.stdout.splitlines()
    assert len(lines) == len(EVENTS) + 10 + 1 + 1
    read = subprocess.run(["jq", "-c", "."], input=done.stdout, capture_output=True, timeout=60)
    assert read.returncode == 0, read.stderr
    assert len(read.stdout.splitlines()) == len(lines)
    for line in lines:
        pairs = json.loads(line.decode("utf-8"), object_pairs_hook=lambda p: p)
        assert len({k for k, _ in pairs}) == len(pairs), line


def test_the_default_format(program, tmp_path):
    rows = [json.loads(line) for line in run(program, tmp_path).stdout.splitlines()]
    assert [r["message"] for r in rows[:6]] == EVENTS
    odd, quote, twice, group, failed, slow = rows[:6]
    assert odd["control"] == "\033[31mred\r\n\t\x01\x7f"
    assert odd["field_message"] == "not the message"
    assert (odd["nan"], odd["inf"], odd["null"]) == ("NaN", "Infinity", None)
    assert odd["request_id"] == "r-1" and len(odd["trace_id"]) == 32
    assert quote["large"].endswith("x\u2026")
    assert twice["k"] == 1
    assert group["data"] == {"old": "a\nb", "n": 2} and group["raw"] == "AAEC"
    assert failed["exception.message"] == "disk full"
    assert failed["exception.stacktrace"].startswith("#0 logs_program(main+0x")
    assert slow["logger"] == "app.db" and slow["level"] == "warn"


def test_nested_data_holds_the_calls_own_attributes(program, tmp_path):
    rows = [json.loads(line) for line in run(program, tmp_path, SONDE_LOG_FORMAT="framecast").stdout.splitlines()]
    group = rows[3]
    assert group["data"] == {"n": 1, "old": "a\nb", "raw": "AAEC"}
    assert group["request_id"] == "r-1" and group["environment"] == "test"


def test_what_a_site_left_out_is_told(program, tmp_path):
    rows = [json.loads(line) for line in run(program, tmp_path).stdout.splitlines()]
    ticks = [r for r in rows if r["message"] == "tick"]
    assert [r.get("suppressed", 0) for r in ticks] == [0] + [9] * 9
    assert rows[-1]["message"] == "sonde.suppressed"
    assert (rows[-1]["field_event"], rows[-1]["suppressed"]) == ("tick", 4)


def test_levels_by_logger(program, tmp_path):
    out = run(program, tmp_path, SONDE_LOG_LEVEL="error,app=debug").stdout
    assert [json.loads(line)["message"] for line in out.splitlines()] == ["failed", "query", "slow_query", "last"]


def test_a_wrong_format_costs_one_line_and_json_is_used(program, tmp_path):
    done = run(program, tmp_path, SONDE_LOG_FORMAT="json,tyme=ts")
    assert done.stderr.count(b"\n") == 1 and b'"tyme=ts" is not known; known are time,' in done.stderr
    assert json.loads(done.stdout.splitlines()[0])["message"] == "odd"


def terminal(program, tmp_path, **more):
    """What a terminal gets that is the program's standard output."""
    parent, child = pty.openpty()
    process = subprocess.Popen([program], env=environment(tmp_path, **more), stdout=child)
    os.close(child)
    got = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:
            break
        if not piece:
            break
        got += piece
    os.close(parent)
    assert process.wait(60) == 0
    return got


def test_a_terminal_gets_colours_and_nothing_else_that_moves_it(program, tmp_path):
    got = terminal(program, tmp_path, TERM="xterm")
    assert b"\033[1modd\033[0m" in got
    ours = [b"\033[0m", b"\033[1m", b"\033[2m", b"\033[36m", b"\033[90m", b"\033[32m", b"\033[33m", b"\033[31m",
            b"\033[1;31m"]
    assert b"\\x1b[31mred\\r\\n\\t\\x01\\x7f" in got
    rest = got.replace(b"\r\n", b"")
    for one in ours:
        rest = rest.replace(one, b"")
    assert not [c for c in rest if c < 0x20 or c == 0x7f]
    rest.decode("utf-8")


def test_colour_is_as_the_user_wants(program, tmp_path):
    assert b"\033" not in terminal(program, tmp_path, TERM="xterm", NO_COLOR="1")
    assert b"\033" not in terminal(program, tmp_path, TERM="dumb")
    assert b"\033" not in run(program, tmp_path, SONDE_LOG_FORMAT="console").stdout
    assert b"\033" in run(program, tmp_path, SONDE_LOG_FORMAT="console", FORCE_COLOR="1").stdout
    assert terminal(program, tmp_path, TERM="xterm", SONDE_LOG_FORMAT="json").startswith(b"{")


def test_files_rotate_by_size_and_keep_every_line(program, tmp_path):
    log = tmp_path / "out.log"
    run(program, tmp_path, "many", "2000", SONDE_LOG_OUTPUT=f"file:{log}", SONDE_LOG_ROTATE_BYTES="100k",
        SONDE_LOG_ROTATE_KEEP="20")
    names = [log] + [tmp_path / f"out.log.{i}" for i in range(1, 21)]
    there = [n for n in names if n.exists()]
    assert len(there) >= 4 and all(n.stat().st_size <= 100 * 1024 for n in there)
    rows = [json.loads(line)["i"] for n in reversed(there) for line in n.read_bytes().splitlines()]
    assert rows == list(range(2000))


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        threading.Event().wait(self.server.delays.pop() if self.server.delays else 0)
        for resource in body.get("resourceLogs", []):
            for scope in resource["scopeLogs"]:
                self.server.rows += scope["logRecords"]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.rows, server.delays = [], []  # seconds that the next answers take
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.mark.parametrize("delays", [[], [3]])
def test_a_pipe_that_nobody_reads_takes_nothing_from_other_sinks(program, tmp_path, receiver, delays):
    """Nor does a receiver that takes its time, where calls may wait for room."""
    count, receiver.delays = 20000, delays
    process = subprocess.Popen(
        [program, "many", str(count)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.server_port}",
                        OTEL_EXPORTER_OTLP_PROTOCOL="http/json", OTEL_METRICS_EXPORTER="none",
                        OTEL_EXPORTER_OTLP_TIMEOUT="60000",  # nothing is sent twice
                        SONDE_RECORDER_BYTES="1M", SONDE_FULL_WAIT_MS="10000"))
    code = process.wait(100)
    assert code == 0, process.stderr.read()
    got = [int(a["value"]["intValue"]) for r in receiver.rows for a in r["attributes"] if a["key"] == "i"]
    assert sorted(got) == list(range(len(got)))
    if len(got) < count:  # a machine too busy to send the last within the time limit of the end: they wait
        left = subprocess.run([SONDE, "recover", tmp_path, "-o", "json"], capture_output=True, check=True)
        rows = [json.loads(line) for line in left.stdout.splitlines()]
        assert set(range(len(got), count)) <= {row.get("i") for row in rows}
    lines = process.stdout.read().splitlines()
    assert 0 < len(lines) < count
    for line in lines:
        json.loads(line)


def test_otlp_has_the_logger_and_the_place_in_the_code(program, tmp_path, receiver):
    run(program, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.server_port}",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/json", OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none",
        SONDE_LOG_OUTPUT="none")
    row = next(r for r in receiver.rows if r.get("eventName") == "slow_query")
    attributes = {a["key"]: a["value"] for a in row["attributes"]}
    assert attributes["code.file.path"]["stringValue"].endswith("logs_program.c")
    assert attributes["code.function.name"]["stringValue"] == "query"
    assert int(attributes["code.line.number"]["intValue"]) > 0
    group = next(r for r in receiver.rows if r.get("eventName") == "group")
    data = next(a for a in group["attributes"] if a["key"] == "data")
    assert [v["key"] for v in data["value"]["kvlistValue"]["values"]] == ["old", "n"]
