# SPDX-License-Identifier: Apache-2.0
"""Every public function, called before the start, while it runs, in a span, in another thread, in a child of
fork, after the stop and after a second start: with NULL for every pointer, with texts of 10 MB, and with
texts that are no UTF-8. Nothing crashes or leaks, and what comes out is valid JSON."""
import json
import os
import subprocess

import pytest

from harness import BUILD
from native import ENVIRONMENT, compile_program, library_build
import public_api

TEXTS = ["null", "one", "empty", "broken", "huge"]


def check(how, tmp_path, build, fork):
    source = tmp_path / "calls.c"
    source.write_text(public_api.program(how))
    program = compile_program(source, tmp_path / "calls", "-Wno-nonnull", build=build)
    lines = tmp_path / "lines"
    done = subprocess.run([program, how, tmp_path / "recorders", "file:%s" % lines, fork], capture_output=True,
                          timeout=180, env=ENVIRONMENT)
    called = done.stderr.decode(errors="replace")
    assert done.returncode == 0 and b"done" in done.stdout, "after %s" % called[-6000:]
    for line in lines.read_bytes().splitlines():
        json.loads(line.decode())  # both strict
    assert subprocess.run(["jq", "-e", ".", lines], stdout=subprocess.DEVNULL).returncode == 0
    assert os.path.getsize(lines) < 50 << 20


@pytest.mark.parametrize("how", TEXTS)
def test_every_function_takes_it(how, tmp_path):
    check(how, tmp_path, BUILD, "no")


@pytest.mark.parametrize("how", TEXTS)
def test_every_function_takes_it_in_a_child_of_fork(how, tmp_path):
    check(how, tmp_path, library_build("plain"), "fork")


def test_every_exported_function_is_called():
    """What the library gives out is what the headers declare, and the program calls each."""
    functions = public_api.Api(public_api.headers_here()).functions
    text = public_api.program("null")
    assert [f for f in functions if "(%s)(" % f not in text and f not in public_api.ELSEWHERE] == []
    symbols = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, "libsonde.so")],
                             capture_output=True, text=True, check=True).stdout
    exported = {line.split()[2].split("@")[0] for line in symbols.splitlines() if line.split()[1] == "T"}
    programs = {name for name in exported if name.startswith("sonde_") and not name.endswith("_")}
    assert "sonde_start" in programs
    assert programs - functions.keys() == set(), "declared in no header that public_api.py reads"
