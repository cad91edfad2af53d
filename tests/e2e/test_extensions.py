# SPDX-License-Identifier: Apache-2.0
"""Extensions of a configuration file in a running server: who may send and who may look, health_check."""
import base64
import json
import os
import urllib.error
import urllib.request

from harness import Collector, attributes, get_json, post, wait_for

CONFIG = """
receivers:
  otlp/open:
    protocols: { http: { endpoint: "127.0.0.1:@open@" } }
  otlp/token:
    protocols: { http: { endpoint: "127.0.0.1:@token@", auth: { authenticator: bearertokenauth } } }
  otlp/user:
    protocols: { http: { endpoint: "127.0.0.1:@user@", auth: { authenticator: basicauth } } }
exporters:
  sonde:
extensions:
  bearertokenauth: { filename: %(dir)s/tokens }
  basicauth: { htpasswd: { inline: "amy:{SHA}87u9ZqY9S/F0eUBXjsPQEDUw4h0=", file: %(dir)s/users } }
  health_check: { endpoint: "127.0.0.1:@health@", path: /up }
  health_check/root: { endpoint: "127.0.0.1:@root@" }
  sonde_web: { endpoint: "127.0.0.1:@web@" }
service:
  extensions: [bearertokenauth, basicauth, health_check, health_check/root, sonde_web]
  pipelines:
    logs: { receivers: [otlp/open, otlp/token, otlp/user], exporters: [sonde] }
"""
LOGS = json.dumps({"resourceLogs": [{
    "resource": {"attributes": attributes({"service.name": "sender"})},
    "scopeLogs": [{"logRecords": [{"body": {"stringValue": "hello"}}]}]}]}).encode()


def send(server, name, authorization=None):
    headers = {"Authorization": authorization} if authorization else {}
    code, answer, body = post("http://127.0.0.1:%d/v1/logs" % server.port[name], LOGS, headers=headers)
    assert b"hunter2" not in body
    return code, {k.lower(): v for k, v in answer.items()}


def write(path, text):
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.replace(path + ".new", path)


def test_only_those_who_show_who_they_are_may_send(tmp_path):
    tokens = str(tmp_path / "tokens")
    write(tokens, "hunter2\n")
    write(str(tmp_path / "users"), "bob:hunter4\n")
    user = "Basic " + base64.b64encode(b"amy:hunter2").decode()
    with Collector(CONFIG % {"dir": tmp_path}) as server:
        assert send(server, "open")[0] == 200
        code, headers = send(server, "token")
        assert code == 401 and headers["www-authenticate"].startswith("Bearer")
        assert send(server, "token", "Bearer hunter3")[0] == 401
        assert send(server, "token", user)[0] == 401
        assert send(server, "token", "Bearer hunter2")[0] == 200
        code, headers = send(server, "user")
        assert code == 401 and headers["www-authenticate"].startswith("Basic realm=")
        assert send(server, "user", user + "x")[0] == 401
        assert send(server, "user", user)[0] == 200
        assert send(server, "user", "Basic " + base64.b64encode(b"bob:hunter4").decode())[0] == 200
        # A token that is taken out of the file is worth nothing a moment later.
        write(tokens, "another\n")
        wait_for("the new token", lambda: send(server, "token", "Bearer another")[0] == 200)
        assert send(server, "token", "Bearer hunter2")[0] == 401
        log = server.output()
    assert "hunter2" not in log


def test_health_check_answers_at_its_path(tmp_path):
    write(str(tmp_path / "tokens"), "x\n")
    write(str(tmp_path / "users"), "amy:x\n")
    with Collector(CONFIG % {"dir": tmp_path}) as server:
        url = "http://127.0.0.1:%d" % server.port["health"]
        answer = get_json(url + "/up")
        assert answer["status"] == "Server available" and answer["upSince"].endswith("Z") and answer["uptime"]
        root = get_json("http://127.0.0.1:%d/" % server.port["root"])
        assert root["status"] == "Server available"
        try:
            urllib.request.urlopen(url + "/", timeout=10)
            raise AssertionError("only its path answers")
        except urllib.error.HTTPError as e:
            assert e.code == 404
