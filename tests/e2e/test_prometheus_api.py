# SPDX-License-Identifier: Apache-2.0
"""The Prometheus API: what each path answers, and how it refuses."""
import gzip
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness import Server, post
from remote_write import STALE, V1, request1, snappy


@pytest.fixture(scope="module")
def server():
    with Server(args=("--enable-feature", "promql-experimental-functions")) as s:
        yield s


def ask(server, path, form=None, **parameters):
    """(status, answer)"""
    text = urllib.parse.urlencode(parameters, doseq=True)
    url = "%s/api/v1/%s" % (server.http, path)
    body = text.encode() if form else None
    try:
        request = urllib.request.Request(url if form else url + "?" + text, data=body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


BAD = [
    ("query", {"query": ""},
     'invalid parameter "query": unknown position: parse error: no expression found in input'),
    ("query", {"query": "sum(a b)"},
     'invalid parameter "query": 1:7: parse error: unexpected identifier "b" in aggregation'),
    ("query", {"query": "a[step()]"}, 'invalid parameter "query": 2:8: duration must be greater than 0'),
    ("query", {"query": "a + fill(1) b"},
     'invalid parameter "query": 1:1: parse error: binop fill modifiers are experimental and not enabled'),
    ("query", {"query": "1", "time": "yesterday"}, None),
    ("query", {"query": "1", "lookback_delta": "x"},
     'error parsing lookback delta duration: cannot parse "x" to a valid duration'),
    ("query_range", {"query": "1", "start": 0, "end": 20000, "step": 1},
     "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution "
     "(?step=XX)"),
    ("query_range", {"query": "1", "start": 10, "end": 0, "step": 1},
     'invalid parameter "end": end timestamp must not be before start time'),
    ("query_range", {"query": "1", "start": 0, "end": 10, "step": 0},
     'invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive '
     "integer"),
    ("query_range", {"query": "a[5m]", "start": 0, "end": 10, "step": 1},
     'invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or '
     "instant Vector"),
    ("format_query", {"query": "sum("}, None),
    ("parse_query", {"query": "foo{"},
     'invalid parameter "query": 1:5: parse error: unexpected end of input inside braces'),
    ("query_exemplars", {"query": "a", "start": 10, "end": 0},
     "end timestamp must not be before start timestamp"),
    ("series", {}, "no match[] parameter provided"),
    ("series", {"match[]": "{}"}, None),
    ("series", {"match[]": "a[5m]"}, 'invalid parameter "match[]": 1:2: parse error: unexpected "["'),
    ("status/tsdb", {"limit": 0}, "limit must be a positive number"),
]


@pytest.mark.parametrize("path,parameters,message", BAD)
def test_bad_data(server, path, parameters, message):
    status, answer = ask(server, path, **parameters)
    assert (status, answer["status"], answer["errorType"]) == (400, "error", "bad_data")
    if message:
        assert answer["error"] == message


@pytest.mark.parametrize("form", [False, True])
def test_a_query_by_get_and_post(server, form):
    status, answer = ask(server, "query", form, query="start() + 1", time=41)
    assert (status, answer["data"]) == (200, {"resultType": "scalar", "result": [41, "42"]})
    status, answer = ask(server, "query_range", form, query="step() + range()", start=0, end=10, step=5)
    assert answer["data"]["result"][0]["values"] == [[0, "15"], [5, "15"], [10, "15"]]


def test_stats_are_told_when_asked_for(server):
    assert "stats" not in ask(server, "query", query="1")[1]["data"]
    stats = ask(server, "query", query="1", stats="all")[1]["data"]["stats"]
    assert stats["timings"]["evalTotalTime"] > 0 and stats["samples"]["totalQueryableSamples"] == 0
    t = stats["timings"]
    phases = t["queryPreparationTime"] + t["innerEvalTime"] + t["resultSortTime"]
    assert 0 < phases <= t["evalTotalTime"] * 1.001 and t["queryPreparationTime"] > 0 and t["innerEvalTime"] > 0
    assert t["evalTotalTime"] + t["execQueueTime"] <= t["execTotalTime"] * 1.001 and t["execQueueTime"] > 0


def test_the_query_formatted(server):
    text = "sum by(a)(rate(foo_bar_baz_total{instance='one',job='two'}[5m]))/sum by(a)(rate(foo_bar_total[5m]))"
    assert ask(server, "format_query", query=text)[1]["data"] == (
        '  sum by (a) (rate(foo_bar_baz_total{instance="one",job="two"}[5m]))\n/\n'
        "  sum by (a) (rate(foo_bar_total[5m]))")


def test_the_query_as_a_tree(server):
    tree = ask(server, "parse_query", True, query="rate(a{b='c'}[5m] offset 1m) > 1")[1]["data"]
    assert (tree["type"], tree["op"], tree["matching"]) == ("binaryExpr", ">", None)
    call = tree["lhs"]
    assert call["func"] == {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}
    selector = call["args"][0]
    assert (selector["type"], selector["range"], selector["offset"]) == ("matrixSelector", 300000, 60000)
    assert selector["matchers"] == [{"name": "b", "value": "c", "type": "="},
                                    {"name": "__name__", "value": "a", "type": "="}]


def test_features(server):
    features = ask(server, "features")[1]["data"]
    assert features["promql_functions"]["info"] and features["promql_functions"]["rate"]
    assert features["promql"]["duration_expr"] and not features["promql"]["fill"]
    assert features["promql_operators"]["limitk"] and features["promql_operators"]["atan2"]


@pytest.mark.parametrize("path,members", [
    ("status/buildinfo", {"version", "application"}), ("status/config", {"yaml"}),
    ("status/runtimeinfo", {"startTime", "timeSeriesCount"}), ("status/walreplay", {"min", "max", "current"}),
    ("status/flags", {"query.lookback-delta", "query.timeout"}),
    ("status/tsdb", {"headStats", "seriesCountByMetricName", "labelValueCountByLabelName"}),
])
def test_status(server, path, members):
    status, answer = ask(server, path)
    assert status == 200 and members <= set(answer["data"])


def test_empty_lists(server):
    now = time.time()
    for path in ("query_exemplars", "query"):
        assert ask(server, path, query="nothing_here", start=now - 60, end=now)[0] == 200
    assert ask(server, "query_exemplars", query="nothing_here")[1]["data"] == []
    assert ask(server, "metadata", limit_per_metric=1)[1]["data"] == {}


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_a_large_streamed_answer_is_compressed(server, version):
    if not shutil.which("curl"):
        pytest.skip("curl is missing")
    # 20,000 points: more than one piece of a stream.
    url = server.http + "/api/v1/query_range?start=0&end=10000&step=1&query=" + urllib.parse.quote(
        'label_replace(vector(time()), "a", "1", "", "") or label_replace(vector(time() / 7), "a", "2", "", "")')

    def fetch(*options):
        head, _, body = subprocess.check_output(["curl", "-sS", "--fail", "-i", version, *options, url],
                                                timeout=60).partition(b"\r\n\r\n")
        return head.decode().lower(), body
    head, plain = fetch()
    assert "content-encoding" not in head and "content-length" not in head
    packed_head, packed = fetch("-H", "Accept-Encoding: gzip")
    assert "content-encoding: gzip" in packed_head and "vary: accept-encoding" in packed_head
    assert gzip.decompress(packed) == plain
    assert len(plain) > 300000 and len(packed) < len(plain) / 2
    refused, body = fetch("-H", "Accept-Encoding: gzip;q=0")
    assert "content-encoding" not in refused and body == plain


def test_another_prometheus_scrapes_the_newest_samples(server):
    now = int(time.time() * 1000)
    rows = [({"__name__": "fed_b", "job": "x", "quote": 'a"\\\n'}, [(now - 20000, 1), (now - 10000, 2.5)]),
            ({"__name__": "fed_a", "job": "x"}, [(now - 5000, float("inf"))]),
            ({"__name__": "fed_a", "job": "y"}, [(now - 5000, 1), (now - 4000, STALE)]),
            ({"__name__": "fed_old"}, [(now - 400000, 1)]), ({"__name__": "fed.dots", "a.b": "c"}, [(now, 3)])]
    assert post(server.http + "/api/v1/write", snappy(request1(rows)), V1,
                {"Content-Encoding": "snappy"})[0] in (200, 204)

    def federate(*selectors, accept=""):
        query = urllib.parse.urlencode({"match[]": selectors}, doseq=True)
        request = urllib.request.Request("%s/federate?%s" % (server.http, query), headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers["Content-Type"], answer.read().decode()

    kind, text = federate('{__name__=~"fed.*"}', "fed_b")
    assert kind.startswith("text/plain; version=0.0.4")
    assert text == ('# TYPE fed_dots untyped\nfed_dots{a_b="c"} 3 %d\n'
                    '# TYPE fed_a untyped\nfed_a{job="x"} +Inf %d\n'
                    '# TYPE fed_b untyped\nfed_b{job="x",quote="a\\"\\\\\\n"} 2.5 %d\n'
                    % (now, now - 5000, now - 10000))
    kind, text = federate('{"fed.dots"}', accept="text/plain;version=1.0.0;escaping=allow-utf-8")
    assert "version=1.0.0" in kind and text.splitlines()[1] == '{"fed.dots","a.b"="c"} 3 %d' % now
    assert federate()[1] == ""
    with pytest.raises(urllib.error.HTTPError, match="400"):
        federate("{")
