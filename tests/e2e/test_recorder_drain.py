# SPDX-License-Identifier: Apache-2.0
"""Who drains a recorder: a server that reads the directory, while programs have no thread of the library;
and a living process for its dead siblings. Nothing is lost, and nothing comes twice."""
import collections
import json
import os
import signal
import subprocess

import pytest

from harness import SONDE, Server, free_ports, get, wait_for
from native import ENVIRONMENT, compile_program

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_program(os.path.join(HERE, "drained.c"), tmp_path_factory.mktemp("drained") / "drained",
                           "-Wall", "-Werror")


def start(program, recorders, items, *arguments, **environment):
    """Until it said that all its calls returned; and how many threads it then had."""
    process = subprocess.Popen([program, str(items), *arguments], stdout=subprocess.PIPE, text=True,
                               env={**ENVIRONMENT, "SONDE_RECORDER_DIR": str(recorders), **environment})
    threads = int(process.stdout.readline().split()[1])
    assert process.stdout.readline() == "done\n"
    return process, threads


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def numbers(server):
    return collections.Counter(int(fields["n"]) for _, _, fields in server.logs('{service="drained"} |= "item"'))


def spans(server):
    return collections.Counter(
        (span["operationName"], next((tag["value"] for tag in span["tags"] if tag["key"] == "n"), None))
        for trace in server.traces("drained", limit=1500) for span in trace["spans"])


def files(recorders):
    return [name for name in os.listdir(recorders) if name.endswith(".rec")]


@pytest.mark.parametrize("drain", ["server", "auto"])
def test_a_server_reads_what_a_killed_program_left(program, tmp_path, drain):
    recorders = tmp_path / "recorders"
    with Server(args=["--recorder", str(recorders), "--recorder-metrics", "200ms"]) as server:
        process, threads = start(program, recorders, 500, "wait", SONDE_DRAIN=drain)
        assert threads == 1
        # Of the living process: its records and its metrics.
        wait_for("the logs of the living process", lambda: len(numbers(server)) == 500)
        wait_for("its metrics", lambda: float(server.promql("counted_total")[0]["value"][1]) == 500)
        assert len(files(recorders)) == 1
        kill(process)
        wait_for("the file of the dead process to be read", lambda: not files(recorders))
        assert numbers(server) == collections.Counter(range(500))
        assert spans(server) == collections.Counter([("item", n) for n in range(500)] + [("open", None)])
        died = [span for trace in server.traces("drained", operation="open") for span in trace["spans"]]
        assert "process died" in json.dumps(died)
        # The reader applied the rules that the program had chosen.
        text = json.dumps(server.logs('{service="drained"}'))
        assert "[REDACTED]" in text and "4111111111111111" not in text and "abc123def" not in text


def test_a_clean_end_leaves_the_rest_to_the_server(program, tmp_path):
    recorders = tmp_path / "recorders"
    with Server(args=["--recorder=" + str(recorders)]) as server:
        process, threads = start(program, recorders, 200, SONDE_DRAIN="server")
        assert threads == 1 and process.wait(30) == 0
        wait_for("the file to be read", lambda: not files(recorders))
        assert numbers(server) == collections.Counter(range(200))
        assert spans(server)[("open", None)] == 1


def test_what_came_while_the_server_was_away_is_read_later_and_once(program, tmp_path):
    recorders = tmp_path / "recorders"
    server = Server(args=["--recorder", str(recorders)])
    with server:
        process, _ = start(program, recorders, 300, "wait", SONDE_DRAIN="server")
        wait_for("some logs", lambda: numbers(server))
        server.kill()
        kill(process)
        other, _ = start(program, recorders, 100, "wait", SONDE_DRAIN="server")
        server.start()
        wait_for("the file of the dead process to be read", lambda: len(files(recorders)) == 1)
        wait_for("the other one's logs", lambda: sum(numbers(server).values()) >= 400)
        assert numbers(server) == collections.Counter(list(range(300)) + list(range(100)))
        kill(other)
        wait_for("all to be read", lambda: not files(recorders))
        assert sum(numbers(server).values()) == 400


def test_a_program_with_a_thread_of_its_own_is_left_alone(program, tmp_path):
    recorders = tmp_path / "recorders"
    with Server(args=["--recorder", str(recorders)]) as server:
        process, threads = start(program, recorders, 10, "wait", SONDE_DRAIN="thread",
                                 OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)
        assert threads == 2
        wait_for("its logs by OTLP", lambda: sum(numbers(server).values()) == 10)
        kill(process)
        wait_for("the file of the dead process to be read", lambda: not files(recorders))
        assert sum(numbers(server).values()) == 10
        assert spans(server)[("open", None)] == 1


def test_the_admin_port_answers_without_a_drainer(program, tmp_path):
    recorders, port = tmp_path / "recorders", free_ports(1)[0]
    process, _ = start(program, recorders, 7, "wait", SONDE_DRAIN="server", SONDE_ADMIN_ADDR=str(port))
    page = wait_for("the page", lambda: get("http://127.0.0.1:%d/metrics" % port)).decode()
    assert "\ncounted_total 7\n" in page, page
    kill(process)


def test_two_servers_do_not_read_one_directory(tmp_path):
    recorders = tmp_path / "recorders"
    with Server(args=["--recorder", str(recorders)]):
        done = subprocess.run([SONDE, "serve", "--data", str(tmp_path / "data"), "--http", "127.0.0.1:0",
                               "--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--recorder",
                               str(recorders)],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "another server reads" in done.stderr, done.stderr


def test_a_living_sibling_exports_what_a_killed_one_left(program, tmp_path, server):
    recorders = tmp_path / "recorders"
    dead, _ = start(program, recorders, 50, "wait", SONDE_DRAIN="server")  # nobody reads: nothing is exported
    siblings = [start(program, recorders, 1, "wait", OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                      OTEL_BLRP_SCHEDULE_DELAY="50")[0] for _ in range(2)]
    wait_for("the siblings' own logs", lambda: numbers(server)[0] == 2)
    kill(dead)
    wait_for("what the dead one left", lambda: len(numbers(server)) == 50, 30)
    wait_for("its file to go", lambda: len(files(recorders)) == 2)
    assert numbers(server) == collections.Counter([0, 0] + list(range(50)))
    for process in siblings:
        kill(process)
