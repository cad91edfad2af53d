# SPDX-License-Identifier: Apache-2.0
"""A prefork server with 64 children, which record and end at once, as the parent does: logs, spans and counts
of all of them, and of children of children, are in the server once. Those that ended by _exit left theirs
in their recorders, for whoever starts next."""
import collections
import os
import subprocess

from harness import wait_for
from native import ENVIRONMENT, compile_program, library_build

HERE = os.path.dirname(os.path.abspath(__file__))
CHILDREN = 64
NUMBERS = [*range(CHILDREN + 1), *(1000 + n for n in range(1, CHILDREN + 1) if n % 8 == 0)]


def run_to_the_end(program, children, environment):
    """Waits until the last of all processes has gone: they share a pipe."""
    read, write = os.pipe()
    started = subprocess.Popen([program, str(children)], env=environment, pass_fds=[write],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    os.close(write)
    said = started.stderr.read()
    assert os.read(read, 1) == b""
    os.close(read)
    assert started.wait(60) == 0, said[-4000:]
    return said


def test_everything_of_64_children_arrives_once(server, tmp_path):
    program = compile_program(os.path.join(HERE, "prefork.c"), tmp_path / "prefork", "-Wall", "-Werror",
                              build=library_build("plain"))
    recorders = tmp_path / "recorders"
    environment = {**ENVIRONMENT, "SONDE_RECORDER_DIR": str(recorders), "SONDE_LOG_OUTPUT": "none",
                   "OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp}
    said = run_to_the_end(program, CHILDREN, environment)
    assert "Sanitizer" not in said and "runtime error" not in said, said[-4000:]
    for _ in range(3):
        if not os.listdir(recorders):
            break
        said = run_to_the_end(program, 0, environment)
    assert os.listdir(recorders) == [], said

    def numbers():
        return collections.Counter(int(fields["n"]) for _, _, fields in server.logs('{service="prefork"} |= "served"'))
    expected = collections.Counter(NUMBERS)
    wait_for("the logs of all processes", lambda: len(numbers()) == len(expected))
    assert numbers() == expected
    spans = collections.Counter(
        next(tag["value"] for tag in span["tags"] if tag["key"] == "n")
        for trace in server.traces("prefork", limit=1000) for span in trace["spans"])
    assert spans == expected
    counted = [float(row["value"][1]) for row in server.promql('served_total{service_name="prefork"}')]
    # A process that only picked up what others left has a series too, and counted nothing.
    assert [value for value in counted if value] == [1.0] * len(NUMBERS), counted
