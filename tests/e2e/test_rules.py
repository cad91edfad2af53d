# SPDX-License-Identifier: Apache-2.0
"""Recording and alerting rules in the running server: on time, over reloads, kills and time away."""
import calendar
import http.server
import json
import os
import signal
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness import FULL, ROOT, SONDE, Server, get, get_json, post, wait_for
from remote_write import STALE, V1, V2, native, request1, request2, snappy

CORPUS = os.path.join(os.path.dirname(ROOT), "shared", "corpus", "rules")
CONFIG = """
extensions:
  sonde_web: {endpoint: "%(http)s"}
  sonde_rules:
    rule_files: ["%(rules)s"]
    grace_period: 0s
    catch_up_delay: 1s
    external_labels: {site: here}
    external_url: https://sonde.example/
receivers:
  prometheusremotewrite: {endpoint: "%(http)s"}
exporters:
  sonde: {}
service:
  extensions: [sonde_web, sonde_rules]
  pipelines:
    metrics: {receivers: [prometheusremotewrite], exporters: [sonde]}
"""


class Alertmanager:
    """Takes POST /api/v2/alerts and remembers them."""

    def __enter__(self):
        self.alerts = alerts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                alerts.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def send(s, name, value, at=None, **labels):
    at = time.time() if at is None else at
    body = request1([({"__name__": name, **labels}, [(int(at * 1000), value)])])
    status, _, answer = post(s.http + "/api/v1/write", snappy(body), V1, {"Content-Encoding": "snappy"})
    assert status in (200, 204), answer


def group(*rules, interval="1s", **more):
    return {"name": more.pop("name", "g"), "interval": interval, "rules": list(rules), **more}


def put(path, *groups):
    """A whole file at once, as editors do that replace it."""
    with open(str(path) + ".new", "w") as f:
        json.dump({"groups": list(groups)}, f)  # JSON is YAML
    os.rename(str(path) + ".new", path)


def rules(s, **query):
    return get_json(s.http + "/api/v1/rules?" + urllib.parse.urlencode(query, doseq=True))["data"]["groups"]


def alerts(s):
    return get_json(s.http + "/api/v1/alerts")["data"]["alerts"]


def value(s, query, at=None):
    result = s.promql(query, at)
    return float(result[0]["value"][1]) if result else None


def configured(tmp_path):
    """A server whose settings the flags do not have."""
    s = Server(args=["--config", str(tmp_path / "sonde.yaml")])
    (tmp_path / "sonde.yaml").write_text(CONFIG % {"http": s.http[7:], "rules": tmp_path / "r.yaml"})
    return s


def test_rules_record_and_alerts_fire_and_resolve(tmp_path):
    put(tmp_path / "r.yaml", group(
        {"record": "job:x:sum", "expr": "sum by (job) (x)", "labels": {"from": "rule"}},
        {"alert": "High", "expr": 'job:x:sum > 5', "for": "1s", "labels": {"severity": "page"},
         "annotations": {"summary": "{{ $labels.job }} is {{ $value | humanize }}"}}))
    with Alertmanager() as am, Server(args=["--rules", str(tmp_path), "--alertmanager", am.url,
                                           "--external-url", "https://sonde.example"]) as s:
        send(s, "x", 3, job="api", instance="1")
        wait_for("the recorded series", lambda: value(s, 'job:x:sum{job="api",from="rule"}') == 3)
        assert rules(s)[0]["rules"][1]["state"] == "inactive"
        send(s, "x", 7, job="api", instance="2")
        wait_for("firing", lambda: rules(s)[0]["rules"][1]["state"] == "firing")
        alert, = alerts(s)
        assert alert["labels"] == {"alertname": "High", "job": "api", "severity": "page", "from": "rule"}
        assert alert["annotations"] == {"summary": "api is 10"} and alert["value"] == "1e+01"
        wait_for("ALERTS", lambda: value(s, 'ALERTS{alertstate="firing",job="api"}') == 1)
        assert value(s, "ALERTS_FOR_STATE") == int(value(s, "ALERTS_FOR_STATE")) > time.time() - 60
        told = wait_for("the Alertmanager to be told", lambda: am.alerts)[0]
        assert told["labels"] == alert["labels"] and told["annotations"] == alert["annotations"]
        assert told["generatorURL"] == "https://sonde.example/graph?g0.expr=job%3Ax%3Asum+%3E+5&g0.tab=1"
        send(s, "x", STALE, job="api", instance="2")
        wait_for("it to be resolved", lambda: alerts(s) == [])
        wait_for("the Alertmanager to be told", lambda: am.alerts[-1]["endsAt"] <= time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2)))
        wait_for("ALERTS to end", lambda: s.promql("ALERTS") == [])
        page = get(s.http + "/metrics").decode()
        key = '{rule_group="%s;g"}' % (tmp_path / "r.yaml")
        assert "prometheus_rule_group_rules%s 2" % key in page
        assert "prometheus_rule_evaluation_failures_total%s 0" % key in page


def test_alerts_are_relabeled_before_anybody_is_told(tmp_path):
    put(tmp_path / "r.yaml", group(*({"alert": name, "expr": "vector(1)", "labels": {"team": team}}
                                     for name, team in (("One", "a"), ("Two", "b"), ("Quiet", "c")))))
    relabeling = """
    resend_delay: 1s
    alert_relabel_configs:
      - {source_labels: [alertname], regex: Quiet, action: drop}
      - {source_labels: [team, site], regex: "(.*);(.*)", target_label: where, replacement: "$$2-$$1"}
      - {regex: team, action: labeldrop}
    alertmanagers:
      - static_configs: [{targets: ["%s"]}]
        path_prefix: /prefix
        api_version: v2
"""
    with Alertmanager() as am, configured(tmp_path) as s:
        server = s
        text = (tmp_path / "sonde.yaml").read_text()
        changed = text.replace("    external_url:", relabeling[1:] % am.url[7:] + "    external_url:")
        (tmp_path / "sonde.yaml").write_text(changed)
        server.stop()
        server.start()
        outside = wait_for("both to be told", lambda: len(am.alerts) >= 2 and am.alerts)
        expected = [{"alertname": "One", "site": "here", "where": "here-a"},
                    {"alertname": "Two", "site": "here", "where": "here-b"}]
        assert sorted((a["labels"] for a in outside[:2]), key=str) == expected
        own = wait_for("the built-in one", lambda: get_json(s.http + "/api/v2/alerts"))
        assert sorted((a["labels"] for a in own), key=str) == expected
        assert {a["labels"]["alertname"] for a in alerts(s)} == {"One", "Two", "Quiet"}
        active = get_json(s.http + "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        assert active == [{"url": am.url + "/prefix/api/v2/alerts"}]
        # Other rules, without a start.
        (tmp_path / "sonde.yaml").write_text(changed.replace("regex: Quiet", "regex: One"))
        s.process.send_signal(signal.SIGHUP)
        wait_for("the other alert", lambda: "Quiet" in {
            a["labels"]["alertname"] for a in get_json(s.http + "/api/v2/alerts")})
        assert "restart_needed" not in s.output()
        (tmp_path / "sonde.yaml").write_text(changed.replace("path_prefix: /prefix", "path_prefix: /other"))
        s.process.send_signal(signal.SIGHUP)
        wait_for("what other addresses need", lambda: "restart_needed" in s.output())
    wrong = changed.replace("regex: Quiet", "regex: '('")
    (tmp_path / "wrong.yaml").write_text(wrong)
    done = subprocess.run([SONDE, "check", "config", str(tmp_path / "wrong.yaml")], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 3 and "alert_relabel_configs[0].regex" in done.stdout + done.stderr


def test_filters_and_pages_of_the_rules_api(tmp_path):
    put(tmp_path / "r.yaml",
        group({"record": "a", "expr": "vector(1)"},
              {"alert": "B", "expr": "vector(1)", "labels": {"t": "x"}}),
        group({"record": "c", "expr": "vector(1)"}, name="h"))
    with Server(args=["--rules", str(tmp_path / "*.yaml")]) as s:
        def names(**query):
            return [(g["name"], [r["name"] for r in g["rules"]]) for g in rules(s, **query)]
        assert names() == [("g", ["a", "B"]), ("h", ["c"])]
        assert names(type="record") == [("g", ["a"]), ("h", ["c"])]
        assert names(type="alert") == [("g", ["B"])]
        assert names(**{"rule_name[]": ["a", "c"]}) == [("g", ["a"]), ("h", ["c"])]
        assert names(**{"rule_group[]": "h"}) == [("h", ["c"])]
        assert names(**{"file[]": "/nowhere"}) == []
        assert names(**{"match[]": '{t=~"x.*"}'}) == [("g", ["B"])]
        wait_for("the alert", lambda: rules(s, type="alert")[0]["rules"][0]["alerts"])
        assert rules(s, type="alert", exclude_alerts="true")[0]["rules"][0]["alerts"] is None
        page = get_json(s.http + "/api/v1/rules?group_limit=1")["data"]
        assert [g["name"] for g in page["groups"]] == ["g"]
        token = page["groupNextToken"]
        page = get_json(s.http + "/api/v1/rules?group_limit=1&group_next_token=" + token)["data"]
        assert [g["name"] for g in page["groups"]] == ["h"] and "groupNextToken" not in page
        for wrong in ("type=x", "exclude_alerts=maybe", "group_limit=0", "group_next_token=x", "match[]={",
                      "group_limit=1&group_next_token=x"):
            with pytest.raises(AssertionError, match='answered 400.*"errorType":"bad_data"'):
                get(s.http + "/api/v1/rules?" + wrong)


def test_the_for_state_survives_a_kill(tmp_path):
    put(tmp_path / "r.yaml", group({"alert": "Slow", "expr": "x > 0", "for": "1h"}))
    with configured(tmp_path) as s:
        send(s, "x", 1, job="api")
        wait_for("pending", lambda: alerts(s))
        wait_for("four seconds of it", lambda: value(s, "count_over_time(ALERTS_FOR_STATE[1m])") == 5)
        s.kill()
        killed = time.time()
        wait_for("some time away", lambda: time.time() > killed + 4)
        s.start()
        started = time.time()

        def active():
            return calendar.timegm(time.strptime(alerts(s)[0]["activeAt"][:19], "%Y-%m-%dT%H:%M:%S"))
        # Restored at the second evaluation, about two seconds from the start.
        wait_for("the four seconds to count, and the time away not", lambda: active() < started - 1)
        assert active() > started - 8


def test_files_are_read_again_and_wrong_ones_are_not(tmp_path):
    path = tmp_path / "r.yaml"
    kept = {"alert": "Kept", "expr": "x > 0", "for": "1h"}
    put(path, group(kept), group({"record": "old", "expr": "x"}, name="h"))
    with Server(args=["--rules", str(path)]) as s:
        send(s, "x", 1, job="api")
        since = wait_for("pending", lambda: alerts(s))[0]["activeAt"]
        wait_for("old", lambda: value(s, "old") == 1)
        put(path, group(kept, {"record": "new", "expr": "x + 1"}))
        wait_for("the new rule", lambda: value(s, "new") == 2)
        assert [a["activeAt"] for a in alerts(s)] == [since]
        wait_for("the series of the group that is gone to end", lambda: s.promql("old") == [])
        path.write_text("groups:\n  - name: g\n    ruls: []\n")
        wait_for("the error to be said", lambda: 'r.yaml:3:5: rules: groups[0]: unknown option \\"ruls\\"; '
                                                 'did you mean \\"rules\\"?' in s.output())
        assert [r["name"] for r in rules(s)[0]["rules"]] == ["Kept", "new"]
        assert "sonde_rules_last_reload_successful 0" in get(s.http + "/metrics").decode()
        put(path, group(kept))
        wait_for("the good file", lambda: [r["name"] for r in rules(s)[0]["rules"]] == ["Kept"])
        s.process.send_signal(signal.SIGHUP)
        wait_for("the signal", lambda: s.output().count("rules_loaded") >= 3)
        assert [a["activeAt"] for a in alerts(s)] == [since]


def test_a_wrong_file_at_the_start_ends_it(tmp_path):
    (tmp_path / "r.yaml").write_text("groups:\n  - name: g\n    rules:\n      - {record: a, expr: 'sum('}\n")
    s = Server(data=str(tmp_path / "data"), args=["--rules", str(tmp_path / "r.yaml")])
    p = subprocess.run(s.command(), capture_output=True, text=True, timeout=60)
    assert p.returncode == 1 and 'r.yaml:4:27: group "g", rule 1, "a": could not parse' in p.stderr
    (tmp_path / "r.yaml").unlink()
    p = subprocess.run(s.command(), capture_output=True, text=True, timeout=60)
    assert p.returncode == 1 and "No such file" in p.stderr


def test_links_have_the_port_that_was_taken(tmp_path):
    put(tmp_path / "r.yaml", group({"alert": "Up", "expr": "vector(1)"}))
    command = [SONDE, "serve", "--data", str(tmp_path / "data"), "--rules", str(tmp_path / "r.yaml")]
    for port in "--http", "--otlp-http", "--otlp-grpc":
        command += [port, "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as p:
        try:
            url = p.stdout.readline().split()[-1]
            link = wait_for("an alert", lambda: get_json(url + "/api/v2/alerts"))[0]["generatorURL"]
        finally:
            p.kill()
    assert link.startswith(url + "/graph?") and not url.endswith(":0")


def test_logs_raise_alerts(tmp_path):
    put(tmp_path / "r.yaml", group(
        {"alert": "Errors",
         "expr": 'sum by (service_name) (count_over_time({service_name="shop"} |= "error" [1m])) > 2',
         "annotations": {"summary": "{{ $value }} errors of {{ $labels.service_name }}"}}, type="logql"))
    with Server(args=["--rules", str(tmp_path / "r.yaml")]) as s:
        now = time.time_ns()
        s.send_logs("shop", [(now + i, "an error", {}) for i in range(2)] + [(now, "all is well", {})])
        wait_for("an evaluation", lambda: rules(s)[0]["rules"][0]["health"] == "ok")
        assert alerts(s) == []
        s.send_logs("shop", [(time.time_ns(), "another error", {})])
        alert, = wait_for("the alert", lambda: alerts(s))
        assert alert["annotations"] == {"summary": "3 errors of shop"} and alert["state"] == "firing"


def test_native_histograms_are_recorded(tmp_path):
    put(tmp_path / "r.yaml", group({"record": "h2", "expr": "sum(h) * 2"},
                                   {"alert": "H", "expr": "sum(h)", "annotations": {"s": "{{ $value }}"}}))
    with Server(args=["--rules", str(tmp_path / "r.yaml")]) as s:
        ms = int(time.time() * 1000)
        body = request2([({"__name__": "h", "job": "a"}, [],
                          {"histograms": [native(ms, 6, 10.5, 0, [(0, 2)], [2, 2])], "type": "histogram"})])
        status, _, answer = post(s.http + "/api/v1/write", snappy(body), V2, {"Content-Encoding": "snappy"})
        assert status in (200, 204), answer
        wait_for("the histogram", lambda: value(s, "histogram_count(h2)") == 12)
        assert value(s, "histogram_sum(h2)") == 21
        alert, = wait_for("the alert", lambda: alerts(s))
        assert "count:6" in alert["annotations"]["s"]


def test_missed_evaluations_are_made_up(tmp_path):
    put(tmp_path / "r.yaml", group({"record": "r", "expr": "x"}))
    with configured(tmp_path) as s:
        send(s, "x", 1, job="api")
        wait_for("it to be recorded", lambda: value(s, "count_over_time(r[1m])") == 2)
        s.kill()
        away = time.time()
        wait_for("some time away", lambda: time.time() > away + 4)
        s.start()
        send(s, "x", 2, at=away + 1.5, job="api")  # by a sender that kept it
        started = time.time()
        query = "count_over_time(r[%ds])" % (started - away)
        wait_for("the time away", lambda: (value(s, query, started) or 0) >= 4)
        wait_for("late samples to count", lambda: value(s, "r", away + 3) == 2)
        page = get(s.http + "/metrics").decode()
        assert int(page.split("iterations_caught_up_total{")[1].split("} ")[1].split("\n")[0]) >= 3


def test_failures_are_shown_and_counted(tmp_path):
    put(tmp_path / "r.yaml", group({"record": "r", "expr": "x * on() group_left() x"},
                                   {"record": "good", "expr": "vector(1)"}))
    with Server(args=["--rules", str(tmp_path / "r.yaml")]) as s:
        send(s, "x", 1, job="a")
        send(s, "x", 1, job="b")
        wait_for("the failure", lambda: rules(s)[0]["rules"][0]["health"] == "err")
        assert "many-to-many" in rules(s)[0]["rules"][0]["lastError"]
        wait_for("the good rule", lambda: value(s, "good") == 1)
        wait_for("it to be said", lambda: s.output().count("rule_failed") == 1)
        wait_for("more failures", lambda: int(get(s.http + "/metrics").decode().split(
            "rule_evaluation_failures_total{")[1].split("} ")[1].split("\n")[0]) >= 3)
        assert s.output().count("rule_failed") == 1  # and not again


def check(*args, text=None):
    return subprocess.run([SONDE, "check", "rules", *args], input=text, capture_output=True, text=True,
                          timeout=60)


def test_check_rules(tmp_path):
    good = tmp_path / "good.yaml"
    put(good, group({"record": "a", "expr": "up"}, {"record": "b", "expr": "up"}))
    p = check(str(good))
    assert (p.returncode, p.stdout) == (0, "Checking %s\n  SUCCESS: 2 rules found\n\n" % good)
    p = check("-", text="groups:\n  - name: g\n    rules: [{record: a, exp: up}]\n")
    assert p.returncode == 3 and "FAILED" in p.stderr
    assert '-:3:25: rules: groups[0].rules[0]: unknown option "exp"; did you mean "expr"?' in p.stderr
    p = check("-", text="groups:\n  - name: g\n    limit: x\n    rules: []\n  - name: h\n    limit: 1k\n    rules: []\n")
    assert p.returncode == 3 and p.stderr.count("is no whole number") == 2, p.stderr  # each once
    assert "-:3:12: " in p.stderr and "-:6:12: " in p.stderr
    p = check("-", text="groups: [{name: g, rules: [{record: a, expr: up}, {record: a, expr: down}]}]")
    assert p.returncode == 0 and "warning: -:1:51: duplicate rule" in p.stderr
    assert check("--lint-fatal", "-", text="groups: [{name: g, rules: [{record: a, expr: up}, "
                                           "{record: a, expr: down}]}]").returncode == 3
    assert check().returncode == 2 and check("--nonsense").returncode == 2
    assert check("/nowhere.yaml").returncode == 1
    assert "usage" in check("--help").stdout


@pytest.mark.skipif(not os.path.isdir(CORPUS), reason="../shared/corpus/rules is missing")
def test_the_rules_of_others_are_good_printed_equal_and_evaluated(tmp_path):
    files = sorted(os.listdir(CORPUS))
    assert len(files) > 20
    found = 0
    for name in files:
        path = os.path.join(CORPUS, name)
        p = check(path)
        assert p.returncode == 0, p.stderr
        found += int(p.stdout.split("SUCCESS: ")[1].split()[0])
        once = check("--print", path).stdout
        assert once and check("--print", "-", text=once).stdout == once, name
    with Server(args=["--rules", CORPUS, "--evaluation-interval", "1s"]) as s:
        def all_rules():
            return [r for g in rules(s) for r in g["rules"]]
        assert len(all_rules()) == found
        # Groups that name an interval take that long; the others are evaluated now.
        quick = [g for g in rules(s) if g["interval"] <= 1]
        assert quick
        wait_for("each to be evaluated", lambda: all(
            r["health"] != "unknown" for g in rules(s) if g["interval"] <= 1 for r in g["rules"]))
        bad = [r for r in all_rules() if r["health"] == "err"]
        assert not bad, bad[0]
    assert found > 300 or FULL
