# SPDX-License-Identifier: Apache-2.0
"""The stand-ins that the examples call: their answers, and the faults that can be asked of them."""
import hashlib
import hmac
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import BUILD, free_ports, wait_for  # noqa: E402

MESSAGE = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a red car"}]}
CALLS = {
    "replicate": ("/v1/predictions", {"input": {}}),
    "anthropic": ("/v1/messages", MESSAGE),
    "yutori": ("/v1/research/tasks", {"query": "who?"}),
    "freepik": ("/v1/ai/text-to-image", {"prompt": "a cat"}),
}


class Standin:
    def __init__(self, **environment):
        self.port = free_ports(1)[0]
        self.url = "http://127.0.0.1:%d" % self.port
        self.process = subprocess.Popen(
            [BUILD + "/examples/common/standin"],
            env={**os.environ, "STANDIN_PORT": str(self.port), "MODEL_DELAY_MS": "0", **environment})
        wait_for("the stand-in", lambda: self.process.poll() is not None or self.answers(), 20)
        assert self.process.poll() is None

    def answers(self):
        try:
            return self.call("GET", "/health")[0] == 200
        except OSError:
            return False

    def call(self, method, path, body=None, headers=None, timeout=20):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode()

    def ask(self, service, **more):
        path, body = CALLS[service]
        return self.call("POST", path, {**body, **more})

    def control(self, query):
        status, answer = self.call("POST", "/control?" + query)
        assert status == 200, answer
        return answer

    def stop(self):
        self.process.terminate()
        assert self.process.wait(15) == 0


@pytest.fixture
def standin():
    s = Standin()
    yield s
    s.stop()


def test_each_model_answers_as_the_real_one_does(standin):
    status, answer = standin.ask("anthropic")
    assert status == 200 and "a red car" in answer["content"][0]["text"]
    assert answer["usage"]["input_tokens"] > 0 and answer["usage"]["output_tokens"] > 0
    status, answer = standin.ask("replicate")
    assert (status, answer["status"]) == (201, "starting")
    assert standin.call("GET", "/v1/predictions/" + answer["id"])[1]["status"] == "succeeded"
    status, answer = standin.ask("yutori")
    task = standin.call("GET", "/v1/research/tasks/" + answer["task_id"])[1]
    assert task["status"] == "succeeded" and task["result"]
    assert standin.ask("freepik")[1]["data"][0]["base64"]
    assert standin.ask("freepik", empty=True)[1] == {"data": []}
    created = standin.ask("freepik", **{"async": True})[1]["data"]
    assert created["status"] == "CREATED"
    done = standin.call("GET", "/v1/ai/text-to-image/" + created["task_id"])[1]["data"]
    assert done["status"] == "COMPLETED" and len(done["generated"]) == 1


def test_bad_requests_and_unknown_tasks_are_refused(standin):
    assert standin.call("POST", "/v1/messages", {"model": "m"})[0] == 400
    assert standin.call("POST", "/v1/research/tasks", {})[0] == 422
    assert standin.call("POST", "/v1/ai/text-to-image", [1])[0] == 400
    for path in ("/v1/predictions/7", "/v1/predictions/", "/v1/research/tasks/task_",
                 "/v1/research/tasks/0", "/v1/ai/text-to-image/img_99"):
        assert standin.call("GET", path)[0] == 404, path


def test_failures_look_as_each_service_makes_them(standin):
    standin.control("fail=100")
    assert standin.ask("anthropic")[0] == 500
    assert standin.ask("anthropic")[1]["error"]["type"] == "api_error"
    assert standin.ask("freepik") == (500, {"message": "Internal Server Error"})
    for path, key, service in (("/v1/predictions/", "id", "replicate"),
                               ("/v1/research/tasks/", "task_id", "yutori")):
        status, answer = standin.ask(service)
        assert status in (200, 201)
        task = standin.call("GET", path + answer[key])[1]
        assert task["status"] == "failed" and task["error"]
    assert standin.call("HEAD", "/bucket")[0] == 500
    standin.control("fail=0")
    assert standin.call("HEAD", "/bucket")[0] == 200
    assert standin.call("HEAD", "/bucket/key")[0] == 403


def test_a_percentage_is_met_exactly_over_a_hundred(standin):
    standin.control("service=anthropic&fail=30")
    statuses = [standin.ask("anthropic")[0] for _ in range(100)]
    assert statuses.count(500) == 30 and statuses.count(200) == 70


def test_a_slow_service_holds_up_no_other(standin):
    standin.control("service=anthropic&delay_ms=1500")
    slow = {}

    def ask():
        begun = time.monotonic()
        slow["status"] = standin.ask("anthropic")[0]
        slow["seconds"] = time.monotonic() - begun
    thread = threading.Thread(target=ask)
    thread.start()
    wait_for("the slow request", lambda: standin.call("GET", "/seen?service=anthropic")[1]["total"])
    assert standin.ask("freepik")[0] == 200 and "seconds" not in slow
    thread.join()
    assert slow["status"] == 200 and slow["seconds"] >= 1.4


def test_a_task_takes_its_time_while_its_answers_come_at_once(standin):
    standin.control("service=yutori&delay_ms=60000")
    task = standin.ask("yutori")[1]["task_id"]
    assert standin.call("GET", "/v1/research/tasks/" + task)[1]["status"] == "running"


def test_a_hanging_service_gives_no_answer_and_holds_up_no_other(standin):
    standin.control("service=anthropic&hang=100")
    with pytest.raises((socket.timeout, TimeoutError)):
        standin.call("POST", "/v1/messages", MESSAGE, timeout=0.5)
    assert standin.ask("yutori")[0] == 200
    standin.control("service=anthropic&hang=0")
    assert standin.ask("anthropic")[0] == 200


def test_control_says_what_would_be_right(standin):
    status, answer = standin.call("POST", "/control?service=s4&fail=1")
    assert status == 400 and "'s4'" in answer["error"] and "s3" in answer["services"]
    for query in ("fail=101", "fail=-1", "fail=x", "fail=", "delay_ms=5s", "hang=1.5"):
        status, answer = standin.call("POST", "/control?service=s3&" + query)
        assert status == 400 and "whole number from 0 to" in answer["error"], query
    standin.control("service=s3&delay_ms=5&fail=6&hang=7")
    settings = standin.call("GET", "/control")[1]
    assert settings["s3"] == {"delay_ms": 5, "fail": 6, "hang": 7}
    assert settings["yutori"] == {"delay_ms": 0, "fail": 0, "hang": 0}
    assert sorted(settings) == ["anthropic", "freepik", "replicate", "s3", "yutori"]


def test_what_was_seen_of_a_trace_is_told(standin):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    standin.call("POST", "/v1/messages", MESSAGE, {"traceparent": parent, "X-Request-ID": "req_1"})
    for _ in range(33):
        standin.ask("yutori")
    seen = standin.call("GET", "/seen?service=anthropic")[1]["requests"]
    assert seen == [{"method": "POST", "path": "/v1/messages", "traceparent": parent,
                     "request_id": "req_1"}]
    others = standin.call("GET", "/seen?service=yutori")[1]
    assert others["total"] == 33 and len(others["requests"]) == 32
    assert standin.call("GET", "/seen?service=nobody")[0] == 400


def test_settings_of_the_environment_are_for_the_models():
    standin = Standin(MODEL_DELAY_MS="7", MODEL_FAIL_PERCENT="8")
    settings = standin.call("GET", "/control")[1]
    standin.stop()
    assert settings["replicate"] == {"delay_ms": 7, "fail": 8, "hang": 0}
    assert settings["s3"] == {"delay_ms": 0, "fail": 0, "hang": 0}


def test_an_address_that_is_none_is_refused():
    end = subprocess.run([BUILD + "/examples/common/standin"], capture_output=True, text=True,
                         timeout=20, env={**os.environ, "BIND_ADDRESS": "localhost"})
    assert end.returncode == 2 and re.search("BIND_ADDRESS is 'localhost'", end.stderr)


def presigned(standin, method, path):
    """The path with AWS's signature, version 4, of the account that the examples have."""
    day, scope = time.strftime("%Y%m%d", time.gmtime()), "us-east-1/s3/aws4_request"
    moment = day + time.strftime("T%H%M%SZ", time.gmtime())
    query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=example%%2F%s%%2F%s&X-Amz-Date=%s" \
        "&X-Amz-Expires=300&X-Amz-SignedHeaders=host" % (day, scope.replace("/", "%2F"), moment)
    request = "%s\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD" % (method, path, query, standin.url[7:])
    text = "AWS4-HMAC-SHA256\n%s\n%s/%s\n%s" % (moment, day, scope,
                                               hashlib.sha256(request.encode()).hexdigest())
    key = b"AWS4example-secret"
    for part in (day, *scope.split("/"), text):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return "%s?%s&X-Amz-Signature=%s" % (path, query, key.hex())


def test_the_oldest_objects_go_when_all_are_too_large(standin):
    def put(name, size):
        request = urllib.request.Request(standin.url + presigned(standin, "PUT", "/example/" + name),
                                         data=name.encode() * (size // len(name)), method="PUT")
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200

    def has(name):
        status, text = standin.call("GET", presigned(standin, "GET", "/example/" + name))
        assert status == 404 or text.startswith(name)
        return status == 200
    put("small", 1000)
    for i in range(64):
        put("large%02d" % i, 1 << 20)
        if i == 62:
            assert has("small") and has("large00")
    assert not has("small") and has("large00") and has("large63")
    put("large00", 1 << 20)  # again: it is the youngest now
    put("more", 1 << 20)
    assert not has("large01") and has("large00") and has("large02") and has("more")
    status, _ = standin.call("GET", presigned(standin, "GET", "/example/more") + "0")
    assert status == 403
