# SPDX-License-Identifier: Apache-2.0
"""A request that failed is stored, found by its id, and repeated by the command that `sonde trace
ID --curl` prints: the same answer again. Secrets of it are nowhere."""
import json
import os
import subprocess

import pytest

from harness import ROOT, SONDE, Server, free_ports, get, get_json, post, wait_for
from native import ENVIRONMENT, compile_program

LIBRARIES = ["libmicrohttpd", "libcurl", "libpq", "hiredis", "sqlite3"]


@pytest.fixture(scope="module")
def server():
    with Server() as s:
        yield s


@pytest.fixture(scope="module")
def service(server, tmp_path_factory):
    """The URL of a service that tells the server about itself."""
    where = tmp_path_factory.mktemp("service")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", *LIBRARIES], capture_output=True,
                           text=True)
    if flags.returncode:
        pytest.skip("not installed: " + flags.stderr.strip())
    program = compile_program(os.path.join(ROOT, "tests/e2e/instrumented.c"), where / "service",
                              *flags.stdout.split())
    port = free_ports(1)[0]
    env = dict(ENVIRONMENT, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_BSP_SCHEDULE_DELAY="50",
               SONDE_LOG_OUTPUT="file:%s" % (where / "out.log"), SONDE_RECORDER_DIR=str(where),
               SONDE_DRAIN="thread")
    process = subprocess.Popen([program, "serve", str(port)], env=env, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield "http://127.0.0.1:%d" % port
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()
    assert "s3cret" not in (where / "out.log").read_text()


def curl_of(server, request_id):
    def found():
        done = subprocess.run([SONDE, "trace", request_id, "--curl", "--addr", server.http],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout
    return wait_for("the kept request", found, 20, 0.1)


def run_again(command):
    """The command as a user pastes it, asked for the status too."""
    done = subprocess.run(["sh", "-c", command.rstrip("\n") + " -s -o /dev/null -w '%{http_code}'"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_failed_post_is_repeated_with_its_body(server, service):
    body = {"broken": True, "note": "it's \"so\" $HOME `id` \n", "password": "s3cret"}
    headers = {"Authorization": "Bearer s3cret-s3cret-s3cret", "Accept": "application/json"}
    status, answer, text = post(service + "/fails?q=a%20b&token=s3cret", json.dumps(body).encode(),
                                headers=headers)
    envelope = json.loads(text)["error"]
    assert status == 500 and envelope["code"] == "INTERNAL"
    assert envelope["request_id"] == answer["X-Request-ID"]
    command = curl_of(server, envelope["request_id"])
    assert "s3cret" not in command and answer["X-Request-ID"] not in command
    assert "# put your own in place of [REDACTED]: query, authorization, body\n" in command
    assert "-X 'POST'" in command and "accept: application/json" in command
    assert run_again(command) == 500
    # The note is still what it was, so the shell has read it as data.
    again = json.loads(subprocess.run(
        ["sh", "-c", command.replace("curl ", "printf '%s\\n' ", 1)], capture_output=True,
        text=True).stdout.split("--data-raw\n", 1)[1])
    assert again == dict(body, password="[REDACTED]")
    assert command == curl_of(server, envelope["trace_id"])


def test_odd_paths_and_queries_come_back_as_they_were(server, service):
    status, answer, _ = post(service + "/it%27s%20here%20%5B1%5D?strict=a%20b%26c%3D%27d%27", b"")
    assert status == 503
    command = curl_of(server, answer["X-Request-ID"])
    assert run_again(command) == 503


def test_what_went_well_is_not_kept(server, service):
    status, answer, _ = post(service + "/orders/7", b"{}")
    assert status == 200
    def told():
        done = subprocess.run([SONDE, "trace", answer["X-Request-ID"], "--curl", "--addr",
                               server.http], capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        assert "keeps no request" in done.stderr, done.stderr
        return True
    wait_for("the trace", told, 20, 0.1)


def test_wrong_usage_is_said():
    done = subprocess.run([SONDE, "trace", "abc", "--curl", "-o", "json"], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 2 and "--curl" in done.stderr


def test_the_library_answers_its_own_paths_in_the_programs_server(service):
    assert b"http_requests_total" in get(service + "/metrics")
    assert json.loads(get(service + "/health"))["status"]
    assert get_json(service + "/debug/status")
    status, _, text = post(service + "/debug/log-level", b'{"level":"warn"}')
    assert status == 200, text
    status, _, text = post(service + "/debug/log-level", b"{" * 5000)
    assert status == 400, text
    status, _, text = post(service + "/debug/log-level", b'{"level":"info"}',
                           headers={"X-Forwarded-For": "192.0.2.7"})
    assert status == 403, text
