# SPDX-License-Identifier: Apache-2.0
"""Traces of a C++17 program: logs and spans by scopes, exceptions, callbacks and headers; and unsampled ones
that are exported since their local root failed, or the process died in it."""
import json
import os
import signal
import subprocess

import pytest

from harness import ROOT
from native import ENVIRONMENT, compile_program


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_program(os.path.join(ROOT, "tests/e2e/tracing_app.cc"),
                           tmp_path_factory.mktemp("tracing") / "tracing_app", "-Wall", "-Wextra", "-Werror")


def run(program, folder, what, code=0, **environment):
    out = folder / f"{what}.jsonl"
    done = subprocess.run([program, what], timeout=60, capture_output=True, text=True, env={
        **ENVIRONMENT, "SONDE_RECORDER_DIR": str(folder), "SONDE_LOG_OUTPUT": f"file:{out}",
        "OTEL_TRACES_EXPORTER": "console", **environment})
    assert done.returncode == code, done.stderr[-3000:]
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    spans = [line for line in lines if "end" in str(line.keys()) and "kind" in line]
    return {s["name"]: s for s in spans}, [line for line in lines if "kind" not in line]


def test_cxx(program, tmp_path):
    spans, logs = run(program, tmp_path, "run")
    assert set(spans) == {"request", "returns", "throws", "continued"}
    request, continued = spans["request"], spans["continued"]
    attributes = request["attributes"]
    assert attributes["color"] == 3 and attributes["fast"] is True and attributes["ratio"] == 0.5
    assert attributes["late"] == 1 and attributes["user_id"] == "ann" and attributes["tenant"] == "acme"
    events = {e["name"]: e["attributes"] for e in request["events"]}
    assert events["exception"] == {"exception.type": "std::string", "exception.message": "out of stock",
                                   "exception.stacktrace": "app.cc"}
    assert spans["returns"]["parent_span_id"] == request["span_id"]
    assert continued["trace_id"] == request["trace_id"] and continued["parent_span_id"] == request["span_id"]
    assert continued["links"][0]["span_id"] == continued["span_id"]
    by_name = {entry.get("event") or entry.get("message") or entry.get("msg"): entry for entry in logs}
    assert by_name["in_callback"]["user_id"] == "ann"
    assert by_name["in_callback"]["span_id"] == request["span_id"]
    assert by_name["in_continued"]["plan"] == "gold"


def test_an_unsampled_trace_is_exported_when_its_local_root_fails(program, tmp_path):
    spans, _ = run(program, tmp_path, "fail")
    assert set(spans) == {"root", "child"}
    assert spans["child"]["parent_span_id"] == spans["root"]["span_id"]
    spans, _ = run(program, tmp_path, "fail", OTEL_TRACES_SAMPLER="always_on")
    assert set(spans) == {"root", "child", "fine"}


def test_an_unsampled_trace_is_exported_when_the_process_dies_in_it(program, tmp_path):
    spans, _ = run(program, tmp_path, "die", code=-signal.SIGKILL)
    assert spans == {}
    spans, _ = run(program, tmp_path, "recover")
    assert set(spans) == {"root", "child"}
    assert "died" in json.dumps(spans["root"]) and "died" not in json.dumps(spans["child"])
    assert spans["child"]["parent_span_id"] == spans["root"]["span_id"]
