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


def run(files, tmp_path, *more):
    """The files' parts of promqltest.py's report, and what it printed."""
    http, otlp, grpc = harness.free_ports(3)
    command = ("%s serve --retention 0 --enable-feature %s --data {datadir} --http 127.0.0.1:%d "
               "--otlp-http 127.0.0.1:%d --otlp-grpc 127.0.0.1:%d"
               % (harness.SONDE, ",".join(FEATURES), http, otlp, grpc))
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, os.path.join(FOLDER, "promqltest.py"), "--mode", "restart", "--kill9", "--cmd", command,
         "--url", "http://127.0.0.1:%d" % http, "--show", "20", "--json", str(report), "--tmp", str(tmp_path),
         "--server-log", str(tmp_path / "server.log"), *more, *files],
        capture_output=True, text=True, timeout=200)
    assert report.exists(), done.stdout + done.stderr
    return json.loads(report.read_text())["files"].values(), done.stdout


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part[0] if part else "others")
def test_published_scripts_give_prometheus_answers(part, tmp_path):
    files, text = run([os.path.join(SCRIPTS, name) for name in names(part)], tmp_path)
    assert sum(f["total"] for f in files) > 50
    assert not sum(f["fail"] for f in files), text
    skipped = [case["class"] for f in files for case in f["cases"] if case["status"] == "skip"]
    assert set(skipped) <= {"start-timestamp"}, text


def test_our_scripts_hold_over_http_texts_included(tmp_path):
    """Those with native histograms are run here only; the others by the unit test of scripts, too."""
    names = ("annotations", "extended_ranges", "fill", "matching", "native/native_histograms")
    paths = [os.path.join(harness.ROOT, "tests", "query", name + ".test") for name in names]
    files, text = run(paths, tmp_path, "--strict-messages")
    assert sum(f["total"] for f in files) > 40
    assert not sum(f["fail"] + f["skip"] for f in files), text
