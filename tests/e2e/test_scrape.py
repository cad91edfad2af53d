# SPDX-License-Identifier: Apache-2.0
"""The prometheus receiver: pages of every format, labels, relabeling, limits, staleness, service discovery,
authentication and TLS, against page servers of the test's own."""
import base64
import contextlib
import gzip
import http.server
import json
import os
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness import SONDE, Server, free_ports, get, get_json, wait_for
from protobuf import field, varint

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


class Pages:
    """A page server: path -> (content type, bytes) or a function of the request that gives such a pair."""

    def __init__(self, port, tls=None):
        pages = self
        self.paths, self.requests, self.lock = {}, [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.split("?")[0]
                with pages.lock:
                    pages.requests.append((self.path, dict(self.headers)))
                    answer = pages.paths.get(path)
                if callable(answer):
                    answer = answer(self)
                code, kind, body = (404, "text/plain", b"no") if answer is None else (200, *answer)
                if isinstance(body, str):
                    body = body.encode()
                if kind == "redirect":
                    code, kind, location, body = 302, "text/plain", body.decode(), b""
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", location)
                if kind:
                    self.send_header("Content-Type", kind)
                if "gzip" in self.headers.get("Accept-Encoding", ""):
                    body = gzip.compress(body)
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.address = "127.0.0.1:%d" % port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def seen(self, path):
        with self.lock:
            return [r for r in self.requests if r[0].split("?")[0] == path]


@pytest.fixture
def pages():
    with contextlib.ExitStack() as stack:
        p = Pages(free_ports(1)[0])
        stack.callback(p.close)
        yield p


COLLECTOR = {"exporters": {"sonde": {}},
             "service": {"pipelines": {"metrics": {"receivers": ["prometheus"], "exporters": ["sonde"]}}}}


def configure(path, scrapes, receiver=None, interval="300ms", **more_global):
    """A collector file whose receiver has these scrape_configs."""
    prometheus = {"config": {"global": {"scrape_interval": interval, **more_global},
                             "scrape_configs": scrapes}}
    prometheus.update(receiver or {})
    text = json.dumps({"receivers": {"prometheus": prometheus}, **COLLECTOR}).replace("$", "$$")
    temporary = str(path) + ".new"
    with open(temporary, "w") as f:
        f.write(text)
    os.replace(temporary, path)
    return str(path)


def job(name, *targets, **more):
    return {"job_name": name, "static_configs": [{"targets": list(targets)}], **more}


def serve(tmp_path, scrapes, **more):
    return Server(args=["--config", configure(tmp_path / "collector.yaml", scrapes, **more)])


def series(server, query):
    """{labels without __name__ as a sorted tuple: value}"""
    return {tuple(sorted((k, v) for k, v in r["metric"].items() if k != "__name__")): r["value"][1]
            for r in server.promql(query)}


def value(server, query):
    found = server.promql(query)
    assert len(found) == 1, found
    return found[0]["value"][1]


def target(server, name):
    """The one target of a job, as /api/v1/targets shows it."""
    all_targets = get_json(server.http + "/api/v1/targets")["data"]["activeTargets"]
    found = [t for t in all_targets if t["scrapePool"] == name]
    assert len(found) == 1, all_targets
    return found[0]


# ---- formats and labels ----

HISTOGRAM = """# HELP h Of things.
# TYPE h histogram
h_bucket{le="0.5"} 2
h_bucket{le="1"} 3
h_bucket{le="+Inf"} 5
h_sum 2.5
h_count 5
# TYPE s summary
s{quantile="0.5"} 1.5
s_sum 3
s_count 2
# TYPE c_total counter
c_total{path="/a b",code="200"} 7
# TYPE g gauge
g{empty=""} -1e3
untyped_one 3
{"dotted.name","label.dotted"="x"} 4
"""


def test_text_pages_become_the_series_that_prometheus_makes(tmp_path, pages):
    pages.paths["/metrics"] = (TEXT, HISTOGRAM)
    with serve(tmp_path, [job("text", pages.address)]) as server:
        both = (("instance", pages.address), ("job", "text"))
        wait_for("the histogram", lambda: series(server, "h_bucket"))
        assert series(server, "h_bucket") == {(*both, ("le", le)): v
                                              for le, v in (("0.5", "2"), ("1.0", "3"), ("+Inf", "5"))}
        assert series(server, "h_count") == {both: "5"} and series(server, "h_sum") == {both: "2.5"}
        assert series(server, "s") == {(*both, ("quantile", "0.5")): "1.5"}
        assert series(server, "s_sum") == {both: "3"} and series(server, "s_count") == {both: "2"}
        assert value(server, 'c_total{path="/a b",code="200"}') == "7"
        assert series(server, "g") == {both: "-1000"} and series(server, "untyped_one") == {both: "3"}
        assert value(server, '{"dotted.name"}') == "4"
        assert value(server, "up") == "1"
        # 12 samples are on the page; none was dropped.
        assert value(server, "scrape_samples_scraped") == "12"
        assert value(server, "scrape_samples_post_metric_relabeling") == "12"
        wait_for("no new series", lambda: value(server, "scrape_series_added") == "0")
        assert not server.promql("target_info")
        _, headers = pages.seen("/metrics")[0]
        assert headers["Accept"].startswith(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,")
        assert headers["Accept"].endswith("*/*;q=0.2")
        assert headers["X-Prometheus-Scrape-Timeout-Seconds"] == "0.3"
        assert headers["Accept-Encoding"] == "gzip"


def test_openmetrics_and_protobuf_pages(tmp_path, pages):
    import struct
    pages.paths["/om"] = (OPENMETRICS, '# TYPE a counter\na_total{x="y"} 3 '
                          '# {trace_id="0af7651916cd43dd8448eb211c80319c"} 1 %d\n'
                          '# TYPE i info\ni_info{version="1"} 1\n# EOF\n' % time.time())
    metric = field(1, field(1, b"x") + field(2, b"y")) + field(3, b"\x09" + struct.pack("<d", 42))
    family = field(1, b"p_total") + b"\x18\x00" + field(4, metric)
    pages.paths["/pb"] = (PROTOBUF, varint(len(family)) + family)
    pages.paths["/bad"] = (OPENMETRICS, "# TYPE a counter\na 3\n# EOF\n")
    pages.paths["/cut"] = (OPENMETRICS, "a 3\n")
    pages.paths["/none"] = ("", "a 3\n")
    pages.paths["/odd"] = ("application/octet-stream", "odd 3\n")
    with serve(tmp_path, [job("om", pages.address, metrics_path="/om"),
                          job("pb", pages.address, metrics_path="/pb", scrape_protocols=["PrometheusProto"]),
                          job("bad", pages.address, metrics_path="/bad"),
                          job("cut", pages.address, metrics_path="/cut"),
                          job("none", pages.address, metrics_path="/none"),
                          job("odd", pages.address, metrics_path="/odd",
                              fallback_scrape_protocol="PrometheusText0.0.4")]) as server:
        wait_for("all jobs", lambda: len(server.promql("up")) == 6)
        wait_for("values", lambda: value(server, 'a_total{x="y"}') == "3" and value(server, "p_total") == "42"
                 and value(server, "odd") == "3" and value(server, "i_info") == "1")
        ups = {dict(k)["job"]: v for k, v in series(server, "up").items()}
        assert ups == {"om": "1", "pb": "1", "bad": "0", "cut": "0", "none": "0", "odd": "1"}
        assert "line 2" in target(server, "bad")["lastError"]
        assert "# EOF is missing" in target(server, "cut")["lastError"]
        assert "Content-Type" in target(server, "none")["lastError"]


def test_a_target_with_wrong_openmetrics_is_asked_for_text(tmp_path, pages):
    pages.paths["/metrics"] = lambda r: ((OPENMETRICS, "# TYPE a counter\na 3\n# EOF\n")
                                         if "openmetrics" in r.headers["Accept"] else
                                         (TEXT, "# TYPE a counter\na 3\n"))
    with serve(tmp_path, [job("j", pages.address)]) as server:
        wait_for("the series", lambda: value(server, "a") == "3" and value(server, "up") == "1")
        both = (("instance", pages.address), ("job", "j"))
        assert series(server, "min_over_time(up[1m])") == {both: "0"}


def test_labels_of_targets_and_pages(tmp_path, pages):
    pages.paths["/metrics"] = (TEXT, 'x{job="theirs",instance="",zone="far"} 1\ny 2\ngo_a 3\ngo_b 4\n')
    relabel = [{"source_labels": ["__address__"], "regex": r"127\.0\.0\.(\d+):.*", "target_label": "last",
                "replacement": "n$1"},
               {"source_labels": ["__meta_none"], "target_label": "gone", "replacement": "$1"},
               {"action": "labelmap", "regex": "__meta_(.+)"}]
    metric = [{"source_labels": ["__name__"], "regex": "go_a", "action": "drop"},
              {"source_labels": ["__name__", "job"], "separator": "@", "regex": "(go)_b@(.*)",
               "target_label": "from", "replacement": "${1}-${2}"},
              {"regex": "last", "action": "labeldrop"}]
    static = {"static_configs": [{"targets": [pages.address], "labels": {"zone": "near"}}]}
    with serve(tmp_path, [{"job_name": "mine", **static, "relabel_configs": relabel,
                           "metric_relabel_configs": metric},
                          {"job_name": "honor", **static, "honor_labels": True}],
               external_labels={"cluster": "c1"}) as server:
        wait_for("both jobs", lambda: len(server.promql("x")) == 2 and len(server.promql("go_b")) == 2)
        common = {"cluster": "c1", "instance": pages.address, "zone": "near"}
        found = {tuple(sorted(r["metric"].items())) for r in server.promql('{__name__=~"x|y|go_.*"}')}
        expected = [{"__name__": "x", "job": "mine", "exported_job": "theirs",
                     "exported_zone": "far", **common},
                    {"__name__": "y", "job": "mine", **common},
                    {"__name__": "go_b", "job": "mine", "from": "go-mine", **common},
                    {"__name__": "x", "job": "theirs", "zone": "far", "cluster": "c1"},
                    {"__name__": "y", "job": "honor", **common},
                    {"__name__": "go_a", "job": "honor", **common},
                    {"__name__": "go_b", "job": "honor", **common}]
        assert found == {tuple(sorted(e.items())) for e in expected}
        assert value(server, 'scrape_samples_scraped{job="mine"}') == "4"
        assert value(server, 'scrape_samples_post_metric_relabeling{job="mine"}') == "3"
        assert target(server, "mine")["labels"]["last"] == "n1"


def api(server, path, **parameters):
    return get_json("%s/api/v1/%s?%s" % (server.http, path, urllib.parse.urlencode(parameters)))["data"]


def test_pools_dropped_targets_and_metadata_of_targets(tmp_path, pages):
    pages.paths["/metrics"] = (TEXT, HISTOGRAM)
    pages.paths["/other"] = (TEXT, "# HELP m_total Other.\n# TYPE m_total counter\nm_total 1\n")
    drop = [{"source_labels": ["__address__"], "regex": ".*:1", "action": "drop"}]
    with serve(tmp_path, [job("b", pages.address, "127.0.0.1:1", relabel_configs=drop),
                          job("a", pages.address, metrics_path="/other"), job("none")]) as server:
        wait_for("both jobs", lambda: server.promql("h_bucket") and server.promql("m_total"))
        assert api(server, "scrape_pools") == {"scrapePools": ["a", "b", "none"]}
        everything = api(server, "targets", state="ANY")
        assert len(everything["activeTargets"]) == 2 and everything["droppedTargets"] == []
        assert everything["droppedTargetCounts"] == {"a": 0, "b": 1, "none": 0}
        assert api(server, "targets", state="dropped")["activeTargets"] == []
        assert api(server, "targets", state="active")["droppedTargetCounts"] is None
        own = {"instance": pages.address, "job": "b"}
        found = api(server, "targets/metadata", match_target='{job="b"}')
        assert {m["metric"]: m["type"] for m in found} == {
            "c_total": "counter", "g": "gauge", "h": "histogram", "s": "summary", "untyped_one": "gauge",
            "dotted.name": "gauge"}, found
        assert {"target": own, "metric": "h", "type": "histogram", "help": "Of things.", "unit": ""} in found
        other = {"target": {"instance": pages.address, "job": "a"}, "type": "counter", "help": "Other.",
                 "unit": ""}
        assert api(server, "targets/metadata", metric="m_total") == [other]
        assert api(server, "targets/metadata", limit=0) == []
        assert {m["target"]["job"] for m in api(server, "targets/metadata", limit=2)} == {"b"}
        assert len(api(server, "metadata", limit=-1)) > len(api(server, "metadata", limit=1)) == 1
        for path, why in (("targets/metadata?limit=x", "limit must be a number"),
                          ("targets/metadata?match_target=%7B", 'match_target.*: 1:2: parse error: unexpected end'),
                          ("metadata?limit_per_metric=x", "limit_per_metric must be a number"),
                          ("status/tsdb?limit=0", "limit must be a positive number"),
                          ("status/tsdb?limit=10001", "limit must not exceed 10000")):
            with pytest.raises(AssertionError, match="answered 400.*" + why):
                get(server.http + "/api/v1/" + path)


# ---- staleness and failures ----

def at_once(server, query):
    return {r["metric"].get("k", "") for r in server.promql(query)}


def test_series_that_vanish_end_at_once(tmp_path, pages):
    pages.paths["/metrics"] = (TEXT, 'a{k="1"} 1\na{k="2"} 2\n# TYPE h histogram\n'
                               'h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n')
    with serve(tmp_path, [job("j", pages.address)]) as server:
        wait_for("two series", lambda: at_once(server, "a") == {"1", "2"} and server.promql("h_bucket"))
        pages.paths["/metrics"] = (TEXT, 'a{k="2"} 2\na{k="3"} 3\n')
        wait_for("one gone, one new", lambda: at_once(server, "a") == {"2", "3"})
        assert not server.promql("h_bucket") and not server.promql("h_sum")
        assert value(server, "up") == "1"
        del pages.paths["/metrics"]
        wait_for("up to be 0", lambda: value(server, "up") == "0")
        wait_for("nothing left", lambda: not server.promql("a"))
        assert "404" in target(server, "j")["lastError"] and target(server, "j")["health"] == "down"
        pages.paths["/metrics"] = (TEXT, 'a{k="2"} 2\n')
        wait_for("all well again", lambda: at_once(server, "a") == {"2"} and value(server, "up") == "1")


def test_timestamps_of_the_page(tmp_path, pages):
    then = int(time.time()) - 100
    pages.paths["/metrics"] = (TEXT, "old 1 %d\n" % (then * 1000))
    with serve(tmp_path, [job("theirs", pages.address),
                          job("ours", pages.address, honor_timestamps=False)]) as server:
        wait_for("both", lambda: len(server.promql("up")) == 2 and len(server.promql("old")) == 2)
        stamps = {r["metric"]["job"]: float(r["value"][1]) for r in server.promql("timestamp(old)")}
        assert stamps["theirs"] == then and abs(stamps["ours"] - time.time()) < 30
        del pages.paths["/metrics"]
        wait_for("ours to end", lambda: {r["metric"]["job"] for r in server.promql("old")} == {"theirs"})


LIMITS = [
    ("samples", {"sample_limit": 2}, "sample_limit exceeded"),
    ("labels", {"label_limit": 4}, "label_limit exceeded"),
    ("names", {"label_name_length_limit": 9}, "label_name_length_limit exceeded"),
    ("values", {"label_value_length_limit": 20}, "label_value_length_limit exceeded"),
    ("body", {"body_size_limit": "50B"}, "body size limit exceeded"),
    ("slow", {"metrics_path": "/slow", "scrape_timeout": "200ms"}, "imed out"),
    ("targets", {"target_limit": 1}, "target_limit exceeded"),
]


def test_limits_fail_the_scrape_and_say_why(tmp_path, pages):
    pages.paths["/metrics"] = (TEXT, 'a{k="1",l="2"} 1\nb{long_name_x="x"} 1\nc{k="%s"} 1\n' % ("v" * 21))

    def slow(_):
        time.sleep(1)
        return TEXT, "a 1\n"
    pages.paths["/slow"] = slow
    scrapes = [job(name, pages.address, **options) for name, options, _ in LIMITS]
    scrapes[-1]["static_configs"][0]["targets"].append("127.0.0.1:1")
    with serve(tmp_path, scrapes) as server:
        wait_for("all jobs", lambda: len(server.promql("up")) == len(LIMITS) + 1)
        assert set(series(server, "up").values()) == {"0"}
        assert not server.promql("a")
        for name, _, reason in LIMITS[:-1]:
            assert reason in target(server, name)["lastError"], target(server, name)
        # What was on the page is told, though nothing of it was taken.
        assert value(server, 'scrape_samples_scraped{job="samples"}') == "3"


# ---- service discovery ----

def targets_of(server, name):
    active = get_json(server.http + "/api/v1/targets")["data"]["activeTargets"]
    return {t["labels"]["instance"] for t in active
            if t["scrapePool"] == name}


def test_targets_from_files_and_urls_come_and_go(tmp_path, pages):
    pages.paths["/metrics"] = (TEXT, "a 1\n")
    listed = tmp_path / "one.json"
    listed.write_text(json.dumps([{"targets": [pages.address],
                                   "labels": {"team": "x", "__meta_secret": "s"}}]))
    (tmp_path / "two.yml").write_text("- targets: ['127.0.0.1:2']\n")
    url_list = [{"targets": [pages.address], "labels": {"__metrics_path__": "/metrics", "via": "url"}}]
    pages.paths["/sd"] = lambda _: ("application/json", json.dumps(url_list))
    keep = [{"source_labels": ["__meta_filepath"], "regex": ".*/([a-z]+)[.].*", "target_label": "file"}]
    with serve(tmp_path, [
            {"job_name": "files", "relabel_configs": keep,
             "file_sd_configs": [{"files": [str(tmp_path / "*.json"), str(tmp_path / "*.yml")]}]},
            {"job_name": "urls", "http_sd_configs": [{"url": "http://%s/sd" % pages.address,
                                                      "refresh_interval": "300ms"}]}]) as server:
        wait_for("three targets", lambda: len(server.promql("up")) == 3)
        assert series(server, 'a{job="files"}') == {
            (("file", "one"), ("instance", pages.address), ("job", "files"), ("team", "x")): "1"}
        assert value(server, 'a{via="url"}') == "1"
        listed.write_text("[{not json")
        wait_for("a warning", lambda: "its targets stay as they were" in server.output())
        assert targets_of(server, "files") == {pages.address, "127.0.0.1:2"}
        listed.write_text(json.dumps([{"targets": [pages.address], "labels": {"team": "y"}}]))
        wait_for("the other team", lambda: [r["metric"].get("team")
                                            for r in server.promql('a{job="files"}')] == ["y"])
        (tmp_path / "two.yml").unlink()
        url_list.clear()
        wait_for("one target", lambda: len(server.promql("up")) == 1)
        assert targets_of(server, "urls") == set()


# ---- who asks ----

@pytest.fixture
def certificate(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
                    "-days", "2", "-subj", "/CN=page.test", "-addext", "subjectAltName=DNS:page.test"],
                   check=True, capture_output=True, timeout=30)
    return cert, key


def test_credentials_tls_params_and_redirects(tmp_path, pages, certificate):
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    secure = Pages(free_ports(1)[0], context)
    pages.paths["/metrics"] = lambda r: (TEXT, 'seen{auth="%s",header="%s"} 1\n' % (
        r.headers.get("Authorization", ""), r.headers.get("X-Team", "")))
    pages.paths["/moved"] = ("redirect", "/metrics")
    secure.paths["/metrics"] = (TEXT, "secure 1\n")
    (tmp_path / "token").write_text("from-file\n")
    tls = {"ca_file": str(cert), "server_name": "page.test"}
    try:
        with serve(tmp_path, [
                job("basic", pages.address, basic_auth={"username": "u", "password": "p w"}),
                job("bearer", pages.address, authorization={"credentials_file": str(tmp_path / "token")},
                    http_headers={"X-Team": {"values": ["blue"]}}),
                job("moved", pages.address, metrics_path="/moved"),
                job("stays", pages.address, metrics_path="/moved", follow_redirects=False),
                job("tls", secure.address, scheme="https", tls_config=tls),
                job("wrong", secure.address, scheme="https", tls_config={"ca_file": str(cert)}),
                job("params", pages.address, params={"module": ["a b", "c"]},
                    enable_compression=False)]) as server:
            wait_for("all jobs", lambda: len(server.promql("up")) == 7)
            ups = {dict(k)["job"]: v for k, v in series(server, "up").items()}
            assert ups == {"basic": "1", "bearer": "1", "moved": "1", "stays": "0", "tls": "1", "wrong": "0",
                           "params": "1"}, server.output()
            seen = {r["metric"]["job"]: r["metric"] for r in server.promql("seen")}
            assert seen["basic"]["auth"] == "Basic " + base64.b64encode(b"u:p w").decode()
            assert seen["bearer"]["auth"] == "Bearer from-file" and seen["bearer"]["header"] == "blue"
            assert value(server, "secure") == "1"
            assert any(path == "/metrics?module=a+b&module=c" and headers["Accept-Encoding"] == "identity"
                       for path, headers in pages.seen("/metrics"))
            assert "p w" not in server.output() and "from-file" not in server.output()
    finally:
        secure.close()


# ---- configuration ----

def test_a_prometheus_yml_as_it_is(tmp_path, pages):
    pages.paths["/metrics"] = (TEXT, "go_a 1\n")
    own = tmp_path / "prometheus.yml"
    own.write_text("""global: {scrape_interval: 300ms, evaluation_interval: 15s}
rule_files: [rules/*.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [a:1]}]}]}
remote_write: [{url: "http://x/"}]
scrape_configs:
  - job_name: 'sixseven'
    static_configs:
      - targets: ['%s']
    metric_relabel_configs:
      - {source_labels: [__name__], regex: 'go_(.*)', target_label: __name__, replacement: 'went_$1'}
""" % pages.address)
    collector = tmp_path / "collector.yaml"
    collector.write_text(json.dumps({"receivers": {"prometheus": {"config_file": str(own)}}, **COLLECTOR}))
    with Server(args=["--config", str(collector)]) as server:
        wait_for("the renamed series", lambda: value(server, 'went_a{job="sixseven"}') == "1")


WRONG = [
    ({"job_name": "a", "kubernetes_sd_configs": [{"role": "pod"}]}, "kubernetes_sd_configs is not supported"),
    ({"job_name": "a", "relabel_configs": [{"action": "replace", "regex": "(", "target_label": "x"}]},
     "relabel_configs[0].regex"),
    ({"job_name": "a", "relabel_configs": [{"action": "hashmod", "target_label": "x"}]}, "modulus"),
    ({"job_name": "a", "scrape_timeout": "2m"}, "longer than the scrape_interval"),
    ({"job_name": "a", "static_configs": [{"targets": ["http://x"]}]}, "HOST:PORT"),
    ({"job_name": "a", "oauth2": {"client_id": "x"}}, "oauth2 is not supported"),
    ({"job_name": "a", "scrape_protocol": ["x"]}, "scrape_protocols"),
    ({"job_name": "a", "scheme": "ftp"}, "http or https"),
]


@pytest.mark.parametrize("scrape, reason", WRONG, ids=[r for _, r in WRONG])
def test_mistakes_are_named_before_anything_starts(tmp_path, scrape, reason):
    path = configure(tmp_path / "c.yaml", [scrape])
    done = subprocess.run([SONDE, "check", "config", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done
    assert reason in done.stdout + done.stderr and "c.yaml:1:" in done.stdout + done.stderr


def test_a_reload_keeps_the_series_of_targets_that_stay(tmp_path, pages):
    pages.paths["/metrics"] = (TEXT, 'a{k="1"} 1\n')
    pages.paths["/other"] = (TEXT, "b 1\n")
    with serve(tmp_path, [job("stays", pages.address),
                          job("goes", pages.address, metrics_path="/other")]) as server:
        wait_for("both", lambda: len(server.promql("up")) == 2 and server.promql("a") and server.promql("b"))
        configure(tmp_path / "collector.yaml", [job("stays", pages.address), job("new", pages.address)])
        wait_for("the new job", lambda: value(server, 'up{job="new"}') == "1", 30)
        assert not server.promql('b{job="goes"}') and not server.promql('up{job="goes"}')
        # Had the reload forgotten the page, its series would count as new once more.
        added = server.promql('sum_over_time(scrape_series_added{job="stays"}[1m])')
        assert added[0]["value"][1] == "1", added
        assert not server.promql('count_over_time(up{job="stays"}[1m]) < 2')
