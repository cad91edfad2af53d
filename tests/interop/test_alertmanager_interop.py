# SPDX-License-Identifier: Apache-2.0
"""Debian's amtool, prometheus and prometheus-alertmanager with sonde: amtool works on sonde's alertmanager, a
Prometheus posts its alerts to it, sonde posts its alerts to an Alertmanager, and both send the same JSON."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

from harness import Server, free_ports, get, get_json, post, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from alert_receivers import Webhook  # noqa: E402

CONFIG = """
route:
  receiver: team
  group_by: [alertname]
  group_wait: 0s
  group_interval: 300ms
  repeat_interval: 1h
  routes:
  - matchers: [severity="page"]
    receiver: pager
receivers:
- name: team
  webhook_configs:
  - url: %s
- name: pager
  webhook_configs:
  - url: %s
"""


def need(program):
    if not shutil.which(program):
        pytest.skip("no %s" % program)


def rfc3339(t):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))


def alert(name, ends=None, **labels):
    a = {"labels": {"alertname": name, **labels}, "annotations": {"summary": "of " + name},
         "startsAt": rfc3339(time.time() - 2), "generatorURL": "http://127.0.0.1:1/graph"}
    if ends:
        a["endsAt"] = rfc3339(ends)
    return a


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="sonde-alerts-") as path:
        yield path


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


class Running:
    def __init__(self, folder, name, command):
        self.log = open(os.path.join(folder, name + ".log"), "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def amtool(server, *args):
    done = subprocess.run(["amtool", "--alertmanager.url=" + server.http, *args], capture_output=True,
                          text=True, timeout=30, env={**os.environ, "HOME": "/nonexistent"})
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_amtool_lists_alerts_and_handles_silences(folder):
    need("amtool")
    with Webhook() as hook:
        path = write(folder, "am.yml", CONFIG % (hook.url, hook.url))
        with Server(args=["--alertmanager-config", path]) as s:
            body = json.dumps([alert("Down", severity="page", instance="a"), alert("Slow")]).encode()
            assert post(s.http + "/api/v2/alerts", body)[0] == 200
            shown = json.loads(amtool(s, "alert", "query", "-o", "json"))
            assert sorted(a["labels"]["alertname"] for a in shown) == ["Down", "Slow"]
            assert "of Slow" in amtool(s, "alert", "query", "alertname=~S.*")
            assert "Down" not in amtool(s, "alert", "query", "alertname=~S.*")
            number = amtool(s, "silence", "add", "alertname=Down", "instance=~a|b", "--comment=works",
                            "--author=me", "--duration=1h").strip()
            assert number in amtool(s, "silence", "query")
            (silence,) = json.loads(amtool(s, "silence", "query", "-o", "json"))
            assert silence["comment"] == "works" and silence["createdBy"] == "me"
            assert silence["status"]["state"] == "active"
            assert "Down" not in amtool(s, "alert", "query")
            assert "Down" in amtool(s, "alert", "query", "--silenced")
            amtool(s, "silence", "update", number, "--duration=2h", "--comment=longer")
            changed = json.loads(amtool(s, "silence", "query", "-o", "json"))
            assert [c["comment"] for c in changed] == ["longer"]
            for c in changed:
                amtool(s, "silence", "expire", c["id"])
            assert amtool(s, "silence", "query", "-q") == ""
            assert number in amtool(s, "silence", "query", "-q", "--expired")
            assert "Down" in amtool(s, "alert", "query")
            amtool(s, "alert", "add", "Added", "severity=page", "--annotation=note=x")
            assert "Added" in amtool(s, "alert", "query")
            config = amtool(s, "config", "show")
            assert "receiver: team" in config and hook.url not in config
            assert "pager" in amtool(s, "config", "routes", "test", "severity=page")
            assert "pager" in amtool(s, "config", "routes", "show")
            amtool(s, "check-config", path)
            amtool(s, "cluster", "show")
            export = amtool(s, "silence", "add", "alertname=Slow", "--comment=c", "--author=me")
            assert export.strip() in amtool(s, "silence", "query", "-q", "alertname=Slow")
            amtool_moves_silences(s, folder)


def amtool_moves_silences(s, folder):
    """Exported, expired, imported, which makes new ones of them."""
    exported = amtool(s, "silence", "query", "-o", "json")
    before = amtool(s, "silence", "query", "-q").split()
    amtool(s, "silence", "expire", *before)
    assert amtool(s, "silence", "query", "-q") == ""
    path = write(folder, "silences.json", exported)
    amtool(s, "silence", "import", "--force", path)
    after = amtool(s, "silence", "query", "-q").split()
    assert len(after) == len(before) == 1 and after != before
    fields = [{k: v[k] for k in ("matchers", "comment", "createdBy", "endsAt")}
              for silences in (exported, amtool(s, "silence", "query", "-o", "json"))
              for v in json.loads(silences)]
    assert fields[0] == fields[1]
    done = subprocess.run(["amtool", "--alertmanager.url=" + s.http, "silence", "expire", "nonsense"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "404" in done.stderr
    assert "Slow" not in amtool(s, "alert", "query", "--active")
    assert "Slow" in amtool(s, "alert", "query", "--silenced", "-o", "extended")
    assert "Added" in amtool(s, "alert", "query", "--receiver=pager")
    assert "Added" not in amtool(s, "alert", "query", "--receiver=team")
    tree = amtool(s, "config", "routes", "test", "--tree", "--verify.receivers=pager", "severity=page")
    assert "pager" in tree
    done = subprocess.run(["amtool", "--alertmanager.url=" + s.http, "config", "routes", "test",
                           "--verify.receivers=team", "severity=page"], capture_output=True, timeout=30)
    assert done.returncode == 1


def test_prometheus_posts_its_alerts_to_sonde(folder):
    need("prometheus")
    with Webhook() as hook:
        path = write(folder, "am.yml", CONFIG % (hook.url, hook.url))
        with Server(args=["--alertmanager-config", path]) as s:
            write(folder, "rules.yml", """
groups:
- name: g
  interval: 1s
  rules:
  - alert: Always
    expr: vector(1)
    labels: { severity: page }
    annotations: { summary: "value {{ $value }}" }
""")
            config = write(folder, "prometheus.yml", """
global: { evaluation_interval: 1s, scrape_interval: 1h, external_labels: { cluster: c1 } }
rule_files: [rules.yml]
alerting:
  alertmanagers:
  - api_version: v2
    static_configs: [{ targets: ["%s"] }]
""" % s.http[7:])
            (port,) = free_ports(1)
            with Running(folder, "prometheus",
                         ["prometheus", "--config.file=" + config, "--storage.tsdb.path=" + folder + "/p",
                          "--rules.alert.resend-delay=1s", "--web.listen-address=127.0.0.1:%d" % port]):
                request = wait_for("the alert", hook.taken, 40)[0]
                (told,) = request["body"]["alerts"]
                assert told["labels"] == {"alertname": "Always", "severity": "page", "cluster": "c1"}
                assert told["annotations"] == {"summary": "value 1"}
                assert request["body"]["receiver"] == "pager" and "/graph" in told["generatorURL"]
                page = get("http://127.0.0.1:%d/metrics" % port).decode()
                errors = [line for line in page.splitlines()
                          if line.startswith("prometheus_notifications_errors_total{")]
                assert errors and all(line.endswith(" 0") for line in errors)


def alertmanager(folder, config, port):
    return Running(folder, "alertmanager",
                   ["prometheus-alertmanager", "--config.file=" + config, "--storage.path=" + folder + "/am",
                    "--web.listen-address=127.0.0.1:%d" % port, "--cluster.listen-address="])


def test_alertmanager_and_sonde_send_the_same(folder):
    """The same alerts, given to both, come to the webhook in the same JSON, but for the address."""
    need("prometheus-alertmanager")
    with Webhook() as theirs, Webhook() as ours:
        (port,) = free_ports(1)
        url = "http://127.0.0.1:%d" % port
        mine = write(folder, "ours.yml", CONFIG % (ours.url, ours.url))
        with alertmanager(folder, write(folder, "theirs.yml", CONFIG % (theirs.url, theirs.url)), port), \
                Server(args=["--alertmanager-config", mine]) as s:
            wait_for("the alertmanager", lambda: get(url + "/-/ready") is not None)
            ends = time.time() + 3
            body = json.dumps([alert("One", ends, severity="page", instance="b", job="x"),
                               alert("One", ends, severity="page", instance="a", job="x"),
                               alert("Two", ends, zone='q"\\')]).encode()
            for base in (url, s.http):
                assert post(base + "/api/v2/alerts", body)[0] == 200

            def shape(base):
                return [{k: a[k] for k in a if k not in ("updatedAt", "mutedBy")}
                        | {"status": {k: v for k, v in a["status"].items() if k != "mutedBy"}}
                        for a in get_json(base + "/api/v2/alerts")]

            def groups(base):
                return [(g["labels"], g["receiver"], [a["fingerprint"] for a in g["alerts"]])
                        for g in get_json(base + "/api/v2/alerts/groups")]
            wait_for("the same alerts", lambda: len(shape(url)) == 3 and shape(url) == shape(s.http))
            assert groups(url) == groups(s.http)
            assert get_json(url + "/api/v2/receivers") == get_json(s.http + "/api/v2/receivers")
            assert sorted(get_json(url + "/api/v2/status")) == sorted(get_json(s.http + "/api/v2/status"))

            def told(hook):
                found = {}
                for r in hook.taken():
                    b = dict(r["body"], externalURL="")
                    found[b["groupKey"], b["status"]] = b
                return found
            wait_for("all of theirs", lambda: len(told(theirs)) == 4, 30)
            wait_for("all of ours", lambda: len(told(ours)) == 4, 30)
            for key, body in told(theirs).items():
                assert told(ours)[key] == body, key


def test_sonde_posts_its_alerts_to_an_alertmanager(folder):
    need("prometheus-alertmanager")
    with Webhook() as hook:
        (port,) = free_ports(1)
        url = "http://127.0.0.1:%d" % port
        rules = write(folder, "rules.yml", """
groups:
- name: g
  interval: 1s
  rules:
  - alert: Always
    expr: vector(1)
    annotations: { summary: "value {{ $value }}" }
""")
        with Server(args=["--rules", rules, "--alertmanager", url]) as s:
            wait_for("requests that fail", lambda: [
                line for line in get(s.http + "/metrics").decode().splitlines()
                if line.startswith("prometheus_notifications_errors_total{") and not line.endswith(" 0")], 40)
            with alertmanager(folder, write(folder, "am.yml", CONFIG % (hook.url, hook.url)), port):
                (told,) = wait_for("the alert", hook.taken, 40)[0]["body"]["alerts"]
                assert told["labels"] == {"alertname": "Always"}
                assert told["annotations"] == {"summary": "value 1"}
                active = get_json(s.http + "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
                assert active == [{"url": url + "/api/v2/alerts"}]
