# SPDX-License-Identifier: Apache-2.0
"""What a receiver acknowledged reaches an exporter's far side: through kill -9 and the power cut, while
that side fails at random, in order per sender, and nothing changed.

Each round a server with `otlp -> batch -> otlphttp` is killed at a random moment while numbered logs,
spans and points come in; the next one goes on. At the end the receiver must have each acknowledged
item, and the first copies of each sender's items in the order in which they were sent. `./test full`
runs 200 rounds of each kind."""
import hashlib
import http.client
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time

import pytest

import far_side
from harness import FULL, ROOT, Server, asan_library, attributes, free_ports, get, wait_for
from test_powercut import cut_power

ROUNDS = 200 if FULL else 6
SENDERS = 3
CONFIG = """
receivers:
  otlp:
    protocols:
      http: { endpoint: '127.0.0.1:%(port)d' }
exporters:
  otlphttp:
    endpoint: http://127.0.0.1:%(far)d
    encoding: json
    timeout: 5s
    retry_on_failure: { initial_interval: 10ms, max_interval: 50ms, max_elapsed_time: 0 }
processors:
  batch: { timeout: 20ms, send_batch_size: 100 }
extensions:
  sonde_web: { endpoint: '127.0.0.1:%(web)d' }
service:
  extensions: [sonde_web]
  pipelines:
    logs: { receivers: [otlp], processors: [batch], exporters: [otlphttp] }
    traces: { receivers: [otlp], processors: [batch], exporters: [otlphttp] }
    metrics: { receivers: [otlp], processors: [batch], exporters: [otlphttp] }
"""


class FarSide(far_side.FarSide):
    """Fails `fail` of its requests, before or after it took them."""
    def __init__(self, fail=0.3):
        self.fail, self.requests = fail, 0
        super().__init__()

    def items(self, kind):
        with self.lock:
            return [i for k, i in self.got if k == kind]

    def take(self, signal, request):
        luck = random.random() / max(self.fail, 1e-9)
        self.requests += 1
        if luck < 0.4:
            return 503, {}
        if luck < 0.5:
            return None
        with self.lock:
            self.got += [(signal, i) for i in numbered(signal, request)]
        if luck < 0.8:
            return 429, {"Retry-After": "0"}
        return None if luck < 1 else (200, {})  # None: taken, and nobody is told


def rows_of(kind, request):
    if kind == "logs":
        return [r for a in request["resourceLogs"] for b in a["scopeLogs"] for r in b["logRecords"]]
    if kind == "traces":
        return [r for a in request["resourceSpans"] for b in a["scopeSpans"] for r in b["spans"]]
    return [r for a in request["resourceMetrics"] for b in a["scopeMetrics"] for m in b["metrics"]
            for r in m["gauge"]["dataPoints"]]


def numbered(kind, request):
    """(sender, n) of each row, in order; its content must be what that number says."""
    out = []
    for row in rows_of(kind, request):
        a = {x["key"]: list(x["value"].values())[0] for x in row["attributes"]}
        n = int(a["n"])
        assert a["check"] == hashlib.md5(("%s %d" % (a["sender"], n)).encode()).hexdigest(), row
        out.append((a["sender"], n))
    return out


class Sender(threading.Thread):
    """Posts one batch after the other until the connection breaks; keeps what was acknowledged."""

    def __init__(self, port, tag, counts=(1, 5, 40), limit=None):
        super().__init__(daemon=True)
        self.port, self.tag, self.counts, self.limit = port, tag, counts, limit
        self.acked = {"logs": [], "traces": [], "metrics": []}
        self.refused = []

    def body(self, kind, numbers):
        now = time.time_ns()
        resource = {"attributes": attributes({"service.name": "pc"})}

        def own(n):
            check = hashlib.md5(("%s %d" % (self.tag, n)).encode()).hexdigest()
            return attributes({"n": n, "sender": self.tag, "check": check})
        if kind == "logs":
            rows = [{"timeUnixNano": str(now + n), "body": {"stringValue": "item %d" % n}, "attributes": own(n)}
                    for n in numbers]
            return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": rows}]}]}
        if kind == "traces":
            rows = [{"traceId": "%032x" % (n + 1), "spanId": "%016x" % (n + 1), "name": "s",
                     "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 1000), "attributes": own(n)}
                    for n in numbers]
            return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": rows}]}]}
        points = [{"timeUnixNano": str(now), "asDouble": n, "attributes": own(n)} for n in numbers]
        return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [
            {"metrics": [{"name": "pc_item", "gauge": {"dataPoints": points}}]}]}]}

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        n = 0
        try:
            while self.limit is None or n < self.limit:
                for kind in self.acked:
                    numbers = range(n, n + random.choice(self.counts))
                    connection.request("POST", "/v1/" + kind, json.dumps(self.body(kind, numbers)).encode(),
                                       {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    text = answer.read()
                    if answer.status == 200:
                        self.acked[kind] += numbers
                    else:
                        self.refused.append((answer.status, dict(answer.headers), text[:300]))
                        if answer.status == 429:
                            time.sleep(0.01)
                    n = numbers.stop
        except (OSError, http.client.HTTPException):
            pass
        connection.close()


def missing(far, senders):
    """What was acknowledged and did not arrive, or not in order."""
    out = []
    for kind in ("logs", "traces", "metrics"):
        got = {}
        for tag, n in far.items(kind):
            got.setdefault(tag, []).append(n)
        for sender in senders:
            have = list(dict.fromkeys(got.get(sender.tag, [])))
            lost = sorted(set(sender.acked[kind]) - set(have))
            if lost:
                out.append("%s of %s: %d of %d lost: %s" % (kind, sender.tag, len(lost),
                                                            len(sender.acked[kind]), lost[:5]))
            if have != sorted(have):
                out.append("%s of %s: not in order" % (kind, sender.tag))
    return out


class Collector:
    """A sonde with a configuration of its own, on free ports that stay."""

    def __init__(self, config, far, **values):
        self.dir = tempfile.mkdtemp(prefix="sonde-collector-")
        self.data, self.file = os.path.join(self.dir, "data"), os.path.join(self.dir, "collector.yaml")
        self.port, self.web = free_ports(2)
        self.values = dict(values, port=self.port, web=self.web, far=far)
        self.write(config)
        self.server = None

    def write(self, config):
        with open(self.file + ".new", "w") as f:
            f.write(config % self.values)
        os.rename(self.file + ".new", self.file)

    def start(self, args=(), env=None, preload=None):
        self.server = Server(data=self.data, args=["--config", self.file, *args], env=env, preload=preload)
        self.server.http = "http://127.0.0.1:%d" % self.web
        os.makedirs(self.data, exist_ok=True)
        return self.server.start()

    def metric(self, name, **labels):
        """The sum over all samples of that name with these labels."""
        total = 0
        for line in get(self.server.http + "/metrics").decode().splitlines():
            if line.startswith(name + "{") or line.startswith(name + " "):
                if all('%s="%s"' % (k, v) in line for k, v in labels.items()):
                    total += float(line.rsplit(" ", 1)[1])
        return total

    def end(self):
        code = self.server.stop() if self.server else 0
        text = self.server.output() if self.server else ""
        shutil.rmtree(self.dir, ignore_errors=True)
        assert code == 0, text[-4000:]
        assert "AddressSanitizer" not in text and "runtime error" not in text, text[-4000:]


def run_rounds(rounds, shim=None, fail=0.3):
    far = FarSide(fail)
    shadow = tempfile.mkdtemp(prefix="sonde-shadow-")
    c = Collector(CONFIG, far.port)
    env = {"POWERCUT_DIR": c.data, "POWERCUT_SHADOW": shadow, "POWERCUT_SKIP": ""} if shim else None
    senders = []
    try:
        for number in range(rounds):
            if shim:
                shutil.rmtree(shadow)
                os.makedirs(shadow)
            c.start(env=env, preload=shim)
            now = [Sender(c.port, "r%d-%d" % (number, i)) for i in range(SENDERS)]
            senders += now
            for s in now:
                s.start()
            want = random.randint(1, 30)
            wait_for("acknowledged items", lambda: sum(len(s.acked["metrics"]) for s in now) >= want, 30,
                     every=0.002)
            time.sleep(random.random() * 0.1)  # the moment of the end, not a wait for anything
            c.server.kill()
            for s in now:
                s.join(30)
                assert not s.refused, s.refused[:3]
            if shim:
                cut_power(c.data, shadow)
        c.start()
        wait_for("all to arrive", lambda: not missing(far, senders), 60 + 2 * rounds, every=1)
        acked = sum(len(a) for s in senders for a in s.acked.values())
        print("%d rounds, %d items acknowledged, %d arrived, %d requests" % (
            rounds, acked, sum(len(far.items(k)) for k in ("logs", "traces", "metrics")), far.requests))
        return acked
    finally:
        try:
            found = missing(far, senders)
            c.end()
            assert not found, found
        finally:
            far.end()
            shutil.rmtree(shadow, ignore_errors=True)


def test_acknowledged_items_arrive_after_kill_9():
    assert run_rounds(ROUNDS) > 0


def test_acknowledged_items_arrive_after_the_power_cut():
    where = tempfile.mkdtemp(prefix="sonde-shim-")
    path = os.path.join(where, "shim.so")
    subprocess.run(["gcc", "-O1", "-g", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", path,
                    os.path.join(ROOT, "tests/e2e/powercut_shim.c"), "-ldl"], check=True)
    try:
        assert run_rounds(ROUNDS, " ".join(filter(None, [asan_library(), path]))) > 0
    finally:
        shutil.rmtree(where)


@pytest.fixture
def far():
    side = FarSide(0)
    yield side
    side.end()


def test_a_dead_far_side_pushes_back_and_nothing_is_lost(far):
    """At the log's limit senders are told to wait, memory does not grow, and all of it arrives later."""
    far.fail = 1e9  # refuses everything
    c = Collector(CONFIG, far.port)
    # What the sanitizer keeps of freed memory is not the server's.
    c.start(["--intake-limit", "2MiB"], env={"ASAN_OPTIONS": ":".join(
        filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=1"]))})
    try:
        pid = c.server.process.pid
        s = Sender(c.port, "a", counts=(200,))
        s.start()
        wait_for("the limit", lambda: len(s.refused) > 5, 60)
        status, headers, text = s.refused[0]
        assert status == 429 and headers["Retry-After"] == "1"
        assert b"otlphttp" in text, text
        before = resident(pid)
        wait_for("more refusals", lambda: len(s.refused) > 100, 60)
        assert resident(pid) < before + 32 * 2**20
        far.fail = 0
        refused = len(s.refused)
        sent = len(s.acked["logs"])
        wait_for("more to be taken", lambda: len(s.acked["logs"]) > sent + 1000, 60)
        s.limit = 0
        s.join(60)
        wait_for("all to arrive", lambda: not missing(far, [s]), 60, every=0.2)
        assert refused
        assert c.metric("sonde_exporter_retries_total", component="otlphttp") > 0
        for signal, kind in (("logs", "logs"), ("traces", "traces"), ("metrics", "metrics")):
            accepted = c.metric("sonde_receiver_accepted_items_total", receiver="otlp", signal=signal)
            assert accepted == len(s.acked[kind])
            wait_for("its count", lambda: c.metric("sonde_exporter_sent_items_total", signal=signal) == accepted)
        assert c.metric("sonde_component_dropped_items_total") == 0
    finally:
        c.end()


def resident(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * 4096


RELOADED = CONFIG.replace("batch: { timeout: 20ms, send_batch_size: 100 }",
                          "batch: { timeout: 5ms, send_batch_size: 7 }")


def test_a_reload_loses_nothing_and_a_bad_file_keeps_the_old_one(far):
    far.fail = 0.2
    c = Collector(CONFIG, far.port)
    server = c.start()
    try:
        s = Sender(c.port, "a", counts=(1, 3, 9))
        s.start()
        for number in range(6):
            taken = len(s.acked["logs"])
            wait_for("items", lambda: len(s.acked["logs"]) > taken + 20, 30)
            c.write(RELOADED if number % 2 == 0 else CONFIG)
            if number % 2:
                server.process.send_signal(1)  # SIGHUP
            wait_for("the reload", lambda: server.output().count("configuration_reloaded") > number, 30)
        reloads = server.output().count("configuration_reloaded")
        c.write(CONFIG.replace("endpoint: http://", "endpont: http://"))
        wait_for("the refusal", lambda: "configuration_refused" in server.output(), 30)
        assert 'collector.yaml:8:5: exporter otlphttp: unknown option \\"endpont\\"' in server.output()
        taken = len(s.acked["logs"])
        wait_for("items", lambda: len(s.acked["logs"]) > taken + 20, 30)
        assert server.output().count("configuration_reloaded") == reloads
        s.limit = 0
        s.join(60)
        assert not s.refused, s.refused[:3]
        wait_for("all to arrive", lambda: not missing(far, [s]), 60, every=0.2)
    finally:
        c.end()


def test_an_exporter_that_is_taken_out_holds_the_log_no_more(far):
    far.fail = 1e9
    c = Collector(CONFIG, far.port)
    server = c.start(["--intake-limit", "2MiB"])
    try:
        s = Sender(c.port, "a", counts=(200,))
        s.start()
        wait_for("the limit", lambda: len(s.refused) > 5, 60)
        c.write(CONFIG.replace("otlphttp", "debug", 1).replace("[otlphttp]", "[debug]")
                .replace("    endpoint: http://127.0.0.1:%(far)d\n", "").replace("    encoding: json\n", "")
                .replace("    timeout: 5s\n", "")
                .replace("    retry_on_failure: { initial_interval: 10ms, max_interval: 50ms, max_elapsed_time: 0 }\n",
                         "    verbosity: basic\n"))
        wait_for("the reload", lambda: "configuration_reloaded" in server.output(), 30)
        assert "exporter_forgotten" in server.output()
        taken = len(s.acked["logs"])
        wait_for("items", lambda: len(s.acked["logs"]) > taken + 400, 30)
        s.limit = 0
        s.join(60)
    finally:
        c.end()


def test_memory_limiter_refuses_what_goes_through_it_and_nothing_else(far):
    c = Collector(CONFIG.replace("batch: {", "memory_limiter: { check_interval: 100ms, limit_mib: 2 }\n"
                                 "  batch: {", 1)
                  .replace("traces: { receivers: [otlp], processors: [batch]",
                           "traces: { receivers: [otlp], processors: [memory_limiter, batch]"), far.port)
    c.start()
    try:
        s = Sender(c.port, "a", counts=(1,), limit=30)
        s.run()
        assert not s.acked["traces"] and s.acked["logs"] and s.acked["metrics"]
        assert {code for code, _, _ in s.refused} == {429}
        assert all(b"memory_limiter" in text for _, _, text in s.refused)
        wait_for("the rest to arrive", lambda: not missing(far, [s]))
    finally:
        c.end()
