# SPDX-License-Identifier: Apache-2.0
"""The examples' HTTP server and client at their limits: bodies that are too large or no JSON, methods
that a path does not have, servers that close, hang and send too much."""
import contextlib
import http.client
import json
import os
import socket
import sys
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from common_probe import Probes  # noqa: E402
from harness import free_ports, within  # noqa: E402


@pytest.fixture
def probe():
    with Probes() as probes:
        yield probes(SQLITE_PATH=":memory:")


@pytest.fixture
def call(probe):
    port = free_ports(1)[0]
    assert probe.ask("serve", port)["good"]

    def call(method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, answer.headers, json.loads(text) if text else None
    return call


def test_a_body_that_is_too_large_gets_an_answer(call):
    status, _, answer = call("POST", "/items/1", b" " * (1 << 20))
    assert status == 200
    status, _, answer = call("POST", "/items/1", b" " * ((1 << 20) + 1))
    assert status == 413 and answer["error"]["code"] == "BODY_TOO_LARGE"
    assert answer["error"]["details"]["most_bytes"] == 1 << 20 and answer["error"]["request_id"]
    assert call("POST", "/items/1", b"x" * (5 << 20))[0] == 413


def test_what_is_wrong_with_a_body_is_told_with_its_place(call):
    assert call("POST", "/items/1")[2]["problem"] == "there is no body"
    problem = call("POST", "/items/1", b'{\n "a": 1,\n "b" 2}')[2]["problem"]
    assert problem.startswith("the body is no JSON: ") and problem.endswith("at line 3, column 6")
    answer = call("POST", "/items/1", b'{"a":1}')[2]
    assert answer["problem"] == "" and answer["body"] == {"a": 1}


def test_bytes_that_are_no_utf8_do_not_empty_an_answer(call):
    status, _, answer = call("GET", "/items/caf%e9%00")
    assert status == 200 and answer["id"] == "caf?"
    status, _, answer = call("GET", "/no-json")
    assert status == 500 and answer["error"]["code"] == "INTERNAL_ERROR"


def test_a_method_that_a_path_does_not_have_is_answered_with_those_it_has(call):
    status, headers, answer = call("DELETE", "/items/7")
    assert status == 405 and headers["Allow"] == "GET, HEAD, POST"
    assert answer["error"]["code"] == "METHOD_NOT_ALLOWED"
    assert call("GET", "/forgets")[1]["Allow"] == "POST"
    status, headers, answer = call("GET", "/nothing")
    assert status == 404 and "Allow" not in headers and answer["error"]["code"] == "NOT_FOUND"


def test_head_is_there_where_get_is(call):
    status, headers, answer = call("HEAD", "/items/7")
    assert status == 200 and answer is None and int(headers["Content-Length"]) > 10
    assert call("HEAD", "/forgets")[0] == 405


def test_a_handler_that_gives_no_answer_is_an_internal_error(call):
    status, _, answer = call("POST", "/forgets", b"{}")
    assert status == 500 and answer["error"]["code"] == "INTERNAL_ERROR"


class Scripted:
    """A server that does with its nth request what the nth word says."""

    def __init__(self, *script):
        self.script, self.requests, self.connections = list(script), [], 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d/" % self.socket.getsockname()[1]
        self.open = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError):
            self.answer(connection)

    def answer(self, connection):
        stream = connection.makefile("rb")
        while line := stream.readline():
            length = 0
            while (header := stream.readline().strip()) != b"":
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            stream.read(length)
            self.requests.append(line.split()[0].decode())
            what = self.script[min(len(self.requests), len(self.script)) - 1]
            if what == "close":
                break
            if what == "hang":
                self.open.append(connection)
                return
            size = 9 << 20 if what == "much" else 2
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        stream.close()
        connection.close()

    def stop(self):
        self.socket.close()
        for connection in self.open:
            connection.close()


@pytest.fixture
def scripted():
    all_of_them = []

    def start(*script):
        all_of_them.append(Scripted(*script))
        return all_of_them[-1]
    yield start
    for one in all_of_them:
        one.stop()


def test_connections_are_kept_for_the_next_request(probe, scripted):
    server = scripted("answer")
    for method in ("GET", "POST", "PUT"):
        assert probe.ask("send", method, server.url)["status"] == 200
    assert server.requests == ["GET", "POST", "PUT"] and server.connections == 1


def test_no_request_with_a_body_is_sent_twice(probe, scripted):
    server = scripted("answer", "close", "answer")
    assert probe.ask("send", "POST", server.url)["status"] == 200
    answer = probe.ask("send", "POST", server.url)
    assert answer["status"] == 0 and "closed before an answer came" in answer["error"]
    assert server.requests == ["POST", "POST"]
    assert probe.ask("send", "POST", server.url)["status"] == 200


def test_why_there_is_no_answer_is_told(probe, scripted):
    answer = probe.ask("send", "POST", scripted("close").url)
    assert answer["status"] == 0 and answer["error"]
    with within(5):
        answer = probe.ask("send", "GET", scripted("hang").url)
    assert answer["status"] == 0 and "timed out" in answer["error"]
    answer = probe.ask("send", "GET", scripted("much").url)
    assert answer["status"] == 0 and answer["error"] == "the answer is larger than 8388608 bytes"
    nobody = "http://127.0.0.1:%d/" % free_ports(1)[0]
    with within(2):
        answer = probe.ask("send", "GET", nobody)
    assert answer["status"] == 0 and "connect" in answer["error"].lower()
    answer = probe.ask("send", "GET", "file:///etc/hostname")
    assert answer["status"] == 0 and "file" in answer["error"] and "protocol" in answer["error"].lower(), answer
