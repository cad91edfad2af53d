# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged survives the power cut.

Under powercut_shim.c the server's disk forgets every byte and every name that no returned sync
covers. Each round: senders post numbered logs, spans and samples and note what was acknowledged; the
server is killed at a random moment; the data directory becomes what the shadow holds; the next round's
server must have each acknowledged item exactly once. `./test full` runs 200 rounds, `./test` 12.

That the test can fail is shown by the test itself: with POWERCUT_SKIP=file (no file sync covers
anything) and POWERCUT_SKIP=dir (no directory sync does) it must find losses. Taking a single sync out
of the code was tried too, and each was found in 12 rounds: the fdatasync of the intake log's records,
the directory sync of a new segment, the fdatasync of a part, the directory sync of a part.
"""
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
from alert_receivers import Webhook

from harness import FULL, ROOT, Server, asan_library, attributes, get_json, wait_for

ROUNDS = 200 if FULL else 12
SENDERS = 3
# Most rounds seal and merge parts while the senders send and the power goes.
SEAL_AFTER = ("5ms", "20ms", "60s")


@pytest.fixture(scope="module")
def shim():
    where = tempfile.mkdtemp(prefix="sonde-shim-")
    path = os.path.join(where, "shim.so")
    subprocess.run(["gcc", "-O1", "-g", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", path,
                    os.path.join(ROOT, "tests/e2e/powercut_shim.c"), "-ldl"], check=True)
    yield " ".join(filter(None, [asan_library(), path]))
    shutil.rmtree(where)


class Sender(threading.Thread):
    """Posts one batch after the other until the connection breaks; keeps what was acknowledged."""

    def __init__(self, server, round_number, number):
        super().__init__()
        self.server, self.tag = server, "r%d-%d" % (round_number, number)
        self.id = hashlib.md5(self.tag.encode()).hexdigest()[:16]
        self.acked = {"logs": [], "traces": [], "metrics": []}
        self.refused = []

    def body(self, kind, first, count):
        now = time.time_ns()
        resource = {"attributes": attributes({"service.name": "pc", "sender": self.tag})}
        numbers = range(first, first + count)
        if kind == "logs":
            rows = [{"timeUnixNano": str(now + n), "body": {"stringValue": "item %d" % n},
                     "attributes": attributes({"n": n})} for n in numbers]
            return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": rows}]}]}
        if kind == "traces":
            rows = [{"traceId": self.id + "%016x" % (first + 1), "spanId": "%016x" % (n + 1), "name": self.tag,
                     "startTimeUnixNano": str(now + n), "endTimeUnixNano": str(now + n + 1000),
                     "attributes": attributes({"n": n, "sender": self.tag})} for n in numbers]
            return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": rows}]}]}
        points = [{"timeUnixNano": str(now), "asDouble": n,
                   "attributes": attributes({"n": str(n), "sender": self.tag})} for n in numbers]
        metric = {"name": "pc_item", "gauge": {"dataPoints": points}}
        return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}

    def run(self):
        host = self.server.otlp[7:]
        connection = http.client.HTTPConnection(host, timeout=30)
        n = 0
        try:
            while True:
                for kind in self.acked:
                    count = random.choice((1, 5, 40))
                    connection.request("POST", "/v1/" + kind,
                                       json.dumps(self.body(kind, n, count)).encode(),
                                       {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    text = answer.read()
                    if answer.status == 200:
                        self.acked[kind] += range(n, n + count)
                    else:
                        self.refused.append((answer.status, text[:200]))
                    n += count
        except (OSError, http.client.HTTPException):
            connection.close()


def rebuild(shadow, number, to):
    """The directory that the shadow describes."""
    os.makedirs(to, exist_ok=True)
    listing = os.path.join(shadow, "d%d" % number)
    if not os.path.exists(listing):
        return
    with open(listing) as f:
        for line in f:
            kind, entry, name = line.rstrip("\n").split(" ", 2)
            path = os.path.join(to, name)
            if kind == "d":
                rebuild(shadow, int(entry), path)
            elif os.path.exists(os.path.join(shadow, "f" + entry)):
                shutil.copyfile(os.path.join(shadow, "f" + entry), path)
            else:
                open(path, "w").close()


def cut_power(data, shadow):
    shutil.rmtree(data)
    rebuild(shadow, 1, data)


def stored(server, tag):
    """{kind: sorted numbers} that the server gives for one sender."""
    logs = [int(fields["n"]) for _, _, fields in
            server.logs('{service="pc", sender="%s"}' % tag)]
    spans = []
    for trace in server.traces("pc", limit=1500, tags=json.dumps({"sender": tag})):
        for span in trace["spans"]:
            spans += [int(t["value"]) for t in span["tags"] if t["key"] == "n"]
    series = server.promql('last_over_time(pc_item{sender="%s"}[1h])' % tag)
    return {"logs": sorted(logs), "traces": sorted(spans),
            "metrics": sorted(int(s["metric"]["n"]) for s in series)}


def missing_and_doubled(server, senders):
    out = []
    for sender in senders:
        have = stored(server, sender.tag)
        for kind, acked in sender.acked.items():
            lost = set(acked) - set(have[kind])
            doubled = len(have[kind]) - len(set(have[kind]))
            if lost or doubled:
                out.append("%s of %s: %d of %d lost (%s), %d doubled" % (
                    kind, sender.tag, len(lost), len(acked), sorted(lost)[:5], doubled))
    return out


def clean_up(server, data, shadow):
    if server and server.process.poll() is None:
        server.kill()
    for path in (data, shadow):
        shutil.rmtree(path, ignore_errors=True)
    if os.path.exists(data + ".log"):
        os.remove(data + ".log")


def run_rounds(shim, rounds, skip="", seed=1):
    """What was lost or doubled, as text lines; empty when the promise holds."""
    random.seed(seed)
    data, shadow = tempfile.mkdtemp(prefix="sonde-pc-"), tempfile.mkdtemp(prefix="sonde-shadow-")
    findings, senders, acked = [], [], 0
    env = {"POWERCUT_DIR": data, "POWERCUT_SHADOW": shadow, "POWERCUT_SKIP": skip}
    server = None
    try:
        for number in range(rounds + 1):
            shutil.rmtree(shadow)
            os.makedirs(shadow)
            os.makedirs(data, exist_ok=True)
            args = ["--seal-after", random.choice(SEAL_AFTER)]
            server = Server(data=data, args=args, env=env, preload=shim).start()
            findings += missing_and_doubled(server, senders)
            if findings or number == rounds:
                break
            senders = [Sender(server, number, i) for i in range(SENDERS)]
            for sender in senders:
                sender.start()
            want = random.randint(1, 12)
            wait_for("acknowledged items", lambda: sum(
                len(s.acked["metrics"]) for s in senders) >= want or not any(
                    s.is_alive() for s in senders), 30, every=0.002)
            time.sleep(random.random() * 0.05)  # the moment of the cut, not a wait for anything
            server.kill()
            for sender in senders:
                sender.join()
                assert not sender.refused, sender.refused[:3]
            acked += sum(len(a) for s in senders for a in s.acked.values())
            cut_power(data, shadow)
        if not findings:
            assert server.stop() == 0, server.output()[-3000:]
            text = server.output()
            assert "AddressSanitizer" not in text and "runtime error" not in text, text[-4000:]
        print("%d rounds, %d items acknowledged" % (number, acked))
    finally:
        clean_up(server, data, shadow)
    return findings


def test_acknowledged_items_survive_the_power_cut(shim):
    assert run_rounds(shim, ROUNDS, seed=int(time.time())) == []


@pytest.mark.parametrize("skip", ["file", "dir"])
def test_without_one_sync_items_are_lost(shim, skip):
    try:
        findings = run_rounds(shim, 6, skip=skip)
    except (AssertionError, RuntimeError) as e:
        findings = [str(e)]  # a directory too damaged to start on is a loss as well
    assert findings, "no %s sync covered anything, and nothing was lost: the test is blind" % skip


class AlertGiver(threading.Thread):
    """Gives alerts and sets silences until the connection breaks; keeps what was acknowledged."""

    def __init__(self, server, round_number):
        super().__init__()
        self.server, self.tag = server, "r%d" % round_number
        self.alerts, self.silences, self.expired = [], [], []

    def request(self, connection, method, path, value=None):
        connection.request(method, "/api/v2/" + path, json.dumps(value) if value else None,
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text) if text else None

    def run(self):
        connection = http.client.HTTPConnection(self.server.http[7:], timeout=30)
        n = 0
        try:
            while True:
                name = "%s-%d" % (self.tag, n)
                self.request(connection, "POST", "alerts", [{"labels": {"alertname": name}}])
                self.alerts.append(name)
                at = time.time()
                made = self.request(connection, "POST", "silences", {
                    "matchers": [{"name": "other", "value": name, "isRegex": False}], "createdBy": "me",
                    "comment": name, "startsAt": rfc3339(at), "endsAt": rfc3339(at + 3600)})
                self.silences.append(made["silenceID"])
                if n % 3 == 0:
                    self.request(connection, "DELETE", "silence/" + made["silenceID"])
                    self.expired.append(made["silenceID"])
                n += 1
        except (OSError, http.client.HTTPException):
            connection.close()


def rfc3339(t):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))


def alerts_missing(server, givers):
    """What was acknowledged and is not there, as text lines."""
    alerts = {a["labels"]["alertname"] for a in get_json(server.http + "/api/v2/alerts")}
    states = {s["id"]: s["status"]["state"] for s in get_json(server.http + "/api/v2/silences")}
    out = []
    for g in givers:
        out += ["alert " + name for name in g.alerts if name not in alerts]
        out += ["silence " + number for number in g.silences if number not in states]
        out += ["end of silence " + number for number in g.expired if states.get(number) != "expired"]
    return out


def run_alert_rounds(shim, rounds, skip="", seed=1):
    """What was lost in alertmanager.db, and notifications that came twice with two keys."""
    random.seed(seed)
    data, shadow = tempfile.mkdtemp(prefix="sonde-pc-"), tempfile.mkdtemp(prefix="sonde-shadow-")
    env = {"POWERCUT_DIR": data, "POWERCUT_SHADOW": shadow, "POWERCUT_SKIP": skip}
    givers, findings, server = [], [], None
    with Webhook() as hook, tempfile.NamedTemporaryFile("w", suffix=".yml") as config:
        config.write("route: {receiver: r, group_by: [alertname], group_wait: 10ms, group_interval: 50ms}\n"
                     "receivers: [{name: r, webhook_configs: [{url: '%s'}]}]\n" % hook.url)
        config.flush()
        try:
            for number in range(rounds + 1):
                shutil.rmtree(shadow)
                os.makedirs(shadow)
                os.makedirs(data, exist_ok=True)
                server = Server(data=data, args=["--alertmanager-config", config.name], env=env,
                                preload=shim).start()
                findings += alerts_missing(server, givers)
                if findings or number == rounds:
                    break
                givers.append(AlertGiver(server, number))
                givers[-1].start()
                want = random.randint(1, 8)
                wait_for("acknowledged alerts", lambda: len(givers[-1].alerts) >= want, 30, every=0.002)
                time.sleep(random.random() * 0.05)  # the moment of the cut, not a wait for anything
                server.kill()
                givers[-1].join()
                cut_power(data, shadow)
            if not findings:
                names = {name for g in givers for name in g.alerts}
                wait_for("all notifications", lambda: names <= set(told(hook)), 30)
                findings += ["%s was told with the keys %s" % (name, keys)
                             for name, keys in told(hook).items() if len(keys) > 1]
                assert server.stop() == 0, server.output()[-3000:]
        finally:
            clean_up(server, data, shadow)
    return findings


def told(hook):
    """{alert: the idempotency keys that it was told with}"""
    keys = {}
    for r in hook.all():
        for a in r["body"]["alerts"]:
            keys.setdefault(a["labels"]["alertname"], set()).add(r["key"])
    return keys


def test_alerts_and_silences_survive_the_power_cut(shim):
    assert run_alert_rounds(shim, ROUNDS // 2, seed=int(time.time())) == []


def test_without_the_sync_alerts_are_lost(shim):
    try:
        findings = run_alert_rounds(shim, 4, skip="file")
    except (AssertionError, RuntimeError) as e:
        findings = [str(e)]
    assert findings, "no sync covered anything, and nothing was lost: the test is blind"
