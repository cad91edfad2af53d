# SPDX-License-Identifier: Apache-2.0
"""Receivers that are away, that hang, that come back: what libsonde keeps, loses and says."""
import collections
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from harness import ROOT, Lateness, free_ports, wait_for
from native import ENVIRONMENT, compile_program

sys.path.insert(0, os.path.join(ROOT, "tests/interop"))
from receivers import GrpcReceiver, HttpReceiver  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
LINES = 5000  # of 400 bytes and more: four times the recorder of 1 MiB and half of the spool


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    where = tmp_path_factory.mktemp("programs")
    return {name: compile_program(os.path.join(ROOT, source), where / name) for name, source in (
        ("load", "tests/e2e/export_load.c"), ("probe", "tests/interop/export_probe.c"))}


class Load:
    """export_load with a recorder of 1 MiB that sends its logs to `port`."""

    def __init__(self, programs, tmp_path, port, **env):
        self.lines = tmp_path / "lines"
        self.spool = tmp_path / "spool"
        self.process = subprocess.Popen(
            [programs["load"], "file:%s" % self.lines], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={
                **ENVIRONMENT, "SONDE_RECORDER_DIR": str(tmp_path / "recorders"), "SONDE_RECORDER_BYTES": "1MiB",
                "SONDE_SPOOL_DIR": str(self.spool), "OTEL_TRACES_EXPORTER": "none",
                "OTEL_METRICS_EXPORTER": "none", "OTEL_BLRP_SCHEDULE_DELAY": "20",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:%d" % port, **env})

    def ask(self, command):
        """The lines before "ok"."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == "ok\n":
                return lines
            lines.append(line.rstrip("\n"))
        return lines

    def log(self, first, last):
        """Waits for the lines file now and then: the recorder is small and nothing may be dropped there."""
        for n in range(first, last, 250):
            self.ask("log %d %d" % (n, min(n + 250, last)))
            wait_for("the lines", lambda: self.written() >= min(n + 250, last), 30, 0.005)

    def written(self):
        return self.lines.read_bytes().count(b"\n") if self.lines.exists() else 0

    def flush(self, ms):
        return self.ask("flush %d" % ms)[0] == "1"

    def drops(self):
        found = re.findall(r'^sonde_dropped_total{reason="(\w+)",signal="logs"} (\d+)$',
                           "\n".join(self.ask("metrics")), re.M)
        assert found
        return collections.Counter({reason: int(n) for reason, n in found})

    def spool_bytes(self):
        return sum(f.stat().st_size for f in self.spool.iterdir())

    def die(self):
        self.ask("die")
        self.process.wait(20)
        assert self.process.returncode == -signal.SIGKILL

    def stop(self):
        _, stderr = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, stderr[-4000:]
        return stderr

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
def test_everything_arrives_once_and_in_order_when_the_receiver_comes_back(programs, tmp_path, protocol):
    port = free_ports(1)[0]
    with Load(programs, tmp_path, port, OTEL_EXPORTER_OTLP_PROTOCOL=protocol) as load:
        load.log(0, LINES)
        assert load.written() == LINES and not load.flush(1)
        assert load.spool_bytes() > MIB
        drops = load.drops()
        assert drops["spool_full"] == 0 and drops["recorder_full"] == 0
        receiver = (GrpcReceiver(address="127.0.0.1:%d" % port) if protocol == "grpc"
                    else JsonReceiver(port=port) if protocol == "http/json" else HttpReceiver(port=port))
        with receiver:
            wait_for("everything", lambda: load.flush(1000), 60)
            assert receiver.numbers("logs") == list(range(LINES))
            assert list(load.spool.iterdir()) == []
            load.log(LINES, LINES + 10)
            assert load.flush(10000)
            assert receiver.numbers("logs") == list(range(LINES + 10))
            load.stop()


class JsonReceiver(HttpReceiver):
    """The same for OTLP/JSON: only the numbers are read."""

    def decode(self, signal, body):
        return json.loads(body)

    def numbers(self, signal):
        with self.lock:
            return [int(a["value"]["intValue"]) for request in self.requests[signal]
                    for x in request["resourceLogs"] for s in x["scopeLogs"] for r in s["logRecords"]
                    for a in r["attributes"] if a["key"] == "n"]


def test_what_a_killed_process_spooled_is_sent_by_the_next_one(programs, tmp_path):
    port = free_ports(1)[0]
    for round in range(3):
        with Load(programs, tmp_path, port) as load:
            written = load.written()
            for n in range(0, LINES, 250):
                load.ask("log %d %d" % (round * LINES + n, round * LINES + n + 250))
                wait_for("the lines", lambda: load.written() >= written + n + 250, 30, 0.005)
            load.die()
    with Load(programs, tmp_path, port) as load, HttpReceiver(port=port) as receiver:
        wait_for("everything", lambda: load.flush(1000), 60)
        wait_for("the recorders of the dead", lambda: len(receiver.numbers("logs")) >= 3 * LINES)
        load.stop()
        numbers = receiver.numbers("logs")
        assert len(numbers) == 3 * LINES and sorted(numbers) == list(range(3 * LINES))
        assert list(load.spool.iterdir()) == []


def test_at_the_limit_what_is_lost_is_counted_exactly(programs, tmp_path):
    port = free_ports(1)[0]
    with Load(programs, tmp_path, port, SONDE_SPOOL_BYTES="512k") as load:
        for n in range(0, LINES, 250):
            load.log(n, n + 250)
            assert load.spool_bytes() <= 512 << 10
        assert load.drops()["spool_full"] > 0
        with HttpReceiver(port=port) as receiver:
            wait_for("the rest", lambda: load.flush(1000), 60)
            numbers, drops = receiver.numbers("logs"), load.drops()
            assert numbers == sorted(set(numbers)) and numbers[-1] == LINES - 1
            assert len(numbers) + drops["spool_full"] == LINES
            assert sum(drops.values()) == drops["spool_full"]
            load.stop()


@pytest.mark.parametrize("size,some", [("", False), ("500", True)])
def test_a_queue_size_limits_what_waits(programs, tmp_path, size, some):
    with Load(programs, tmp_path, 1, SONDE_SPOOL_DIR="", SONDE_RECORDER_BYTES="16MiB",
              OTEL_BLRP_MAX_QUEUE_SIZE=size) as load:
        load.log(0, LINES)
        if some:
            wait_for("the limit", lambda: load.drops()["spool_full"] > 0)
        assert load.drops()["spool_full"] < LINES if some else sum(load.drops().values()) == 0
        load.process.kill()


def test_a_receiver_that_hangs_takes_no_room_from_the_lines(programs, tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        with Load(programs, tmp_path, silent.getsockname()[1]) as load:
            load.log(0, LINES)  # far more than the recorder holds; each wait has a limit
            assert load.written() == LINES
            drops = load.drops()
            assert drops["recorder_full"] == 0 and drops["spool_full"] == 0
            load.process.kill()


# ---- the end of a program ----

class Hanging:
    """Accepts and never answers; "tls": an endpoint whose handshake never ends."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.kept = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                self.kept.append(self.socket.accept()[0])
        except OSError:
            pass


RESOLVER = r"""
#include <netdb.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    (void)node, (void)service, (void)hints, (void)ret;
    sleep(60);
    return EAI_AGAIN;
}
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("where", ["refused", "silent", "tls", "unroutable", "resolver"])
def test_the_end_is_delayed_by_the_limit_at_most(programs, tmp_path, where, protocol):
    silent = Hanging()
    env = {**ENVIRONMENT, "SONDE_RECORDER_DIR": str(tmp_path), "SONDE_LOG_OUTPUT": "none",
           "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": {
               "refused": "http://127.0.0.1:1", "silent": "http://127.0.0.1:%d" % silent.port,
               "tls": "https://127.0.0.1:%d" % silent.port, "unroutable": "http://192.0.2.1:4318",
               "resolver": "http://collector.invalid:4318"}[where]}
    program = programs["probe"]
    if where == "resolver":
        source = tmp_path / "resolver.c"
        source.write_text(RESOLVER)
        program = compile_program(os.path.join(ROOT, "tests/interop/export_probe.c"), tmp_path / "probe",
                                  str(source), "-rdynamic")
    started = time.monotonic()
    with Lateness() as late:
        done = subprocess.run([program, "10", "0", "300"], capture_output=True, text=True, timeout=60, env=env)
    took, busy_ms = time.monotonic() - started, late()
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout)
    assert 250 <= said["stop_ms"] <= 300 + 900 + busy_ms, (said, busy_ms)
    assert took < 5 + busy_ms / 1000
    # What was not sent waits for the next start.
    assert [f for f in os.listdir(tmp_path) if f.endswith(".rec")]


def test_describe_says_why_nothing_arrives(programs, tmp_path):
    with Load(programs, tmp_path, 1, OTEL_EXPORTER_OTLP_HEADERS="x-honeycomb-team=planted-secret",
              SONDE_ADMIN_TOKEN="planted-secret", OTEL_BSP_SCHEDULE_DELAY="77") as load:
        load.log(0, 100)
        assert not load.flush(300)
        load.ask("describe")
        text = load.stop()
    assert "sonde 0.1.0: running" in text and "service        load" in text
    assert re.search(r"otlp logs +http/protobuf to http://127.0.0.1:1/v1/logs: waiting for \d+ s "
                     r"\(Couldn't connect to server\)", text), text
    assert re.search(r"logs +100 recorded, nothing dropped", text), text
    assert "  OTEL_BSP_SCHEDULE_DELAY=77  (environment)" in text
    assert "  OTEL_SERVICE_NAME=load  (option)" in text
    assert "  OTEL_PROPAGATORS=tracecontext,baggage  (default)" in text
    assert "  OTEL_EXPORTER_OTLP_LOGS_HEADERS=x-honeycomb-team=[REDACTED]  (environment)" in text
    assert "planted-secret" not in text
