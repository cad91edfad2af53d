# SPDX-License-Identifier: Apache-2.0
"""Native histograms of every shape by remote write: they survive kill -9, answer as they were sent, and go on to
another server unchanged; exemplars beside them."""
import math
import time

import pytest

from harness import Collector, get_json, post, wait_for
from remote_write import STALE, V2, histogram, request2, snappy

CONFIG = """
receivers:
  prometheusremotewrite: { endpoint: "127.0.0.1:@write@" }
exporters:
  sonde: { retention: 30d }
service:
  pipelines:
    metrics: { receivers: [prometheusremotewrite], exporters: [sonde] }
"""
ON = CONFIG.replace("  sonde: { retention: 30d }", """  sonde: { retention: 30d }
  prometheusremotewrite: { endpoint: "http://127.0.0.1:%d/api/v1/write" }""") \
           .replace("[sonde] }", "[sonde, prometheusremotewrite] }")

# Name: (sum, the message's other members, the buckets that the query gives: [rule, from, to, count]).
SHAPES = {
    "whole": (18.4, {"count": 12, "zero": 2, "schema": 1, "threshold": 0.001, "hint": 2,
                     "positive": ([(0, 2), (3, 2)], [1, 3, 1, 4]), "negative": ([(-1, 1)], [1])},
              [[1, -0.7071067811865475, -0.5, 1], [3, -0.001, 0.001, 2], [0, 0.7071067811865475, 1, 1],
               [0, 1, 1.414213562373095, 3], [0, 4, 5.65685424949238, 1], [0, 5.65685424949238, 8, 4]]),
    "floats": (2.5, {"count": 3.75, "floats": True, "zero": 0.25, "schema": 0, "threshold": 0.5,
                     "positive": ([(1, 2)], [1.5, 2])},
               [[3, -0.5, 0.5, 0.25], [0, 1, 2, 1.5], [0, 2, 4, 2]]),
    "gauge": (-1, {"count": 1, "schema": -4, "hint": 3, "positive": ([(1, 1)], [1])}, [[0, 1, 65536, 1]]),
    "custom": (9, {"count": 6, "schema": -53, "threshold": 0, "custom": (0.1, 1),
                   "positive": ([(0, 1), (1, 1)], [2, 4])}, [[3, -math.inf, 0.1, 2], [0, 1, math.inf, 4]]),
}


def now_ms():
    return int(time.time() * 1000) - 1000


def send(server, t):
    series = [({"__name__": name, "job": "j"}, [],
               {"type": "histogram", "histograms": [histogram(t, total, **more)],
                "exemplars": [({"trace_id": "%032x" % 7}, t, 0.5)] if name == "whole" else []})
              for name, (total, more, _) in SHAPES.items()]
    series.append(({"__name__": "gone"}, [], {"type": "histogram", "histograms": [
        histogram(t - 1000, 1, count=1, positive=([(0, 1)], [1])), histogram(t, STALE, count=0)]}))
    status, headers, body = post("http://127.0.0.1:%d/api/v1/write" % server.port["write"],
                                 snappy(request2(series)), V2, {"Content-Encoding": "snappy"})
    assert (status, body) == (204, b"")
    assert headers["X-Prometheus-Remote-Write-Histograms-Written"] == str(len(SHAPES) + 2)


def number(text):
    return {"+Inf": math.inf, "-Inf": -math.inf}.get(text) or float(text)


def asked(server, name, t):
    """(count, sum, buckets) of the one histogram, None when there is none."""
    rows = server.promql(name, t / 1000)
    if not rows:
        return None
    assert rows[0]["metric"]["__name__"] == name
    h = rows[0]["histogram"][1]
    return (number(h["count"]), number(h["sum"]),
            [[b[0]] + [number(x) for x in b[1:]] for b in h.get("buckets", ())])


def same(got, want):
    return got and all(a == pytest.approx(b, rel=1e-12) for a, b in zip(got[:2], want[:2])) \
        and [b[0] for b in got[2]] == [b[0] for b in want[2]] \
        and all(a[1:] == pytest.approx(b[1:], rel=1e-12) for a, b in zip(got[2], want[2]))


def check(server, t):
    for name, (total, more, buckets) in SHAPES.items():
        got = asked(server, name, t)
        assert same(got, (more["count"], total, buckets)), (name, got)
    assert asked(server, "gone", t - 500) is not None and asked(server, "gone", t) is None
    # No series of parts, as classic ones have them.
    names = get_json(server.http + "/api/v1/label/__name__/values")["data"]
    assert set(names) == {*SHAPES, "gone"}


def exemplars(server, t):
    url = "%s/api/v1/query_exemplars?query=rate(whole[1m])&start=%.3f&end=%.3f"
    return get_json(url % (server.http, t / 1000 - 60, t / 1000 + 60))["data"]


def test_exemplars_survive_kill_9():
    t = now_ms()
    want = [{"seriesLabels": {"__name__": "whole", "job": "j"},
             "exemplars": [{"labels": {"trace_id": "%032x" % 7}, "value": "0.5",
                            "timestamp": pytest.approx(t / 1000)}]}]
    with Collector(CONFIG) as server:
        send(server, t)
        assert exemplars(server, t) == want
        server.kill()
        server.start()
        assert exemplars(server, t) == want
        server.stop()
        server.start()
        assert exemplars(server, t) == want
        assert exemplars(server, t - 3600000) == []


def test_all_shapes_survive_kill_9_and_come_back_as_they_were():
    t = now_ms()
    with Collector(CONFIG) as server:
        send(server, t)
        check(server, t)
        server.kill()
        server.start()
        check(server, t)
        server.stop()  # sealed
        server.start()
        check(server, t)


def test_remote_write_passes_them_on_unchanged():
    t = now_ms()
    with Collector(CONFIG) as last, Collector(ON % last.port["write"]) as first:
        send(first, t)
        wait_for("the second server's answer", lambda: asked(last, "custom", t))
        check(last, t)


def test_what_contradicts_itself_is_refused_alone():
    t = now_ms()
    wrong = histogram(t, 1, count=3, positive=([(0, 1)], [1]))
    right = histogram(t, 1, count=1, positive=([(0, 1)], [1]))
    with Collector(CONFIG) as server:
        body = request2([({"__name__": "wrong"}, [], {"histograms": [wrong]}),
                         ({"__name__": "right"}, [], {"histograms": [right]})])
        status, _, text = post("http://127.0.0.1:%d/api/v1/write" % server.port["write"], snappy(body), V2,
                               {"Content-Encoding": "snappy"})
        assert status == 400 and b"add up to" in text
        assert asked(server, "right", t) and not asked(server, "wrong", t)
