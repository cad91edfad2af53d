# SPDX-License-Identifier: Apache-2.0
"""Outside judges of a program's /metrics: Debian's Prometheus scrapes each format and gives the values back by
its query API, native histograms included; promtool and prometheus_client read the text formats."""
import math
import os
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from harness import free_ports, get_json, wait_for
from native import ENVIRONMENT, compile_program

HERE = os.path.dirname(os.path.abspath(__file__))
# What each server asks for first; Prometheus asks for protobuf only with native histograms switched on.
FORMATS = {"text": [], "protobuf": ["--enable-feature=native-histograms,exemplar-storage"]}
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """host:port of the program's admin port."""
    directory = tmp_path_factory.mktemp("scraped")
    program = compile_program(os.path.join(HERE, "scraped.c"), directory / "scraped", "-Wall", "-Werror")
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env={**ENVIRONMENT, "SONDE_RECORDER_DIR": str(directory)})
    try:
        yield "127.0.0.1:%d" % int(process.stdout.readline())
    finally:
        process.stdin.close()
        assert process.wait(30) == 0


def page(target, accept):
    request = urllib.request.Request("http://%s/metrics" % target, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read()


class Prometheus:
    def __init__(self, target, directory, flags):
        self.port, = free_ports(1)
        config = directory / "prometheus.yml"
        config.write_text("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n"
                          "- {job_name: t, static_configs: [{targets: ['%s']}]}\n" % target)
        self.process = subprocess.Popen(
            ["prometheus", "--config.file=%s" % config, "--storage.tsdb.path=%s" % (directory / "data"),
             "--web.listen-address=127.0.0.1:%d" % self.port, "--log.level=warn", *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def api(self, path, **parameters):
        url = "http://127.0.0.1:%d/api/v1/%s?%s" % (self.port, path, urllib.parse.urlencode(parameters))
        return get_json(url)["data"]

    def value(self, query):
        result = self.api("query", query=query)["result"]
        assert len(result) == 1, (query, result)
        return float(result[0]["value"][1])


@pytest.fixture(scope="module", params=sorted(FORMATS))
def prometheus(request, target, tmp_path_factory):
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")
    with Prometheus(target, tmp_path_factory.mktemp("prometheus"), FORMATS[request.param]) as server:
        server.format = request.param
        wait_for("a scrape", lambda: server.value('up{job="t"}') == 1, 60, 0.1)
        wait_for("samples", lambda: server.value('orders_total{currency="EUR"}') == 41, 60, 0.1)
        yield server


def test_every_kind_has_its_value(prometheus):
    assert prometheus.value('orders_total{currency="USD"}') == 2.5
    assert prometheus.value("connections") == 3
    assert prometheus.value('depth{queue="mail"}') == 17.5
    assert prometheus.value('took_seconds_bucket{le="0.5"}') == 500
    assert prometheus.value("took_seconds_count") == 1000
    assert abs(prometheus.value("took_seconds_sum") - 500.5) < 1e-6
    assert prometheus.value('took_seconds_count{route="/a\\"b\\\\c\\n"}') == 1000
    assert abs(prometheus.value("histogram_quantile(0.9, took_seconds_bucket)") - 0.9) < 0.1
    assert prometheus.value("process_resident_memory_bytes") > 1e6
    assert prometheus.value("process_start_time_seconds") > 1.6e9
    for name in ("process_open_fds", "process_max_fds", "process_threads", "process_virtual_memory_bytes"):
        assert prometheus.value(name) > 0, name


def test_types_and_help_arrive(prometheus):
    metadata = prometheus.api("targets/metadata", match_target='{job="t"}')
    types = {entry["metric"]: (entry["type"], entry["help"]) for entry in metadata}
    assert types.get("orders_total", types.get("orders")) == ("counter", "Orders taken.")
    assert types["depth"] == ("gauge", "Of a queue.")
    assert types["took_seconds"] == ("histogram", "How long it took.")


def test_native_histograms(prometheus):
    if prometheus.format == "text":
        # The text formats have the totals of an exponential histogram.
        assert prometheus.value('native_seconds_bucket{le="+Inf"}') == 1000
        assert prometheus.value("native_seconds_count") == 1000
        return
    assert prometheus.value("histogram_count(native_seconds)") == 1000
    assert abs(prometheus.value("histogram_sum(native_seconds)") - 500.5) < 1e-6
    for q in (0.01, 0.1, 0.5, 0.9, 0.99):
        got = prometheus.value("histogram_quantile(%g, native_seconds)" % q)
        # Three decades: scale 3 or 4, bounds at most 9 % apart.
        assert abs(math.log2(got / q)) < 1 / 8, (q, got)
    assert prometheus.value("histogram_count(signs)") == 3
    assert prometheus.value("histogram_sum(signs)") == 37
    assert prometheus.value("histogram_quantile(0.1, signs)") < -2
    assert prometheus.value("histogram_quantile(0.5, signs)") == 0
    assert prometheus.value("histogram_quantile(0.9, signs)") > 38
    assert prometheus.value("histogram_count(empty_seconds)") == 0
    part = prometheus.value("histogram_fraction(0, 0.25, native_seconds)")
    assert abs(part - 0.25) < 0.02, part


def test_exemplars(prometheus):
    if prometheus.format == "text":
        pytest.skip("text 0.0.4 has no exemplars, and this server stores none")
    found = prometheus.api("query_exemplars", query="orders_total", start="0", end="4102444800")
    exemplars = [e for series in found for e in series["exemplars"]]
    assert exemplars and all(len(e["labels"]["trace_id"]) == 32 for e in exemplars)
    assert float(exemplars[0]["value"]) == 41


def test_openmetrics_with_exemplars(target):
    content_type, body = page(target, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(body.decode())}
    orders = [s for s in families["orders"].samples if s.labels.get("currency") == "EUR"]
    assert orders[0].value == 41 and orders[0].exemplar.value == 41
    assert len(orders[0].exemplar.labels["trace_id"]) == 32
    assert len(orders[0].exemplar.labels["span_id"]) == 16
    examples = [s.exemplar for s in families["took_seconds"].samples if s.exemplar]
    assert len({e.labels["trace_id"] for e in examples}) == 1 and len(examples) >= 4
    assert {s.labels["route"] for s in families["took_seconds"].samples} == {"/a\"b\\c\n"}
    usd = [s for s in families["orders"].samples if s.labels.get("currency") == "USD"]
    assert usd[0].exemplar is None


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
@pytest.mark.parametrize("accept", ["", "text/plain;version=1.0.0;escaping=dots"])
def test_promtool_has_nothing_against_it(target, accept):
    _, body = page(target, accept)
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, timeout=60)
    if accept:
        assert done.returncode == 0 or b"__" in done.stderr + done.stdout
    else:
        assert done.returncode == 0 and not done.stdout and not done.stderr, done.stderr + done.stdout


def test_the_header_decides(target):
    for accept, expected in (
            (PROTOBUF + ";q=0.9," + OPENMETRICS + ";q=0.8", "application/vnd.google.protobuf"),
            (PROTOBUF + ";q=0.1," + OPENMETRICS + ";q=0.8", "application/openmetrics-text"),
            ("text/plain;version=1.0.0;escaping=allow-utf-8", "text/plain; version=1.0.0"),
            ("image/png", "text/plain; version=0.0.4")):
        assert page(target, accept)[0].startswith(expected), accept


def test_protobuf_is_what_its_length_says(target):
    content_type, body = page(target, PROTOBUF)
    assert content_type == PROTOBUF.replace(";", "; ")
    at = families = 0
    while at < len(body):
        length = shift = 0
        while True:
            byte = body[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        assert body[at] == 0x0a
        at += length
        families += 1
    assert at == len(body) and families > 8
