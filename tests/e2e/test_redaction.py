# SPDX-License-Identifier: Apache-2.0
"""Secrets planted in everything that a program records are found in no place where it goes, byte by byte:
log lines, console spans, the OTLP bodies of each signal, the server's memory, `sonde recover`; and what has a
secret's key is not even in the recorder. With the rules off the same search finds them: it can."""
import gzip
import http.server
import os
import subprocess
import threading

import pytest

from harness import SONDE
from native import ENVIRONMENT, compile_program

HERE = os.path.dirname(os.path.abspath(__file__))
BY_KEY = b"PLANTEDKEY"
INSIDE = {
    "bearer": b"pl4nt3d-bearer-0001", "basic": b"cGw0bnQzZDpiYXNpYy0wMDAy", "jwt": b"cGw0bnQzZC1qd3QtMDAwMw",
    "card": b"4111 1111 1111 1111", "url": b"pl4nt3d-url-0005", "query": b"pl4nt3d-query-0006",
    "json": b"pl4nt3d-json-0007", "key": b"pl4nt3dkey0008abcdef", "pem": b"pl4nt3d-pem-0009",
    "prefix": b"pl4nt3dprefix0010",
}


class Collector(http.server.ThreadingHTTPServer):
    """Keeps the bodies that come by OTLP/HTTP."""

    def __init__(self):
        self.bodies = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.bodies[self.path] = outer.bodies.get(self.path, b"") + body
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        super().__init__(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server_address[1]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_program(os.path.join(HERE, "planted.c"), tmp_path_factory.mktemp("planted") / "planted",
                           "-Wall", "-Werror")


def run(program, end, **environment):
    done = subprocess.run([program, end], capture_output=True, timeout=60, env={**ENVIRONMENT, **environment})
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def sinks(program, recorders, **environment):
    """{name of a place: the bytes that went there}"""
    places = {}
    with Collector() as collector:
        both = {"SONDE_RECORDER_DIR": str(recorders), "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "OTEL_TRACES_EXPORTER": "otlp,console", "OTEL_METRICS_EXPORTER": "otlp,console", **environment}
        places["stdout"] = run(program, "stop", **both).stdout
        log = os.path.join(recorders, "log")
        run(program, "stop", **both, SONDE_LOG_OUTPUT="file:" + log, OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
        with open(log, "rb") as f:
            places["file"] = f.read()
        places.update(collector.bodies)
    with Collector() as collector:
        run(program, "stop", **{**both, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
            OTEL_EXPORTER_OTLP_PROTOCOL="http/json", SONDE_LOG_FORMAT="console")
        places.update({"json" + path: body for path, body in collector.bodies.items()})
    # A death with nothing drained: nobody reads, then `sonde recover` does.
    run(program, "die", SONDE_RECORDER_DIR=str(recorders), SONDE_DRAIN="server", **environment)
    for form in ("json", "otlp"):
        done = subprocess.run([SONDE, "recover", str(recorders), "-o", form], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        places["recover " + form] = done.stdout
    files = [name for name in os.listdir(recorders) if name.endswith(".rec")]
    assert len(files) == 1
    with open(os.path.join(recorders, files[0]), "rb") as f:
        places["recorder"] = f.read()
    return places


def found(places, secret):
    return {name for name, data in places.items() if secret in data}


def test_planted_secrets_are_in_no_sink(program, tmp_path):
    os.makedirs(tmp_path / "r")
    places = sinks(program, str(tmp_path / "r"), SONDE_REDACT_VALUES="all,prefix:acme_")
    assert set(places) >= {"stdout", "file", "/v1/logs", "/v1/traces", "/v1/metrics", "json/v1/logs",
                           "json/v1/traces", "json/v1/metrics", "recover json", "recover otlp", "recorder"}
    for name, data in places.items():
        assert b"planted" in data, name + " got nothing"
    recorder = places.pop("recorder")
    for name, secret in INSIDE.items():
        assert found(places, secret) == set(), name
    labels = recorder.count(b"PLANTEDKEY-10")  # a metric's label: told by its name when it is read
    assert found(places, BY_KEY) == set()
    assert recorder.count(BY_KEY) == labels, "a secret's value reached the recorder"
    assert all(b"[REDACTED]" in data for data in places.values())


def test_the_search_finds_them_when_nothing_is_redacted(program, tmp_path):
    os.makedirs(tmp_path / "r")
    places = sinks(program, str(tmp_path / "r"), SONDE_REDACT_VALUES="none")
    for name, secret in INSIDE.items():
        where = found(places, secret)
        assert {"stdout", "file", "/v1/logs", "/v1/traces", "recover json", "recorder"} <= where, (name, where)
    assert "/v1/metrics" in found(places, INSIDE["bearer"])
    # Keys need no reader's rules.
    assert found(places, b"PLANTEDKEY-01") == set()
