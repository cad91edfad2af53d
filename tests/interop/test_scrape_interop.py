# SPDX-License-Identifier: Apache-2.0
"""Debian's prometheus and sonde scrape the same targets by the same prometheus.yml: node_exporter, collectd,
Prometheus itself and a page of known values. Both must have the same series, and the page's values."""
import http.server
import os
import re
import shutil
import subprocess
import threading
import urllib.parse

import pytest

from harness import Server, free_ports, get, get_json, wait_for

PAGE = b"""# TYPE requests_total counter
requests_total{path="/a",code="200"} 12
requests_total{path="/\xc3\xa9\\n\\"",code="500"} 3.5
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.005"} 1
latency_seconds_bucket{le="1"} 2
latency_seconds_bucket{le="1e+06"} 2
latency_seconds_bucket{le="+Inf"} 4
latency_seconds_sum 17.25
latency_seconds_count 4
# TYPE odd_seconds histogram
odd_seconds_bucket{le="1.0"} 5
odd_seconds_bucket{le="+Inf"} 4
odd_seconds_count 7
# TYPE sizes summary
sizes{quantile="0.5"} NaN
sizes{quantile="0.99"} 3
sizes_sum 9
sizes_count 2
go_dropped 1
kept{exported_job="x",job="theirs",instance=""} 5
"""
CONFIG = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 1m}}
scrape_configs:
  - job_name: page
    static_configs: [{{targets: ['127.0.0.1:{page}'], labels: {{zone: z1}}}}]
    relabel_configs:
      - {{source_labels: [__address__, zone], regex: '(.*):(.*);(.*)', target_label: where,
          replacement: '$3/$1'}}
      - {{source_labels: [__address__], modulus: 97, target_label: shard, action: hashmod}}
    metric_relabel_configs:
      - {{source_labels: [__name__], regex: 'go_.*', action: drop}}
      - {{source_labels: [code], regex: '(.)..', target_label: class, replacement: '${{1}}xx'}}
  - job_name: honored
    honor_labels: true
    static_configs: [{{targets: ['127.0.0.1:{page}']}}]
  - job_name: itself
    static_configs: [{{targets: ['127.0.0.1:{prometheus}']}}]
  - job_name: away
    static_configs: [{{targets: ['127.0.0.1:{away}']}}]
{more}"""
EXTRA = """  - job_name: {job}
    static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"""
BOUNDS = ("le", "quantile")


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


def collectd(folder, port):
    program = shutil.which("collectd") or "/usr/sbin/collectd"
    plugin = "/usr/lib/collectd/write_prometheus.so"
    if not os.path.exists(program) or not os.path.exists(plugin):
        return None
    if "not found" in subprocess.run(["ldd", plugin], capture_output=True, text=True, timeout=20).stdout:
        return None  # its package only recommends the libraries of its plugins
    config = folder / "collectd.conf"
    config.write_text("""BaseDir "%s"
Interval 1
LoadPlugin load
LoadPlugin memory
LoadPlugin write_prometheus
<Plugin write_prometheus>
  Host "127.0.0.1"
  Port "%d"
</Plugin>
""" % (folder, port))
    return [program, "-f", "-C", str(config), "-P", str(folder / "pid")]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(URL of Debian's prometheus, sonde, the jobs that run)"""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("scrape")
    page, prometheus, node, metrics, away = free_ports(5)
    jobs, commands, more = ["page", "honored", "itself", "away"], [], ""
    if shutil.which("prometheus-node-exporter"):
        commands.append(["prometheus-node-exporter", "--web.listen-address=127.0.0.1:%d" % node])
        jobs.append("node")
        more += EXTRA.format(job="node", port=node)
    if collectd(folder, metrics):
        commands.append(collectd(folder, metrics))
        jobs.append("collectd")
        more += EXTRA.format(job="collectd", port=metrics)
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(page=page, prometheus=prometheus, away=away, more=more))
    commands.append(["prometheus", "--config.file=%s" % config, "--storage.tsdb.path=%s" % (folder / "data"),
                     "--web.listen-address=127.0.0.1:%d" % prometheus])
    own = folder / "collector.yaml"
    own.write_text("receivers: {prometheus: {config_file: '%s'}}\nexporters: {sonde: {}}\n"
                   "service: {pipelines: "
                   "{metrics: {receivers: [prometheus], exporters: [sonde]}}}\n" % config)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", page), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    programs = [subprocess.Popen(c, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for c in commands]
    url = "http://127.0.0.1:%d" % prometheus
    try:
        wait_for("prometheus", lambda: get(url + "/-/ready"), 30)
        with Server(args=["--config", str(own)]) as sonde:
            yield url, sonde, jobs
    finally:
        for p in programs:
            p.terminate()
        for p in programs:
            p.wait(30)
        server.shutdown()
        server.server_close()


def vector(url, query):
    """{labels: value}; bounds as numbers, which Prometheus 2 leaves as they were written."""
    result = get_json(url + "/api/v1/query?query=" + urllib.parse.quote(query))["data"]["result"]
    return {tuple(sorted((k, str(float(v)) if k in BOUNDS else v) for k, v in r["metric"].items())):
            r["value"][1] for r in result}


# Series that come and go by themselves, or that tell of the scrape as such.
ITS_OWN = re.compile("^(scrape_.*|up|go_.*|prometheus_(sd|http|tsdb|engine|notifications|rule|target|web)_.*|"
                     "process_.*|"
                     "net_conntrack_.*|promhttp_.*)$")


@pytest.mark.parametrize("job", ["page", "honored", "itself", "node", "collectd"])
def test_both_have_the_same_series(world, job):
    url, sonde, jobs = world
    if job not in jobs:
        pytest.skip("%s is not installed" % job)
    query = '{job="%s"}' % job

    def same():
        theirs, ours = vector(url, query), vector(sonde.http, query)
        names = {dict(k)["__name__"] for k in theirs}
        stable = {k for k in theirs if job != "itself" or not ITS_OWN.match(dict(k)["__name__"])}
        ours_stable = {k for k in ours if job != "itself" or not ITS_OWN.match(dict(k)["__name__"])}
        assert len(names) > 5 and "up" in names
        assert stable == ours_stable, (sorted(stable - ours_stable)[:5], sorted(ours_stable - stable)[:5])
        if job in ("page", "honored"):
            steady = [k for k in theirs if dict(k)["__name__"] not in ("scrape_duration_seconds",
                                                                       "scrape_series_added")]
            assert {k: theirs[k] for k in steady} == {k: ours[k] for k in steady}
        return True
    wait_for("the same series", same, 30)


def test_honored_labels_and_absent_targets(world):
    url, sonde, _ = world
    kept = 'kept{job="theirs"}'
    wait_for("the same", lambda: vector(url, kept) == vector(sonde.http, kept) != {})
    wait_for("up 0", lambda: vector(url, 'up{job="away"}') == vector(sonde.http, 'up{job="away"}') != {})
    assert set(vector(sonde.http, 'up{job="away"}').values()) == {"0"}


def test_the_targets_page_is_the_same(world):
    url, sonde, _ = world

    def targets(base):
        return sorted((t["scrapePool"], t["scrapeUrl"], t["health"], sorted(t["labels"].items()),
                       t["scrapeInterval"],
                       t["scrapeTimeout"], sorted(t["discoveredLabels"].items()))
                      for t in get_json(base + "/api/v1/targets")["data"]["activeTargets"])
    wait_for("the same targets", lambda: targets(url) == targets(sonde.http) and len(targets(url)) >= 4)
