# SPDX-License-Identifier: Apache-2.0
"""Remote write 1.0 and 2.0 into the server: series answer in PromQL with exactly the labels that were sent; what
is wrong costs only itself, and the sender is told so that it does or does not send it again."""
import time

import pytest

from harness import Collector, Server, get_json, post, wait_for
from remote_write import STALE, V1, V2, native, request1, request2, snappy

CONFIG = """
receivers:
  prometheusremotewrite: { endpoint: "127.0.0.1:@write@" }
exporters:
  sonde: { retention: 30d }
service:
  pipelines:
    metrics: { receivers: [prometheusremotewrite], exporters: [sonde] }
"""


@pytest.fixture(scope="module")
def server():
    with Collector(CONFIG) as s:
        yield s


def write(server, body, version=V1, encoding="snappy"):
    headers = {"Content-Encoding": encoding} if encoding else {}
    return post("http://127.0.0.1:%d/api/v1/write" % server.port["write"],
                snappy(body) if encoding else body, version, headers)


def now_ms():
    return int(time.time() * 1000) - 1000


def ask(server, query, ms):
    """[({labels}, value)], sorted."""
    return by_labels((r["metric"], float(r["value"][1])) for r in server.promql(query, ms / 1000))


def by_labels(rows):
    return sorted(rows, key=lambda row: sorted(row[0].items()))


def metadata(server, name):
    return get_json("%s/api/v1/metadata?metric=%s" % (server.http, name))["data"].get(name)


def test_version_1_keeps_names_and_labels(server):
    t = now_ms()
    series = [({"__name__": "v1_requests_total", "job": "shop/api", "instance": "h:80", "code": "200"}, 12.5),
              ({"__name__": "v1_requests_total", "code": "500"}, 1.0),
              ({"__name__": "v1.utf8:名", "the.label": "x y", "_x": "\"\\", "1": "é"}, -3.0),
              ({"__name__": "v1_bucket", "job": "j", "le": "0.10", "empty": ""}, 7.0)]
    status, _, body = write(server, request1([(l, [(t, v)]) for l, v in series]))
    assert (status, body) == (204, b"")
    expected = by_labels(({k: v for k, v in l.items() if v}, v) for l, v in series)
    assert ask(server, '{__name__=~"v1.*"}', t) == expected
    assert server.promql('target_info') == []


def test_metadata_of_version_1_holds_for_later_requests(server):
    t = now_ms()
    assert write(server, request1([], [("m1_total", "counter", "How many.", "")]))[0] == 204
    assert metadata(server, "m1_total") is None  # of nothing yet
    assert write(server, request1([({"__name__": "late_total"}, [(t, 1)])]))[0] == 204
    assert metadata(server, "late_total")[0]["type"] == "gauge"
    assert write(server, request1([({"__name__": "late_total"}, [(t + 1, 1)])],
                                  [("late", "counter", "Told late.", "")]))[0] == 204
    assert metadata(server, "late_total") == [{"type": "counter", "help": "Told late.", "unit": ""}]
    assert write(server, request1([({"__name__": "m1_total", "job": "a"}, [(t, 1)])]))[0] == 204
    assert metadata(server, "m1_total") == [{"type": "counter", "help": "How many.", "unit": ""}]


def test_version_2_says_what_was_written(server):
    t = now_ms()
    body = request2([({"__name__": "v2_total", "job": "b"}, [(t - 1000, 1), (t, 2)],
                      {"type": "counter", "help": "Second.", "unit": "s", "created": t - 9000,
                       "exemplars": [({"trace_id": "01" * 16}, t, 2)]}),
                     ({"__name__": "v2_native", "job": "b"}, [],
                      {"type": "histogram", "histograms": [native(t, 6, 9.5, 0, [(0, 2)], [2, 2])]})])
    status, headers, _ = write(server, body, V2)
    assert status == 204
    written = {k.rsplit("-", 2)[1]: v for k, v in headers.items() if "Remote-Write" in k.title()}
    assert written == {"Samples": "2", "Histograms": "1", "Exemplars": "1"}
    assert ask(server, "v2_total", t) == [({"__name__": "v2_total", "job": "b"}, 2)]
    assert ask(server, "histogram_count(v2_native) + histogram_sum(v2_native)", t) == [({"job": "b"}, 15.5)]
    assert metadata(server, "v2_total") == [{"type": "counter", "help": "Second.", "unit": "s"}]


def test_a_stale_marker_ends_a_series(server):
    t = now_ms()
    assert write(server, request1([({"__name__": "ends"}, [(t - 2000, 1), (t, STALE)])]))[0] == 204
    assert ask(server, "ends", t - 1000) == [({"__name__": "ends"}, 1)]
    assert ask(server, "ends", t) == []


@pytest.mark.parametrize("version", [V1, V2])
def test_good_series_are_taken_beside_bad_ones(server, version):
    t = now_ms()
    name = "good" + version[-3:]
    old = t - 40 * 86400 * 1000
    series = [({"__name__": name}, [(t, 1), (old, 5)]), ({"no": "name"}, [(t, 2)])]
    body = request1(series) if version == V1 else request2([(*s, {}) for s in series])
    status, headers, answer = write(server, body, version)
    assert status == 400 and b"2 of 3 samples" in answer, answer
    assert version == V1 or headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"
    assert ask(server, '{__name__="%s"}' % name, t) == [({"__name__": name}, 1)]
    status, headers, answer = write(server, request1([({"__name__": name}, [(old, 5)])]))
    assert status == 400 and b"retention" in answer, answer


def test_what_cannot_be_read_is_refused_with_the_place(server):
    good = request1([({"__name__": "x"}, [(now_ms(), 1)])])
    status, _, body = write(server, good[:-1])
    assert status == 400 and b"at byte" in body
    status, _, body = post("http://127.0.0.1:%d/api/v1/write" % server.port["write"], b"not snappy", V1,
                           {"Content-Encoding": "snappy"})
    assert status == 400, body
    status, _, body = write(server, good, "application/json")
    assert status == 415 and b"io.prometheus.write.v2.Request" in body


def test_one_request_may_have_many_series(server):
    t = now_ms()
    series = [({"__name__": "many", "n": str(n), "job": "j%d" % (n % 7)}, [(t, n)]) for n in range(3000)]
    assert write(server, request1(series))[0] == 204
    assert ask(server, "count(many) + sum(many)", t) == [({}, 3000 + 2999 * 1500)]


def test_the_built_in_configuration_takes_it_on_the_web_port():
    with Server() as s:
        t = now_ms()
        status, _, body = post(s.http + "/api/v1/write", snappy(request1([({"__name__": "w"}, [(t, 4)])])), V1,
                               {"Content-Encoding": "snappy"})
        assert status == 204, body
        assert wait_for("the sample", lambda: s.promql("w", t / 1000))[0]["value"][1] == "4"
