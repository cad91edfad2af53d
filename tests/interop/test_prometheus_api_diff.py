# SPDX-License-Identifier: Apache-2.0
"""The Prometheus API over HTTP, the same requests to this server and to Debian's Prometheus 2.42 on the same
samples: status, content type and the whole of the JSON are equal. Where Prometheus 3 answers otherwise than
2.42, what it answers is written here."""
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request

import pytest

import promql_diff
from harness import Server, post, wait_for
from remote_write import V1, request1, snappy

T = 1_750_000_000
AT = {"time": T + 600.5}
RANGE = {"start": T + 300.5, "end": T + 600.5, "step": "60"}
ALL = {"start": T, "end": T + 1200}

QUERIES = [
    'reqs_total', 'sum by (job) (rate(reqs_total[5m]))', '1+1', 'scalar(sum(temp))', '"text"', 'odd',
    'reqs_total[1m]',
    'histogram_quantile(0.5, rate(lat_bucket[5m]))', 'reqs_total{job="a"}[1m]', 'nosuch',
    'sort_desc(reqs_total)',
    'topk(2, reqs_total)', 'temp offset 1m', 'temp @ %d' % (T + 300), 'count_values("v", temp)',
    'absent(nosuch{a="b"})', 'label_replace(temp, "n", "$1", "zone", "z(.)")', '-temp', 'temp > bool 20',
    '1/0', '-1/0',
    '0/0', 'max_over_time(temp[5m:30s])', 'temp[5m:1m]', 'vector(1e300)', 'vector(0.1)', 'vector(1e21)',
    'vector(1e20)',
    'vector(123456789012345680)', 'vector(1e-7)', 'vector(1e-6)', 'vector(0.00001234)', 'time()',
]
REFUSED = [
    'sum(', 'sum(a b)', 'foo{', 'foo{a="b"', 'foo{a=b}', 'rate(temp)', 'rate(temp[5m]', 'temp[5m] + 1',
    'sum(temp[5m])',
    'nofunc(1)', '1 + "a"', 'temp[0s]', '{}', '{a=~".*"}', '{a=""}', 'label_replace(temp,"","x","job","(")',
    'temp + bool 1', 'sum by (job (temp)', 'topk(temp, 1)', 'quantile(temp)', 'abs(1)', 'abs()',
    'abs(temp, 1)',
    'round(temp,1,2)', 'time(1)', 'foo bar', 'temp[5m:', 'temp @ foo', 'temp @ start', '"a', "'a", '`a',
    'temp[1m] @ 5 @ 6',
    'sum(temp) by (job) by (zone)', 'temp offset 5m offset 5m', 'sum', '1 == 1', '1 and 1', 'temp bool 1',
    'on',
    '{__name__="temp",__name__="x"}', 'histogram_quantile("a", temp)', 'vector(temp)', 'scalar(1)',
    'topk("a",temp)',
    '-"a"', '(1', '1)', '()', '[5m]', 'temp[5m][5m]', 'temp{a="b"}{c="d"}', 'temp !~ 1', 'temp = 1', '!',
    '$', 'temp & temp',
    'a.b', 'ä', 'temp unless on(job) group_left() temp', '0x', 'clamp(temp, 1)',
]
FORMATTED = [
    'sum by(job)(rate(reqs_total[5m]))', 'temp offset 1h30m', '1e3', 'foo{a="b",c=~"d"}', 'a+b*c^-2',
    '(((a)))', '"a"',
    '{__name__="temp"}', 'temp[5m:]', 'temp@5', 'sum without()(temp)', 'a and on() b',
    'a + on(x) group_left(y) b',
    'topk(5,a)', '-a', '0x1F', 'Inf', 'temp offset -5m', 'temp[90s]', 'temp > bool 1', "foo{a='b'}", 'sum(',
    'rate(temp)',
]
RANGES = [
    {"query": "temp"}, {"query": "sum(rate(reqs_total[2m]))"}, {"query": "1"}, {"query": "nosuch"},
    {"query": "odd"},
    {"query": "temp @ end()"}, {"query": "temp @ start()"}, {"query": "histogram_quantile(0.9, lat_bucket)"},
    {"query": 'scalar(temp{job="a",instance="0"})'}, {"query": "temp", "step": "1m"},
    {"query": "temp", "step": "0.5", "end": T + 301}, {"query": "temp", "start": "2025-06-15T15:11:40.5Z"},
    {"query": "temp", "step": "0"}, {"query": "temp", "step": "-1"}, {"query": "temp", "step": "foo"},
    {"query": "temp", "step": ""}, {"query": "temp", "step": "9223372037"},
    {"query": "temp", "step": "0.001", "end": T + 3000}, {"query": "temp", "end": T}, {"query": "temp",
    "start": "foo"},
    {"query": "temp", "end": "foo"}, {"query": "temp", "start": ""}, {"query": "temp", "end": ""},
    {"query": "temp", "timeout": "foo"},
]
SELECTORS = [
    ["temp"], ['temp{zone="z0"}'], ['{__name__=~"t.*|o.*"}'], ["temp", "odd"], ["nosuch"], ["{}"], [],
    ["temp["], ["temp[5m]"],
    ["sum(temp)"], ['{a=""}'],
]
OTHER = [
    ("query", {"query": "temp", "time": "2025-06-15T15:10:00Z"}), ("query", {"query": "temp",
    "timeout": "foo", **AT}),
    ("query", {"query": "temp", "timeout": "5", **AT}), ("query", {"query": "temp", "time": "1e3"}),
    ("series", {"match[]": "temp", "start": T + 10, "end": T}), ("labels", {}), ("label/__name__/values", {}),
    ("label/zone/values", ALL), ("label/nosuch/values", ALL), ("label/job/values",
    {"start": T + 10, "end": T}),
    ("series", {"match[]": "temp", "start": T - 5000, "end": T - 4000}), ("labels",
    {"start": T - 50000, "end": T - 40000}),
    ("query_exemplars", {"query": "temp", **ALL}), ("query_exemplars", {"query": "sum(", **ALL}),
    ("query_exemplars", {"query": "temp", "end": "1", "start": "2"}), ("metadata", {"metric": "nosuch"}),
    ("metadata", {"limit": "foo"}), ("rules", {"type": "foo"}), ("rules", {}), ("alerts", {}),
    ("alertmanagers", {}),
]

# What Prometheus 3 answers, and 2.42 otherwise.
EMPTY = "unknown position: parse error: no expression found in input"
NEWER = [
    ("query", {"query": ""}, 'invalid parameter "query": ' + EMPTY),
    ("query", {}, 'invalid parameter "query": ' + EMPTY),
    ("query_range", {"query": "", **RANGE}, 'invalid parameter "query": ' + EMPTY),
    ("format_query", {"query": ""}, 'invalid parameter "query": ' + EMPTY),
    ("query_exemplars", {"query": "", **ALL}, EMPTY),
    ("query", {"query": "#comment"},
    'invalid parameter "query": 1:1: parse error: no expression found in input'),
    ("query", {"query": "temp offset"},
    'invalid parameter "query": 1:12: parse error: unexpected end of input in offset, '
     'expected number, duration, step(), or range()'),
    ("query", {"query": "1e"},
    'invalid parameter "query": 1:1: parse error: bad number or duration syntax: "1e"'),
    ("query", {"query": "1..2"},
    'invalid parameter "query": 1:1: parse error: bad number or duration syntax: "1.."'),
    ("query", {"query": "@"}, 'invalid parameter "query": 1:1: parse error: unexpected <op:@>'),
    ("query", {"query": "temp[-1m]"},
    'invalid parameter "query": 1:6: parse error: duration must be greater than 0'),
    ("query", {"query": "temp[1m:-1s]"},
    'invalid parameter "query": 1:9: parse error: duration must be greater than 0'),
    ("query_range", {"query": "sum(", **RANGE},
    'invalid parameter "query": 1:5: parse error: unclosed left parenthesis'),
    ("query_range", {"query": '"a"', **RANGE},
    'invalid parameter "query": invalid expression type "string" for range '
     'query, must be Scalar or instant Vector'),
    ("query_range", {"query": "temp[5m]", **RANGE},
    'invalid parameter "query": invalid expression type "range vector" '
     'for range query, must be Scalar or instant Vector'),
    ("query_range", {"query": "temp", **RANGE, "step": "NaN"},
     'invalid parameter "step": cannot parse "NaN" to a valid duration. It overflows int64'),
    ("query", {"query": "temp", "time": "foo"},
     'invalid parameter "time": invalid time value for \'time\': cannot parse "foo" to a valid timestamp'),
    ("labels", {"match[]": "{}", **ALL}, "match[] must contain at least one non-empty matcher"),
    ("series", {"match[]": "{}", **ALL},
    'invalid parameter "match[]": match[] must contain at least one non-empty matcher'),
    ("series", {"match[]": "temp", "start": "foo"},
     'invalid parameter "start": invalid time value for \'start\': cannot parse "foo" to a valid timestamp'),
    ("labels", {"end": "foo"},
    'invalid parameter "end": invalid time value for \'end\': cannot parse "foo" to a valid '
     'timestamp'),
    ("series", {"match[]": "", **ALL},
    'invalid parameter "match[]": unknown position: parse error: unexpected end of input'),
    ("labels", {"match[]": "temp[", **ALL}, '1:5: parse error: unexpected "["'),
]


def requests():
    for query in QUERIES + REFUSED:
        yield "query", {"query": query, **AT}
    for query in FORMATTED:
        yield "format_query", {"query": query}
    for parameters in RANGES:
        yield "query_range", {**RANGE, **parameters}
    for selector in SELECTORS:
        for path in "series", "labels", "label/job/values":
            yield path, {"match[]": selector, **ALL}
    yield from OTHER


def series():
    def points(value, count=80):
        return [(1000 * (T + 15 * k) + 337, float(value(k))) for k in range(count)]
    for job in "ab":
        for n in range(2):
            of = {"job": job, "instance": str(n)}
            yield {"__name__": "reqs_total", **of}, points(lambda k: 7 * k * (n + 1))
            yield {"__name__": "temp", **of, "zone": "z%d" % n}, points(lambda k: 20.25 + k % 5 - n)
    odd = [float("nan"), float("inf"), 1e300, -1e-9, 123456789.125, 0.00005]
    yield {"__name__": "odd"}, points(odd.__getitem__, len(odd))
    for le, count in ("0.1", 1), ("1", 3), ("+Inf", 4):
        yield {"__name__": "lat_bucket", "le": le}, points(lambda k: count * k)


def ask(url, path, parameters, form=False):
    """(status, content type, answer)"""
    text = urllib.parse.urlencode(parameters, doseq=True)
    url += "/api/v1/" + path
    try:
        body = text.encode() if form else None
        request = urllib.request.Request(url if form else url + "?" + text, data=body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, e.headers["Content-Type"], json.load(e)


def in_order(answer, path, parameters):
    """The order of series is open, but for what sorts."""
    data = answer[2].get("data")
    if isinstance(data, dict) and isinstance(data.get("result"),
    list) and "sort" not in parameters.get("query", ""):
        if data["resultType"] in ("vector", "matrix"):
            data["result"].sort(key=lambda row: json.dumps(row["metric"], sort_keys=True))
    if path == "series" and data:
        data.sort(key=lambda row: json.dumps(row, sort_keys=True))
    return answer


@pytest.fixture(scope="module")
def servers():
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")
    with promql_diff.OldPrometheus() as old, Server(args=["--retention", "0"]) as ours:
        body = snappy(request1(list(series())))
        headers = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}
        for url in old.url, ours.http:
            post(url + "/api/v1/write", body, V1, headers)

        def samples(url):
            return ask(url, "query", {"query": 'sum(count_over_time({__name__=~".+"}[1h]))',
            "time": T + 1200})[2]["data"]
        wait_for("all samples", lambda: samples(old.url)["result"] and samples(old.url) == samples(ours.http))
        yield old.url, ours.http


def test_answers_are_those_of_prometheus(servers):
    old, ours = servers
    wrong = []
    for path, parameters in requests():
        want = in_order(ask(old, path, parameters), path, parameters)
        got = in_order(ask(ours, path, parameters), path, parameters)
        if want != got:
            wrong.append("%s %s\n  want %s\n  got  %s" % (path, parameters, json.dumps(want)[:500],
            json.dumps(got)[:500]))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path,parameters,message", NEWER)
def test_refused_as_by_prometheus_3(servers, path, parameters, message):
    status, kind, answer = ask(servers[1], path, parameters)
    assert answer == {"status": "error", "errorType": "bad_data", "error": message}
    assert (status, kind) == (400, "application/json")


def test_forms_are_answered_as_addresses(servers):
    for path, parameters in requests():
        if path.startswith(("query", "series", "labels", "format")):
            assert ask(servers[1], path, parameters, form=True) == \
                ask(servers[1], path, parameters), (path, parameters)
