# SPDX-License-Identifier: Apache-2.0
"""Range queries with and without the cache of results: the same bytes, whatever comes in between, and after a
restart; native histograms, stale markers and late samples too."""
import json
import random
import re
import threading
import time
import urllib.parse

from harness import Collector, get, post, wait_for
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
STEP = 15
EXPRESSIONS = [
    "http_total", "rate(http_total[1m])", "sum by (code) (rate(http_total[2m]))",
    "sum(rate(http_total[1m])) / count(http_total)", "topk(2, sum by (code) (rate(http_total[1m])))",
    "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[2m])))", "histogram_quantile(0.9, rate(native[2m]))",
    "sum(native)", "histogram_count(native) - ignoring (job) histogram_count(native offset 1m)",
    "rate(gauge[1m])", "absent(http_total{code='500'})", "absent_over_time(gauge[45s])",
    "max_over_time(sum(rate(http_total[1m]))[5m:30s])", "gauge offset 2m - gauge", "gauge offset -30s",
    "gauge @ end()", "gauge @ start() + gauge", "sum_over_time(gauge[2m]) / quantile_over_time(0.9, gauge[2m])",
    "count_values('v', gauge)", "sum(http_total) by (code) > 40 or gauge", "gauge > bool 3", "timestamp(gauge)",
    "stddev(stddev by (code) (http_total))", "label_replace(gauge, 'x', '$1', 'job', '(.).*')", "nothing", "time()",
    "rate(gauge[step() * 4])", "sum_over_time(gauge[range() / 10])", "gauge - start()", "time() - end() + step()",
]
ARGS = ("--enable-feature", "promql-duration-expr,promql-experimental-functions")


class Traffic:
    """What a scraper would send: counters that restart, series that come and go, a few samples too late."""

    def __init__(self, server, seed):
        self.url = "http://127.0.0.1:%d/api/v1/write" % server.port["write"]
        self.random = random.Random(seed)
        self.totals = {}

    def at(self, second, late=True):
        r, ms, rows = self.random, second * 1000, []
        for n in range(6):
            key = {"__name__": "http_total", "code": str(200 + 100 * (n % 3)), "instance": str(n)}
            self.totals[n] = 0 if r.random() < 0.03 else self.totals.get(n, 0) + r.random() * 10
            if r.random() > 0.1:
                rows.append((key, [(ms, STALE if r.random() < 0.03 else self.totals[n])], {"type": "counter"}))
        for n, bound in enumerate(("0.1", "1", "+Inf")):
            rows.append(({"__name__": "latency_bucket", "le": bound}, [(ms, (n + 1) * (second % 100000))],
                         {"type": "counter"}))
        count = second % 100000
        rows.append(({"__name__": "native", "job": "j"}, [], {"type": "histogram", "histograms": [
            histogram(ms, count * 1.5, count=3 * count, positive=([(0, 2)], [count, 2 * count]))]}))
        rows.append(({"__name__": "gauge", "job": "g%d" % r.randrange(3)}, [(ms, r.randrange(6))], {"type": "gauge"}))
        if late and r.random() < 0.3:
            before = ms - r.choice((20, 100, 900)) * 1000 - r.randrange(1000)
            rows.append(({"__name__": "gauge", "job": "late"}, [(before, r.random())], {"type": "gauge"}))
        status, _, body = post(self.url, snappy(request2(rows)), V2, {"Content-Encoding": "snappy"})
        assert status == 204, body


def ask(server, query, start, end, step, nocache=False):
    options = {"query": query, "start": start, "end": end, "step": step, **({"nocache": 1} if nocache else {})}
    return get(server.http + "/api/v1/query_range?" + urllib.parse.urlencode(options))


def same(server, query, end, length=1200, step=STEP):
    end -= end % step
    cached, plain = (ask(server, query, end - length, end, step, nocache) for nocache in (False, True))
    assert cached == plain, (query, cached[:2000], plain[:2000])
    assert json.loads(plain)["status"] == "success"


def refresh(server, r, end, panels):
    for query in r.sample(EXPRESSIONS, panels):
        same(server, query, end, r.choice((600, 1200)), r.choice((STEP, STEP, 60)))


def test_cached_answers_are_the_bytes_without_the_cache():
    r = random.Random(3)
    with Collector(CONFIG, args=ARGS) as server:
        # Time that is over, as a dashboard sees it go by: half an hour in a few seconds.
        begin = int(time.time()) // STEP * STEP - 3600
        traffic = Traffic(server, 5)
        for second in range(begin - 900, begin, STEP):
            traffic.at(second, late=False)
        for n, second in enumerate(range(begin, begin + 1800, STEP)):
            traffic.at(second)
            refresh(server, r, second, 4)
            if n == 60:
                server.kill()
                server.start()
        for query in EXPRESSIONS:  # nothing comes any more: all from the cache
            for slide in range(4):
                same(server, query, begin + 1800 + slide * STEP)


def counters(server):
    """The cache's own metrics, without what stands before and behind their names."""
    return {name: float(v) for name, v in re.findall(r"^sonde_query_cache_(\w+?)(?:_total)? (\S+)$",
                                                     get(server.http + "/metrics").decode(), re.M)}


def test_histograms_and_notes_are_cached_and_counted():
    with Collector(CONFIG, args=ARGS) as server:
        begin = int(time.time()) // STEP * STEP - 3600
        traffic = Traffic(server, 5)
        for second in range(begin, begin + 1500, STEP):
            traffic.at(second, late=False)
        for n, query in enumerate(("native", "sum(rate(native[2m]))", "rate(gauge[2m])", "quantile(2, gauge)",
                                   "rate(gauge[step() * 8])"), 1):
            for slide in range(3):
                same(server, query, begin + 1400 + slide * STEP)
            same(server, query, begin + 1400)
            now = counters(server)
            assert now["misses"] == n and now["partial_hits"] == 2 * n and now["hits"] == n, (query, now)
        assert now["entries"] == 4 and 1000 < now["bytes"] < 64 << 20
        for query, place in (("rate(gauge[2m])", "(1:6)"), ("rate( gauge[2m])", "(1:7)")):
            for _ in range(2):
                answer = json.loads(ask(server, query, begin, begin + 1400, STEP))
                assert answer["infos"][0].endswith(place), answer["infos"]
        assert now["evictions"] == 0 and now["outdated"] == 0
        answer = json.loads(ask(server, "rate(gauge[2m])", begin, begin + 1200, STEP))
        assert answer["infos"] == ["PromQL info: metric might not be a counter, name does not end in "
                                   '_total/_sum/_count/_bucket: "gauge" (1:6)']


def test_notes_beyond_those_that_are_shown_are_counted():
    with Collector(CONFIG, args=ARGS) as server:
        now = int(time.time())
        rows = [({"__name__": "m%d" % n, "n": str(n)}, [(now * 1000 - 30000, 1), (now * 1000, 2)], {"type": "gauge"})
                for n in range(123)]
        url = "http://127.0.0.1:%d/api/v1/write" % server.port["write"]
        status, _, body = post(url, snappy(request2(rows)), V2, {"Content-Encoding": "snappy"})
        assert status == 204, body
        query = urllib.parse.urlencode({"query": 'sum(rate({__name__=~"m.*"}[5m]))', "time": now})
        infos = json.loads(get(server.http + "/api/v1/query?" + query))["infos"]
        assert len(infos) == 11 and infos[-1] == "113 more info annotations omitted"
        assert infos[:10] == sorted(infos[:10])


def test_dashboards_at_once_agree_while_samples_come():
    """The past is at rest while now goes on, and then for all: everybody sees the same of it."""
    with Collector(CONFIG, args=ARGS) as server:
        now = int(time.time()) // STEP * STEP
        traffic = Traffic(server, 9)
        for second in range(now - 3600, now - 1800, STEP):
            traffic.at(second, late=False)
        wrong, drawn, done = [], [], threading.Event()

        def dashboard(seed):
            r = random.Random(seed)
            try:
                while not done.is_set():
                    refresh(server, r, now - 1900 + r.randrange(6) * STEP, 3)
                    drawn.append(seed)
            except Exception as e:  # told by the main thread
                wrong.append(e)

        threads = [threading.Thread(target=dashboard, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for second in range(now - 300, now, STEP):
            traffic.at(second, late=False)
        while_written = len(drawn)
        wait_for("dashboards over what is at rest", lambda: wrong or len(drawn) > while_written + 80)
        done.set()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[0]
