# SPDX-License-Identifier: Apache-2.0
"""`sonde query promql`: charts, tables, CSV and JSON of floats, native histograms and names of all kinds."""
import csv
import io
import json
import math
import os
import subprocess
import time
import urllib.parse

import pytest

from harness import ROOT, SONDE, Collector, get_json, post
from remote_write import V2, histogram, request2, snappy

CONFIG = """
receivers:
  prometheusremotewrite: { endpoint: "127.0.0.1:@write@" }
exporters:
  sonde: { retention: 30d }
service:
  pipelines:
    metrics: { receivers: [prometheusremotewrite], exporters: [sonde] }
"""
POINTS, STEP_S = 61, 30


@pytest.fixture(scope="module")
def server():
    end = int(time.time()) // 60 * 60 - 60
    times = [(end - (POINTS - 1 - i) * STEP_S) * 1000 for i in range(POINTS)]
    waves = [[t, 0.2 + 0.1 * k + 0.05 * math.sin(i / (6 + k))] for k in range(3) for i, t in enumerate(times)]
    with Collector(CONFIG) as s:
        series = [({"__name__": "wave_seconds", "kind": "k%d" % k},
                   [tuple(p) for p in waves[k * POINTS:(k + 1) * POINTS]], {}) for k in range(3)]
        series.append(({"__name__": "held.bytes", "köln": "so, \"ja\""}, [(times[-1], 3.5 * 2 ** 20)], {}))
        series.append(({"__name__": "gap"}, [(t, 1.0) for i, t in enumerate(times) if not 20 < i < 40], {}))
        series.append(({"__name__": "took_seconds"}, [], {"type": "histogram", "histograms": [
            histogram(t, 2.0 * (i + 1), count=4 * (i + 1), positive=([(0, 1)], [4 * (i + 1)]), threshold=0)
            for i, t in enumerate(times)]}))
        status, _, body = post("http://127.0.0.1:%d/api/v1/write" % s.port["write"], snappy(request2(series)),
                               V2, {"Content-Encoding": "snappy"})
        assert (status, body) == (204, b"")
        s.end = end
        yield s


def query(server, *args, columns=100):
    env = dict(os.environ, COLUMNS=str(columns), SONDE_ADDR=server.http)
    command = [SONDE, "query", "promql", *args]
    done = subprocess.run(command, env=env, capture_output=True, timeout=60, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def plot(server, expression, columns=100):
    return query(server, expression, "--plot", "--start", str(server.end - (POINTS - 1) * STEP_S), "--end",
                 str(server.end), "--step", "%ds" % STEP_S, columns=columns).splitlines()


@pytest.mark.parametrize("columns", [50, 100, 180])
def test_a_chart_of_all_series_fits_the_terminal(server, columns):
    lines = plot(server, "wave_seconds", columns)
    assert max(len(line) for line in lines) <= columns
    assert [line.strip() for line in lines[-3:]] == [
        '%s wave_seconds{kind="k%d"}  last %.4g ms' % ("*+o"[k], k, 1000 * (
            0.2 + 0.1 * k + 0.05 * math.sin((POINTS - 1) / (6 + k)))) for k in range(3)]
    labels = [line.split(" ┤")[0].strip() for line in lines if "┤" in line]
    assert labels == ["%d ms" % v for v in (500, 400, 300, 200, 100, 0)]
    rows = [line.split("┤")[-1].split("│")[-1] for line in lines[:16]]
    for mark in "*+o":  # one mark in every column, but where curves change their row
        drawn = {i for row in rows for i, c in enumerate(row) if c == mark}
        assert len(drawn) == columns - len("500 ms ┤ "), mark
    top = {mark: next(i for i, row in enumerate(rows) if mark in row) for mark in "*+o"}
    assert top["o"] < top["+"] < top["*"]
    starts = time.strftime("%Y-%m-%d %H:%M:%S to ", time.gmtime(server.end - (POINTS - 1) * STEP_S))
    assert lines[-4].strip().startswith(starts) and lines[-4].endswith(" UTC")
    assert lines[-6].strip().startswith("└") and "┬" in lines[-6]


def test_a_curve_has_a_gap_where_points_are_missing(server):
    lines = plot(server, "gap")
    row = next(line for line in lines if line.startswith("1.0 ┤"))
    assert row.rstrip().count(" " * 10) >= 1 and row[-1] != " "


def test_histograms_are_drawn_by_their_mean(server):
    lines = plot(server, "took_seconds")
    assert "last 500 ms" in lines[-2] and lines[-1] == "Of histograms the mean is shown."


def test_the_unit_follows_the_expression(server):
    for expression, last in (("deriv(wave_seconds[2m]) * 0", "last 0"), ("vector(1500000)", "last 1.5 M"),
                             ("sum(wave_seconds) / sum(wave_seconds)", "last 1"),
                             ("wave_seconds{kind='k0'} * 0 + 2", "last 2 s"),
                             ("deriv(gap[2m]) * 0 + 5", "last 5 /s"),
                             ("gap > 5", "there is no value to plot")):
        assert plot(server, expression)[-1].endswith(last), expression


def test_colour_only_where_it_is_wanted(server):
    pty = pytest.importorskip("pty")

    def screen(**more):
        ours, theirs = pty.openpty()
        env = dict(os.environ, SONDE_ADDR=server.http, **more)
        if not more:
            env.pop("NO_COLOR", None)
        command = [SONDE, "query", "promql", "wave_seconds", "--plot"]
        with subprocess.Popen(command, stdout=theirs, env=env) as process:
            os.close(theirs)
            text = b""
            try:
                while piece := os.read(ours, 65536):
                    text += piece
            except OSError:  # the other end was closed
                pass
            assert process.wait(30) == 0
        os.close(ours)
        return text.decode()
    assert "\033[38;5;39m" in screen() and "\033[38;5;41m" in screen()
    assert "\033" not in screen(NO_COLOR="1")


def test_native_histograms_and_names_in_every_form(server):
    text = "{count:%d, sum:%d, (0.5,1]:%d}" % (4 * POINTS, 2 * POINTS, 4 * POINTS)
    at = ("--at", str(server.end))
    assert query(server, "took_seconds", *at).splitlines()[1].split("  ") == ["took_seconds", text]
    assert list(csv.reader(io.StringIO(query(server, '{"held.bytes"}', *at, "-o", "csv")))) == [
        ["SERIES", "VALUE"], ['{"held.bytes", "köln"="so, \\"ja\\""}', "3670016"]]
    rows = list(csv.reader(io.StringIO(query(server, "took_seconds", "-o", "csv", "--step", "30s", "--start",
                                             str(server.end - 60), "--end", str(server.end)))))
    assert rows[0] == ["TIME", "SERIES", "VALUE"] and len(rows) == 4
    assert rows[3][1:] == ["took_seconds", text]
    line = json.loads(query(server, "took_seconds", *at, "-o", "jsonl"))
    assert line["histogram"][1]["buckets"] == [[0, "0.5", "1", str(4 * POINTS)]]
    answer = json.loads(query(server, '{"held.bytes"}', *at, "-o", "json"))
    assert answer["data"]["result"][0]["metric"] == {"__name__": "held.bytes", "köln": 'so, "ja"'}


def api(server, path, **parameters):
    return get_json("%s/api/v1/%s?%s" % (server.http, path, urllib.parse.urlencode(parameters, doseq=True)))


def test_stats_count_the_samples_that_were_read(server):
    for expression, least in (("sum(wave_seconds)", 3), ("sum(rate(wave_seconds[20m]))", 3 * 30)):
        stats = api(server, "query", query=expression, time=server.end, stats="all")["data"]["stats"]
        samples = stats["samples"]
        assert least <= samples["totalQueryableSamples"] < 3 * POINTS + 20, expression
        assert samples["samplesRead"] == samples["totalQueryableSamples"] < samples["peakSamples"], expression
        assert samples["seriesTouched"] == 3, expression


def test_a_limit_that_leaves_something_out_is_told(server):
    for path, more in (("labels", {}), ("label/kind/values", {}), ("series", {"match[]": "wave_seconds"}),
                       ("query", {"query": "wave_seconds", "time": server.end})):
        answer = api(server, path, limit=2, **more)
        data = answer["data"]["result"] if path == "query" else answer["data"]
        assert len(data) == 2 and answer["warnings"] == ["results truncated due to limit"], path
        for limit in (3, 0) if path != "labels" else (0, 100):
            whole = api(server, path, limit=limit, **more)
            assert "warnings" not in whole, (path, limit)


def test_the_reference_page_is_current():
    out = subprocess.check_output([SONDE, "query", "promql", "--reference"], timeout=60, encoding="utf-8")
    with open(os.path.join(ROOT, "docs/reference/promql.md"), encoding="utf-8") as f:
        assert f.read() == out, "run tools/reference.py --promql BUILD/sonde"
    assert "| `rate(r)` | vector |" in out
