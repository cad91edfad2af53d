# SPDX-License-Identifier: Apache-2.0
"""The library in C++17: every macro and verb, checked by what comes out; and every public header alone, as C11
and C++17, with the warnings that users turn on."""
import json
import os
import shutil
import subprocess

import pytest

from harness import ROOT
from native import ENVIRONMENT, compile_program, library_build

HERE = os.path.dirname(os.path.abspath(__file__))
HEADERS = sorted(os.listdir(os.path.join(ROOT, "include/sonde")))
PARTS = {"metric_cxx.h", "metric_verbs.h"}  # of metric.h, and say so
COMPILERS = ["gcc -std=c11", "clang -std=c11", "g++ -std=c++17", "clang++ -std=c++17"]
STRICT = ["-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes"]


def need(compiler):
    if not shutil.which(compiler.split()[0]):
        pytest.skip(compiler.split()[0] + " is not installed")


@pytest.mark.parametrize("compiler", ["g++ -std=c++17", "clang++ -std=c++17", "g++ -std=c++20"])
def test_a_program_in_cxx(compiler, tmp_path):
    need(compiler)
    program = compile_program(os.path.join(HERE, "cxx_program.cc"), tmp_path / "program", "-Wall", "-Wextra",
                              "-Werror", compiler=compiler, build=library_build("plain"))
    env = dict(ENVIRONMENT, SONDE_RECORDER_DIR=str(tmp_path / "recorders"), OTEL_TRACES_EXPORTER="console")
    done = subprocess.run([program], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    logs = {r["message"]: r for r in rows if "message" in r}
    spans = {r["name"]: r for r in rows if "message" not in r}
    assert logs.keys() == {"types", "formatted", "nothing_more", "string", "in_thread", "caught"}
    types = {k: v for k, v in logs["types"].items() if k not in ("timestamp", "level", "service", "message")}
    assert types == {"bool": True, "char": 99, "short": -1, "unsigned": 2, "i64": -2**63, "u64": str(2**64 - 1),
                     "float": 1.5, "double": 2.5, "literal": "text", "string": "a string", "view": "string",
                     "temporary": "a string!", "class": 3, "enum": 4}
    assert logs["formatted"]["detail"] == "7 of nine" and logs["formatted"]["error"].startswith("ENOENT")
    assert logs["in_thread"]["request_id"] == "r-1" and logs["in_thread"]["team"] == "blue"
    assert logs["in_thread"]["trace_id"] == spans["served"]["trace_id"]
    assert logs["caught"]["what"] == "out" and logs["caught"]["span"] is False
    assert "user_id" not in logs["caught"] and "trace_id" not in logs["caught"]
    assert spans.keys() == {"served", "by_hand", "thrown_through"}
    assert spans["served"]["kind"] == "server" and spans["served"]["attributes"]["late"] == 1
    assert spans["served"]["status_message"] == "went wrong" and spans["by_hand"]["attributes"]["text"] == "v"
    for line in ('orders_total{currency="EUR"} 3', 'orders_total{currency="USD"} 4', "level 3.5",
                 'took_seconds_count{what="work"} 2'):
        assert line in done.stderr.splitlines(), line


@pytest.mark.parametrize("compiler", COMPILERS)
def test_each_header_compiles_alone(compiler):
    need(compiler)
    cxx = "++" in compiler
    foreign = []
    for header in HEADERS:
        if header in PARTS:
            continue
        options = [o for o in STRICT if not (cxx and "prototypes" in o)]
        done = subprocess.run([*compiler.split(), *options, "-fsyntax-only", "-I", os.path.join(ROOT, "include"),
                               "-x", "c++" if cxx else "c", "-"], input="#include <sonde/%s>\nint x;\n" % header,
                              capture_output=True, text=True, timeout=60)
        if "No such file or directory" in done.stderr or "file not found" in done.stderr:
            foreign.append(header)  # of a library that is not installed here
            continue
        assert done.returncode == 0, done.stderr[-4000:]
    assert len(foreign) < len(HEADERS) / 2, foreign


PEDANTIC = '#include <sonde/sonde.h>\nint main(void)\n{\n    SONDE_SPAN("a", sonde_kv("k", 1)) { sonde_info("b", ' \
           'sonde_kv("c", 2.5)); }\n    sonde_info("c");\n    return 0;\n}\n'


@pytest.mark.parametrize("compiler", ["gcc -std=c11", "g++ -std=c++17"])
def test_programs_compile_with_pedantic_warnings(compiler):
    """With the headers where systems have them: in the system's include path. (clang's -Wpedantic also warns of
    the extensions of macros in there.)"""
    need(compiler)
    done = subprocess.run([*compiler.split(), "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-isystem",
                           os.path.join(ROOT, "include"), "-x", "c++" if "++" in compiler else "c", "-"],
                          input=PEDANTIC, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-4000:]
