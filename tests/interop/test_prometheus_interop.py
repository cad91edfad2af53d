# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus and VictoriaMetrics around one server: a Prometheus writes into it by remote write, it
writes on into another Prometheus and into VictoriaMetrics, both scrape its page, and the same query at
the same time has the same answer in all of them."""
import json
import math
import shutil
import subprocess
import time
import urllib.parse

import pytest

from harness import Collector, attributes, free_ports, get, get_json, post, wait_for
from remote_write import STALE, V1, request1, snappy

CONFIG = """
receivers:
  otlp:
    protocols: { http: { endpoint: "127.0.0.1:@otlp@" } }
  prometheusremotewrite: { endpoint: "127.0.0.1:@write@" }
exporters:
  sonde:
  prometheusremotewrite/prometheus:
    endpoint: http://127.0.0.1:@prometheus@/api/v1/write
    retry_on_failure: { initial_interval: 50ms, max_interval: 200ms }
  prometheusremotewrite/victoria:
    endpoint: http://127.0.0.1:@victoria@/api/v1/write
    external_labels: { via: sonde }
    send_metadata: true
    retry_on_failure: { initial_interval: 50ms, max_interval: 200ms }
  prometheus:
    endpoint: 127.0.0.1:@page@
    namespace: page
    const_labels: { site: lab }
    enable_open_metrics: true
service:
  pipelines:
    metrics:
      receivers: [otlp, prometheusremotewrite]
      exporters: [sonde, prometheusremotewrite/prometheus, prometheusremotewrite/victoria]
    metrics/page:
      receivers: [otlp]
      exporters: [prometheus]
"""
SCRAPE = """
global: {{ scrape_interval: 500ms, scrape_timeout: 500ms, external_labels: {external} }}
scrape_configs:
- job_name: {job}
  honor_labels: true
  static_configs: [{{ targets: ['127.0.0.1:{target}'] }}]
"""


class Program:
    """A foreign server that is up when its page answers."""

    def __init__(self, command, port, ready):
        self.url = "http://127.0.0.1:%d" % port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(command[0], lambda: get(self.url + ready), 30)

    def ask(self, query, at=None):
        url = self.url + "/api/v1/query?query=" + urllib.parse.quote(query)
        return rows(get_json(url if at is None else url + "&time=%.3f" % at)["data"]["result"])

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def rows(result, without=()):
    """[({labels}, value)], in order; NaN as text, so that it equals itself."""
    def value(text):
        v = float(text)
        return "NaN" if math.isnan(v) else v
    return sorted((({k: v for k, v in r["metric"].items() if k not in without}, value(r["value"][1]))
                   for r in result), key=lambda row: sorted(row[0].items()))


def prometheus(folder, name, port, config, *flags):
    path = folder / (name + ".yml")
    path.write_text(config)
    return Program(["prometheus", "--config.file=%s" % path, "--storage.tsdb.path=%s" % (folder / name),
                    "--web.listen-address=127.0.0.1:%d" % port, "--log.level=warn", *flags], port, "/-/ready")


class World:
    """The server and the programs around it."""

    def __init__(self, server, folder):
        self.server, self.programs = server, []
        ports = server.port
        own, = free_ports(1)
        page = SCRAPE.format(job="page", target=ports["page"], external="{}")
        self.sink = self.add(prometheus(folder, "sink", ports["prometheus"], page,
                                        "--web.enable-remote-write-receiver",
                                        "--enable-feature=native-histograms"))
        (folder / "page.yml").write_text(page)
        self.victoria = self.add(Program(
            ["victoria-metrics", "-storageDataPath=%s" % (folder / "victoria"), "-retentionPeriod=1",
             "-httpListenAddr=127.0.0.1:%d" % ports["victoria"], "-search.latencyOffset=0s",
             "-promscrape.config=%s" % (folder / "page.yml"), "-loggerLevel=ERROR"],
            ports["victoria"], "/health"))
        self.source = self.add(prometheus(
            folder, "source", own, SCRAPE.format(job="self", target=own, external="{ replica: a }") +
            "remote_write:\n- url: http://127.0.0.1:%d/api/v1/write\n" % ports["write"] +
            "  queue_config: { batch_send_deadline: 100ms, min_shards: 2 }\n"
            "  metadata_config: { send_interval: 500ms }\n"))
        wait_for("scrapes of itself", lambda: len(self.source.ask("up offset 3s")) == 1)

    def add(self, program):
        self.programs.append(program)
        return program

    def here(self, query, at=None, without=()):
        return rows(self.server.promql(query, at), without)

    def stop(self):
        for program in self.programs:
            program.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    for name in ("prometheus", "promtool", "victoria-metrics"):
        if not shutil.which(name):
            pytest.skip("%s is not installed" % name)
    with Collector(CONFIG) as server:
        w = World(server, tmp_path_factory.mktemp("prometheus"))
        yield w
        w.stop()


# Of the source about itself: a label set, a number, a histogram, all its names; and quantiles, which are NaN as
# long as nothing was seen (VictoriaMetrics has no NaN).
QUERIES = [
    'up{job="self"}',
    'prometheus_build_info',
    'prometheus_tsdb_head_samples_appended_total',
    'sum by (le, handler) (prometheus_http_request_duration_seconds_bucket)',
    'count by (__name__) ({job="self", quantile=""})',
]
QUANTILES = 'prometheus_engine_query_duration_seconds'


@pytest.mark.parametrize("query", QUERIES + [QUANTILES])
def test_what_prometheus_writes_answers_as_in_prometheus(world, query):
    at = time.time() - 2
    expected = world.source.ask(query, at)
    assert expected
    wait_for("the same answer", lambda: world.here(query, at, ["replica"]) == expected)


def test_its_metadata_came_along(world):
    def known():
        answer = get_json(world.server.http + "/api/v1/metadata?metric=prometheus_tsdb_head_series")
        return answer["data"]["prometheus_tsdb_head_series"]
    expected = {"type": "gauge", "help": "Total number of series in the head block.", "unit": ""}
    wait_for("metadata", lambda: expected in known())


@pytest.mark.parametrize("query", QUERIES + [QUANTILES])
def test_what_is_written_on_answers_the_same_in_prometheus(world, query):
    at = time.time() - 2
    wait_for("the same answer", lambda: (world.here(query, at) or None) == world.sink.ask(query, at))


@pytest.mark.parametrize("query", QUERIES)
def test_what_is_written_on_answers_the_same_in_victoria_metrics(world, query):
    at = time.time() - 2

    def same():
        there = [({k: v for k, v in labels.items() if k != "via"}, v)
                 for labels, v in world.victoria.ask(query, at)]
        return there and there == world.here(query, at)
    wait_for("the same answer", same)
    assert {"via": "sonde"}.items() <= world.victoria.ask('up{job="self"}', at)[0][0].items()


def test_the_end_of_a_series_is_passed_on(world):
    t = int(time.time() * 1000) - 1000
    series = [({"__name__": "short_lived", "job": "j"}, [(t - 3000, 1), (t, STALE)])]
    status, _, _ = post("http://127.0.0.1:%d/api/v1/write" % world.server.port["write"], snappy(request1(series)),
                        V1, {"Content-Encoding": "snappy"})
    assert status == 204
    wait_for("it to begin", lambda: world.sink.ask("short_lived", (t - 1000) / 1000))
    wait_for("it to end", lambda: world.sink.ask("short_lived", t / 1000) == [])
    assert world.here("short_lived", t / 1000) == []


# ---- what programs with OpenTelemetry send ----

def points(now_ns):
    """One metric of each kind."""
    def point(**value):
        return {"startTimeUnixNano": str(now_ns - 10**10), "timeUnixNano": str(now_ns),
                "attributes": attributes({"http.route": "/x"}), **value}
    total = {"aggregationTemporality": 2}
    return [
        {"name": "http.requests", "description": "Requests.", "unit": "1",
         "sum": {**total, "isMonotonic": True, "dataPoints": [point(asInt="41")]}},
        {"name": "queue.depth", "description": "Jobs waiting.", "gauge": {"dataPoints": [point(asDouble=2.5)]}},
        {"name": "latency", "description": "How long.", "unit": "s",
         "histogram": {**total, "dataPoints": [point(count="3", sum=1.5, bucketCounts=["1", "2"],
                                                     explicitBounds=[0.5])]}},
        {"name": "size", "description": "How large.", "unit": "By",
         "exponentialHistogram": {**total, "dataPoints": [point(
             count="7", sum=20, scale=1, zeroCount="1",
             positive={"offset": 0, "bucketCounts": ["2", "0", "4"]})]}},
        {"name": "jobs", "description": "Jobs done.",
         "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [point(asInt="5")]}},
    ]


def send_points(world, now_ns):
    body = {"resourceMetrics": [{
        "resource": {"attributes": attributes({"service.name": "shop", "service.instance.id": "i1",
                                               "host.name": "h"})},
        "scopeMetrics": [{"scope": {"name": "lib"}, "metrics": points(now_ns)}]}]}
    status, _, answer = post("http://127.0.0.1:%d/v1/metrics" % world.server.port["otlp"],
                             json.dumps(body).encode())
    assert status == 200, answer


@pytest.fixture(scope="module")
def sent(world):
    """Twice, so that the deltas add up."""
    now = time.time_ns() - 2 * 10**9
    send_points(world, now)
    send_points(world, now + 10**9)
    return (now + 10**9) / 1e9


TARGET = {"job": "shop", "instance": "i1"}
WRITTEN = {
    "http_requests_total": [(TARGET | {"http_route": "/x"}, 41)],
    "queue_depth": [(TARGET | {"http_route": "/x"}, 2.5)],
    "latency_seconds_bucket": [(TARGET | {"http_route": "/x", "le": "+Inf"}, 3),
                               (TARGET | {"http_route": "/x", "le": "0.5"}, 1)],
    "latency_seconds_sum": [(TARGET | {"http_route": "/x"}, 1.5)],
    "target_info": [(TARGET | {"host_name": "h"}, 1)],
    "jobs_total": [],  # deltas are not written
}


@pytest.mark.parametrize("name", WRITTEN)
def test_opentelemetry_points_are_written_as_series(world, sent, name):
    expected = [({"__name__": name} | labels, value) for labels, value in WRITTEN[name]]
    wait_for("the last one", lambda: world.sink.ask("target_info", sent))
    assert world.sink.ask(name, sent) == expected
    wait_for("the same in VictoriaMetrics", lambda: [
        ({k: v for k, v in labels.items() if k != "via"}, value)
        for labels, value in world.victoria.ask(name + '{via="sonde"}', sent)] == expected)


def test_exponential_histograms_are_native_ones(world, sent):
    # 1 at zero, 2 in (1, 1.41], 4 in (2, 2.83]
    assert wait_for("it", lambda: world.sink.ask("histogram_count(size_bytes)", sent))[0][1] == 7
    assert world.sink.ask("histogram_sum(size_bytes)", sent)[0][1] == 20
    assert world.sink.ask("histogram_fraction(1, 1.5, size_bytes)", sent)[0][1] == pytest.approx(2 / 7)
    assert world.sink.ask("histogram_quantile(1, size_bytes)", sent)[0][1] == pytest.approx(2 ** 1.5)


def page(world, accept=""):
    return get("http://127.0.0.1:%d/metrics" % world.server.port["page"], headers={"Accept": accept}).decode()


def test_the_page_satisfies_promtool(world, sent):
    wait_for("the points", lambda: "page_jobs_total{" in page(world))
    text = page(world)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                          timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert 'page_http_requests_total{http_route="/x",instance="i1",job="shop",otel_scope_name="lib",' \
           'site="lab"} 41\n' in text
    assert page(world, "application/openmetrics-text;version=1.0.0").endswith("# EOF\n")


def test_the_page_is_scraped(world, sent):
    labels = TARGET | {"http_route": "/x", "otel_scope_name": "lib", "site": "lab"}
    for program in world.sink, world.victoria:
        for name, value in ("page_http_requests_total", 41), ("page_queue_depth", 2.5), ("page_jobs_total", 10):
            wait_for(name, lambda: program.ask(name) == [({"__name__": name} | labels, value)])
        assert program.ask("target_info{site='lab'}")[0][0].items() >= {"host_name": "h"}.items()
    # Asked for protobuf, the page has native histograms.
    assert world.sink.ask("histogram_count(page_size_bytes)")[0][1] == 7
