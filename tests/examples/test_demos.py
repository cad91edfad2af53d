# SPDX-License-Identifier: Apache-2.0
"""The demo of each system, with PostgreSQL and Redis and once more on SQLite: everything that was asked of
the system can be seen in a server that had nothing before."""
import os
import re
import signal
import subprocess

import pytest

from conftest import EXAMPLES, FAST_EXPORT, SYSTEMS
from harness import BUILD, free_ports, get_json, wait_for

SECONDS = 180  # a demo that takes longer hangs


def run(system, server, databases):
    environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
    environment.update(databases, SONDE_BUILD=BUILD, SONDE_ADDR=server.http,
                       OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)
    demo = os.path.join(EXAMPLES, system, "demo")
    assert os.access(demo, os.X_OK), "%s is not there, or not executable" % demo
    process = subprocess.Popen([demo, "--for", "5"], env=environment, text=True, cwd="/",
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        err += "\nstill running after %d s" % SECONDS
    assert process.returncode == 0, "\n".join((err[-4000:], out[-6000:]))
    assert "ERROR: AddressSanitizer" not in err and "runtime error" not in err, err[-6000:]
    assert re.search(r"^demo %s: [1-9]\d* checks passed$" % re.escape(system), out, re.M), out


@pytest.mark.parametrize("system", SYSTEMS)
def test_demo_on_postgresql_and_redis(system, server, postgres, redis):
    run(system, server, {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url})


@pytest.mark.parametrize("system", SYSTEMS)
def test_demo_on_sqlite(system, server):
    run(system, server, {})


@pytest.mark.parametrize("system", SYSTEMS)
def test_up_runs_until_it_is_stopped(system, server):
    environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
    environment.update(FAST_EXPORT, SONDE_BUILD=BUILD, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)
    process = subprocess.Popen([os.path.join(EXAMPLES, system, "up"), "--quiet", "--rate", "10"],
                               env=environment, text=True, cwd="/", stderr=subprocess.PIPE,
                               stdout=subprocess.PIPE, start_new_session=True)
    try:
        said = process.stderr.readline()
        assert system in said and "answers at http://127.0.0.1:" in said
        wait_for("requests of %s in the server" % system, lambda: sum(
            s["requests"] for s in get_json(server.http + "/api/sonde/v1/services")["data"]) >= 20, 30, 0.1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
    assert process.returncode == 0 and not out, err[-4000:]
    assert "Traceback" not in err and "Sanitizer" not in err and "was killed" not in err, err[-4000:]


def test_demo_says_how_to_start_a_server():
    nobody = "http://127.0.0.1:%d" % free_ports(1)[0]
    done = subprocess.run([os.path.join(EXAMPLES, "staging", "demo")], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "SONDE_ADDR": nobody})
    assert done.returncode == 1
    assert nobody in done.stderr and "serve --data" in done.stderr and "Traceback" not in done.stderr
