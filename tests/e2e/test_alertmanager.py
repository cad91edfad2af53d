# SPDX-License-Identifier: Apache-2.0
"""The built-in alertmanager as a whole program: its API, what receivers get, and when the server is killed."""
import json
import os
import random
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import pytest
from alert_receivers import Mailbox, Webhook
from harness import FULL, SONDE, Server, get, get_json, post, wait_for

ROUTE = """
route:
  receiver: team
  group_by: [alertname]
  group_wait: 0s
  group_interval: 200ms
  repeat_interval: 1h
"""


def rfc3339(t):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + ".%03dZ" % (t % 1 * 1000)


def alert(name, ends=None, annotations=None, **labels):
    a = {"labels": {"alertname": name, **labels}, "annotations": annotations or {},
         "startsAt": rfc3339(time.time() - 1), "generatorURL": "http://127.0.0.1:1/graph"}
    if ends is not None:
        a["endsAt"] = rfc3339(ends)
    return a


class Alerts(Server):
    """A server with an alertmanager's configuration."""

    def __init__(self, text, **more):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".yml", delete=False)
        self.file.write(text)
        self.file.close()
        super().__init__(args=["--alertmanager-config", self.file.name], **more)

    def write(self, text):
        with open(self.file.name + ".new", "w") as f:
            f.write(text)
        os.replace(self.file.name + ".new", self.file.name)

    def __exit__(self, *error):
        super().__exit__(*error)
        os.remove(self.file.name)

    def give(self, *alerts):
        code, _, body = post(self.http + "/api/v2/alerts", json.dumps(alerts).encode())
        assert code == 200, body

    def alerts(self, **parameters):
        return get_json(self.http + "/api/v2/alerts?" + urllib.parse.urlencode(parameters, doseq=True))

    def metric(self, name):
        lines = [line for line in get(self.http + "/metrics").decode().splitlines()
                 if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def webhook_config(hook, more=""):
    return ROUTE + "receivers:\n- name: team\n  webhook_configs:\n  - url: %s\n%s" % (hook.url, more)


def test_a_webhook_gets_alertmanagers_json():
    with Webhook() as hook, Alerts(webhook_config(hook)) as s:
        s.give(alert("Down", instance="a", annotations={"summary": "it's down"}), alert("Down", instance="b"))
        request = wait_for("the notification", hook.taken)[0]
        body = request["body"]
        assert {k: body[k] for k in ("receiver", "status", "version", "groupKey", "truncatedAlerts",
                                     "groupLabels", "commonLabels", "commonAnnotations")} == {
            "receiver": "team", "status": "firing", "version": "4", "truncatedAlerts": 0,
            "groupKey": '{}:{alertname="Down"}', "groupLabels": {"alertname": "Down"},
            "commonLabels": {"alertname": "Down"}, "commonAnnotations": {}}
        assert body["externalURL"] == s.http
        first = body["alerts"][0]
        assert sorted(first) == ["annotations", "endsAt", "fingerprint", "generatorURL", "labels", "startsAt",
                                 "status"]
        assert first["labels"] == {"alertname": "Down", "instance": "a"}
        assert first["annotations"] == {"summary": "it's down"} and first["status"] == "firing"
        assert first["endsAt"] == "0001-01-01T00:00:00Z" and len(first["fingerprint"]) == 16
        assert request["headers"]["Content-Type"] == "application/json" and len(request["key"]) == 36
        s.give(alert("Down", time.time() - 0.1, instance="a"), alert("Down", time.time() - 0.1, instance="b"))
        body = wait_for("the end", lambda: [r for r in hook.taken() if r["body"]["status"] == "resolved"])
        assert [a["status"] for a in body[0]["body"]["alerts"]] == ["resolved"] * 2
        wait_for("resolved alerts to be forgotten", lambda: s.alerts() == [])


def test_what_fails_is_sent_again_with_the_same_key_and_body():
    with Webhook() as hook, Alerts(webhook_config(hook)) as s:
        hook.behave = [500, "close", (429, {"Retry-After": "1"})]
        s.give(alert("Flaky"))
        wait_for("the fourth attempt", hook.taken, 30)
        tries = hook.all()
        assert [r["answer"] for r in tries] == [500, "close", 429, 200]
        assert len({r["key"] for r in tries}) == 1 and len({r["raw"] for r in tries}) == 1
        assert tries[3]["time"] - tries[2]["time"] >= 1
        assert s.metric('alertmanager_notification_requests_failed_total{integration="webhook"}') == 3
        assert s.metric('alertmanager_notifications_total{integration="webhook"}') == 1


def test_hundreds_of_notifications_do_not_wait_for_one_another():
    """Each is durable before it is sent and after it; one wait for the disk serves many of them, and a request
    does not begin with what takes long. (It was 7 a second when it did.)"""
    with Webhook() as hook, Alerts(webhook_config(hook)) as s:
        s.give(*[alert("Down%d" % i) for i in range(500)])
        wait_for("all of them", lambda: len(hook.taken()) == 500, 25)
        assert len({r["key"] for r in hook.taken()}) == 500


def test_receivers_that_hang_keep_no_other_waiting():
    """Twelve of them, each new, take their requests at the same moment, and answer after the test."""
    hang = threading.Event()

    class Hanging(Webhook):
        def serve(self, handler):
            with self.lock:
                self.requests.append({"path": handler.path, "answer": None})
            hang.wait(60)

    with Hanging() as slow, Webhook() as good:
        names = ["hang%d" % i for i in range(12)]
        text = ROUTE + "  routes:\n" + "".join("  - {matchers: [to=%s], receiver: %s}\n" % (n, n) for n in names)
        text += "receivers:\n- name: team\n  webhook_configs:\n  - url: %s\n" % good.url
        text += "".join("- name: %s\n  webhook_configs:\n  - {url: '%s/%s'}\n" % (n, slow.url, n) for n in names)
        with Alerts(text) as s:
            s.give(*[alert("Down%d" % i, to=n) for i in range(10) for n in names])
            wait_for("each that hangs to hold a request", lambda: len({r["path"] for r in slow.all()}) == 12, 20)
            began = time.time()
            s.give(*[alert("Up%d" % i) for i in range(20)])
            wait_for("the good one to be told", lambda: len(good.taken()) == 20, 20)
            assert time.time() - began < 5
            assert len(slow.all()) == 12  # one request each, while it is not known that they answer
            hang.set()


def test_a_refusal_is_final_and_said():
    slow = ROUTE.replace("200ms", "1m")
    with Webhook() as hook, Alerts(webhook_config(hook).replace(ROUTE, slow)) as s:
        hook.behave = [404]
        s.give(alert("Refused"))
        wait_for("the failure to be counted",
                 lambda: s.metric('alertmanager_notifications_failed_total{integration="webhook"}') == 1)
        assert len(hook.all()) == 1 and s.metric("alertmanager_notifications_pending") == 0
        wait_for("the log", lambda: "notification_refused" in s.output())
        assert "404" in s.output() and "/hook" not in s.output()


def test_silences_mute_and_expire():
    with Webhook() as hook, Alerts(webhook_config(hook)) as s:
        silence = {"matchers": [{"name": "alertname", "value": "Qui.*", "isRegex": True}], "comment": "works",
                   "createdBy": "me", "startsAt": rfc3339(time.time()), "endsAt": rfc3339(time.time() + 600)}
        code, _, body = post(s.http + "/api/v2/silences", json.dumps(silence).encode())
        assert code == 200
        number = json.loads(body)["silenceID"]
        s.give(alert("Quiet"), alert("Loud"))
        wait_for("the loud one", hook.taken)
        status = {a["labels"]["alertname"]: a["status"] for a in s.alerts()}
        assert status["Quiet"]["state"] == "suppressed" and status["Quiet"]["silencedBy"] == [number]
        assert status["Loud"]["state"] == "active"
        assert [a["labels"]["alertname"] for a in s.alerts(silenced="false")] == ["Loud"]
        assert [a["labels"]["alertname"] for a in s.alerts(filter='alertname=~"Q.*"')] == ["Quiet"]
        # It survives the death of the server, and an alert is not told while it holds.
        s.kill()
        s.start()
        found = get_json(s.http + "/api/v2/silence/" + number)
        assert found["status"]["state"] == "active" and found["matchers"][0]["isRegex"]
        assert {r["body"]["commonLabels"]["alertname"] for r in hook.taken()} == {"Loud"}
        urllib.request.urlopen(urllib.request.Request(s.http + "/api/v2/silence/" + number,
                                                      method="DELETE"))
        assert get_json(s.http + "/api/v2/silence/" + number)["status"]["state"] == "expired"
        wait_for("the quiet one", lambda: [r for r in hook.taken()
                                           if r["body"]["commonLabels"]["alertname"] == "Quiet"])


def test_wrong_requests_are_answered_as_alertmanager_does():
    with Webhook() as hook, Alerts(webhook_config(hook)) as s:
        def refused(path, body):
            code, _, answer = post(s.http + path, body)
            return code, json.loads(answer)
        assert refused("/api/v2/alerts", b"[{}]") == (400, "at least one label pair required")
        assert refused("/api/v2/alerts", b"{")[0] == 400
        late = {"matchers": [{"name": "a", "value": "b", "isRegex": False}], "comment": "", "createdBy": "",
                "startsAt": rfc3339(time.time() - 20), "endsAt": rfc3339(time.time() - 10)}
        assert refused("/api/v2/silences", json.dumps(late).encode()) == (
            400, "Failed to create silence: end time can't be in the past")
        empty = dict(late, endsAt=rfc3339(time.time() + 60),
                     matchers=[{"name": "a", "value": "", "isRegex": False}])
        assert "must not match the empty string" in refused("/api/v2/silences",
                                                            json.dumps(empty).encode())[1]
        assert refused("/api/v2/silences", json.dumps(dict(
            late, endsAt=rfc3339(time.time() + 60), id="no-such")).encode())[0] == 404


def test_a_new_configuration_is_taken_and_a_wrong_one_is_not():
    with Webhook() as hook, Webhook() as other, Alerts(webhook_config(hook)) as s:
        s.write("route: {receiver: nobody}\n")
        wait_for("the refusal", lambda: s.metric("alertmanager_config_last_reload_successful") == 0)
        s.write(webhook_config(other))
        wait_for("the new one", lambda: s.metric("alertmanager_config_last_reload_successful") == 1)
        s.give(alert("Where"))
        wait_for("the other receiver", other.taken)
        assert hook.all() == []
        shown = get_json(s.http + "/api/v2/status")["config"]["original"]
        assert "webhook_configs" in shown and other.url not in shown and "<secret>" in shown


def test_mails_have_text_and_html():
    with Mailbox("sonde", "pass word") as box:
        text = """
global:
  smtp_smarthost: 127.0.0.1:%d
  smtp_from: Sonde <sonde@example.org>
  smtp_auth_username: sonde
  smtp_auth_password: pass word
  smtp_require_tls: false
receivers:
- name: team
  email_configs:
  - to: a@example.org, B <b@example.org>
    send_resolved: true
    headers:
      Subject: 'Wächter: {{ .CommonLabels.alertname }}'
""" % box.port
        with Alerts(ROUTE + text) as s:
            box.refuse = ["451 later"]
            s.give(alert("Mail", severity="critical", annotations={"summary": "<b> & more ä"}))
            mail = wait_for("the mail", lambda: box.mails)[0]
            message = mail["message"]
            assert mail["from"] == "sonde@example.org" and mail["to"] == ["a@example.org", "b@example.org"]
            assert mail["hello"] == "localhost" and box.logins == ["sonde", "sonde"]
            assert message["Subject"] == "Wächter: Mail" and "sonde@example.org" in message["From"]
            assert message["Message-Id"] == "<%s@sonde>" % message["Idempotency-Key"]
            plain = message.get_body(("plain",)).get_content()
            html = message.get_body(("html",)).get_content()
            assert "summary: <b> & more ä" in plain and "severity: critical" in plain
            assert "&lt;b&gt; &amp; more ä" in html and "1 firing" in html
            assert "pass word" not in s.output()


MAIL = """
receivers:
- name: team
  email_configs:
  - to: a@example.org
    from: sonde@example.org
    smarthost: 127.0.0.1:%d
    auth_username: sonde
    auth_password: %s
    tls_config: { ca_file: %s }
"""


def test_mails_are_encrypted_or_not_sent(tmp_path):
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                    certificate, "-days", "2", "-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    with Mailbox("sonde", "secret", (certificate, key)) as box, \
            Alerts(ROUTE + MAIL % (box.port, "secret", certificate)) as s:
        s.give(alert("Encrypted"))
        (mail,) = wait_for("the mail", lambda: box.mails)
        assert mail["encrypted"] and box.logins == ["sonde"]
    with Mailbox("sonde", "secret") as plain, \
            Alerts(ROUTE + MAIL % (plain.port, "secret", certificate)) as s:
        s.give(alert("Plain"))
        wait_for("the failure", lambda: s.metric(
            'alertmanager_notification_requests_failed_total{integration="email"}') >= 1)
        assert plain.mails == [] and plain.logins == []
    with Mailbox("sonde", "other", (certificate, key)) as box, \
            Alerts(ROUTE.replace("200ms", "1m") + MAIL % (box.port, "secret", certificate)) as s:
        s.give(alert("Login"))
        wait_for("the refusal", lambda: s.metric(
            'alertmanager_notifications_failed_total{integration="email"}') == 1)
        wait_for("the log", lambda: "notification_refused" in s.output())
        assert "535" in s.output() and "secret" not in s.output()


def test_slack_gets_an_attachment():
    with Webhook() as hook:
        text = """
receivers:
- name: team
  slack_configs:
  - api_url: %s
    channel: '#alerts'
    send_resolved: true
    text: '{{ range .Alerts }}{{ .Annotations.summary }}{{ end }}'
    fields:
    - title: where
      value: '{{ .CommonLabels.instance }}'
      short: true
    actions:
    - type: button
      text: graph
      url: '{{ (index .Alerts 0).GeneratorURL }}'
""" % hook.url
        with Alerts(ROUTE + text) as s:
            s.give(alert("Slow", instance="db", annotations={"summary": "queries wait"}))
            body = wait_for("the message", hook.taken)[0]["body"]
            assert body["channel"] == "#alerts" and body["username"] == "sonde"
            (attachment,) = body["attachments"]
            assert attachment["text"] == "queries wait" and attachment["color"] == "danger"
            assert attachment["title"].startswith("[FIRING:1] Slow")
            assert attachment["fields"] == [{"title": "where", "value": "db", "short": True}]
            assert attachment["actions"] == [{"type": "button", "text": "graph",
                                              "url": "http://127.0.0.1:1/graph"}]
            assert attachment["mrkdwn_in"] == ["fallback", "pretext", "text"]
            s.give(alert("Slow", time.time() - 0.1, instance="db"))
            wait_for("the end", lambda: hook.taken()[-1]["body"]["attachments"][0]["color"] == "good")
            status = get_json(s.http + "/api/v2/status")["config"]["original"]
            assert hook.url not in status and hook.url not in s.output()


@pytest.mark.parametrize("kills", [50 if FULL else 8])
def test_no_notification_is_missed_when_the_server_is_killed(kills):
    """Alerts are given, fire and end, while the server is killed at random moments; whatever was acknowledged
    is told, and what comes twice has the same key and content."""
    random.seed(7)
    told, given = set(), {}
    with Webhook() as hook, Alerts(webhook_config(hook)) as s:
        def seen(name, status):
            return any(a["labels"]["alertname"] == name and a["status"] == status
                       for r in hook.taken() for a in r["body"]["alerts"])

        def put(a):
            def taken():
                return post(s.http + "/api/v2/alerts", json.dumps([a]).encode(), timeout=5)[0] == 200
            wait_for("the server to take an alert", taken, 30)

        def feed(round_):
            for i in range(4):
                name = "Kill%d_%d" % (round_, i)
                given[name] = "firing"
                put(alert(name))
                hook.behave += random.choice([[], [0.05], [500], ["close"]])
                for old in random.sample(sorted(n for n in given if given[n] == "firing"), 1):
                    if seen(old, "firing"):
                        put(alert(old, time.time() - 0.01))
                        given[old] = "resolved"

        for round_ in range(kills):
            feeder = threading.Thread(target=feed, args=(round_,))
            feeder.start()
            time.sleep(random.uniform(0.02, 0.4))  # the moment of the kill
            s.kill()
            s.start()
            feeder.join(60)
            assert not feeder.is_alive()
        for name, status in given.items():
            wait_for("%s to be told as %s" % (name, status), lambda n=name, st=status: seen(n, st), 30)
            told.add(name)
        bodies = {}
        for r in hook.all():
            assert bodies.setdefault(r["key"], r["raw"]) == r["raw"]
        # The same news under two keys would be a double that the receiver cannot know.
        news = {}
        for r in hook.taken():
            state = (r["body"]["groupKey"], tuple(sorted((a["fingerprint"], a["status"], a["startsAt"])
                                                         for a in r["body"]["alerts"])))
            assert news.setdefault(state, r["key"]) == r["key"], state
    assert len(told) == kills * 4


def check(text):
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as f:
        f.write(text)
        f.flush()
        done = subprocess.run([SONDE, "check", "alerts", f.name], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr.replace(f.name, "FILE")


def test_check_alerts_names_the_place():
    code, out, err = check(ROUTE + "receivers:\n- name: team\n  pagerduty_configs: [{service_key: x}]\n")
    assert code == 3 and "FILE:10:" in err and err.count("\n") == 1 and "pagerduty_configs" in err and "not built" in err
    code, out, err = check(ROUTE.replace("team", "nobody") + "receivers:\n- name: team\n")
    assert code == 3 and 'undefined receiver "nobody"' in err
    code, out, err = check(ROUTE + "receivers:\n- name: team\n  slack_configs:\n"
                           "  - api_url: http://x/y\n    text: '{{ nofunction }}'\n")
    assert code == 3 and "nofunction" in err and "FILE:12:11" in err
    hooks = "receivers:\n- name: team\n  webhook_configs: [{url: 'http://x/1'}, {url: 'http://x/2'}]\n"
    code, out, err = check("global:\n  http_config:\n    oauth2: {client_id: x}" + ROUTE + hooks)
    assert code == 3 and "FILE:3:13: global.http_config.oauth2: " in err and err.count("\n") == 1
    code, out, err = check(ROUTE + hooks.replace("x/1'", "x/1', http_config: {oauth2: {client_id: x}}"))
    assert code == 3 and "receivers[0].webhook_configs[0].http_config.oauth2: " in err
    code, out, err = check(ROUTE + "receivers:\n- name: team\n")
    assert code == 0 and "team" in out and err == ""
