# SPDX-License-Identifier: Apache-2.0
"""Prometheus's published PromQL scripts, through remote write and the HTTP API. Each block has a server of
its own, so the files are spread over several tests that run beside each other."""
import json
import os
import subprocess
import sys

import pytest

import harness

FOLDER = os.path.join(os.path.dirname(harness.ROOT), "shared", "conformance")
SCRIPTS = os.path.join(FOLDER, "promql")
FEATURES = ("promql-experimental-functions", "promql-duration-expr", "promql-delayed-name-removal",
            "promql-extended-range-selectors", "promql-binop-fill-modifiers")
PARTS = (("native_histograms", "histograms"), ("operators", "aggregators"), None)  # None: all others

pytestmark = pytest.mark.skipif(not os.path.isdir(SCRIPTS), reason="../shared/conformance/promql is not here")


def names(part):
    if part:
        return [name + ".test" for name in part]
    listed = {name + ".test" for part in PARTS if part for name in part}
    return sorted(set(os.listdir(SCRIPTS)) - listed)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part[0] if part else "others")
def test_published_scripts_give_prometheus_answers(part, tmp_path):
    http, otlp, grpc = harness.free_ports(3)
    command = ("%s serve --retention 0 --enable-feature %s --data {datadir} --http 127.0.0.1:%d "
               "--otlp-http 127.0.0.1:%d --otlp-grpc 127.0.0.1:%d"
               % (harness.SONDE, ",".join(FEATURES), http, otlp, grpc))
    report = tmp_path / "report.json"
    run = subprocess.run(
        [sys.executable, os.path.join(FOLDER, "promqltest.py"), "--mode", "restart", "--kill9", "--cmd", command,
         "--url", "http://127.0.0.1:%d" % http, "--show", "20", "--json", str(report), "--tmp", str(tmp_path),
         "--server-log", str(tmp_path / "server.log")] + [os.path.join(SCRIPTS, name) for name in names(part)],
        capture_output=True, text=True, timeout=200)
    assert report.exists(), run.stdout + run.stderr
    files = json.loads(report.read_text())["files"]
    assert sum(f["total"] for f in files.values()) > 50
    assert not sum(f["fail"] for f in files.values()), run.stdout
    skipped = [case["class"] for f in files.values() for case in f["cases"] if case["status"] == "skip"]
    assert set(skipped) <= {"start-timestamp"}, run.stdout
