# SPDX-License-Identifier: Apache-2.0
"""How exporters send: batches, splits, retries that end, refusals, and what is counted; a stop sends what
is gathered; an exporter that is new after a reload misses nothing; what cannot be started is told."""
import http.server
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from harness import free_ports, post, wait_for
from test_collector_delivery import Collector, Sender, numbered

HEAD = """
receivers:
  otlp: { protocols: { http: { endpoint: '127.0.0.1:%(port)d' } } }
exporters:
  otlphttp:
    endpoint: http://127.0.0.1:%(far)d
    encoding: json
    compression: none
    retry_on_failure: { RETRY }
processors:
  batch: { BATCH }
extensions:
  sonde_web: { endpoint: '127.0.0.1:%(web)d' }
service:
  extensions: [sonde_web]
  pipelines:
    logs: { receivers: [otlp], processors: [batch], exporters: [otlphttp] }
"""
FAST = "initial_interval: 10ms, max_interval: 20ms"


def config(batch="timeout: 10ms", retry=FAST):
    return HEAD.replace("BATCH", batch).replace("RETRY", retry)


class Far(http.server.ThreadingHTTPServer):
    """Notes each request's items and answers what `answer(number of the request)` gives."""
    daemon_threads = True

    def __init__(self, answer=lambda n: (200, {})):
        super().__init__(("127.0.0.1", 0), FarAnswers)
        self.answer, self.requests, self.lock = answer, [], threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.server_address[1]

    def numbers(self):
        with self.lock:
            return [n for r in self.requests for _, n in r]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass


class FarAnswers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        far = self.server
        with far.lock:
            far.requests.append(numbered(self.path.rsplit("/", 1)[1], json.loads(body)))
            status, answer = far.answer(len(far.requests) - 1)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def send(c, numbers, port=None):
    body = Sender(0, "a").body("logs", numbers)
    post("http://127.0.0.1:%d/v1/logs" % (port or c.port), json.dumps(body).encode(), "application/json")


@pytest.fixture(name="run")
def make_run():
    ends = []

    def run(far, text):
        c = Collector(text, far.port)
        ends.append(c)
        c.start()
        return c
    yield run
    for c in ends:
        c.end()


def dropped(c, reason):
    return c.metric("sonde_component_dropped_items_total", component="otlphttp", reason=reason)


def sent(c):
    return c.metric("sonde_exporter_sent_items_total", component="otlphttp")


def test_rows_wait_for_a_full_batch_and_keep_their_order(run):
    with Far() as far:
        c = run(far, config("timeout: 1h, send_batch_size: 50"))
        for n in range(0, 120, 10):
            send(c, range(n, n + 10))
        wait_for("two batches", lambda: len(far.requests) == 2)
        assert [len(r) for r in far.requests] == [50, 50]
        assert far.numbers() == list(range(100))
        c.server.stop()
        assert far.numbers() == list(range(120)), "a stop sends what is gathered"
        c.start()
        send(c, range(120, 170))
        wait_for("the next", lambda: len(far.requests) > 3)
        assert far.numbers() == list(range(170)), "and does not send it again"


def test_rows_wait_no_longer_than_the_timeout(run):
    with Far() as far:
        c = run(far, config("timeout: 300ms, send_batch_size: 1000"))
        began = time.monotonic()
        send(c, range(3))
        send(c, range(3, 5))
        wait_for("the batch", lambda: far.requests)
        assert time.monotonic() - began >= 0.3
        assert [len(r) for r in far.requests] == [5]


def test_a_large_batch_is_split(run):
    with Far() as far:
        c = run(far, config("timeout: 10ms, send_batch_size: 7, send_batch_max_size: 7"))
        send(c, range(20))
        wait_for("all", lambda: len(far.numbers()) == 20)
        assert [len(r) for r in far.requests] == [7, 7, 6]
        assert far.numbers() == list(range(20))


def test_without_retries_a_failure_drops_and_is_counted(run):
    with Far(lambda n: (503 if n == 0 else 200, {})) as far:
        c = run(far, config(retry="enabled: false"))
        send(c, range(5))
        wait_for("the drop", lambda: dropped(c, "retries are switched off") == 5)
        send(c, range(5, 8))
        wait_for("the next", lambda: sent(c) == 3)
        assert far.numbers() == list(range(8))


def test_retries_end_after_max_elapsed_time(run):
    with Far(lambda n: (503, {})) as far:
        c = run(far, config(retry=FAST + ", max_elapsed_time: 300ms"))
        send(c, range(5))
        wait_for("the drop", lambda: dropped(c, "retried for too long") == 5)
        assert len(far.requests) > 3
        far.answer = lambda n: (200, {})
        send(c, range(5, 8))
        wait_for("the next", lambda: sent(c) == 3)


def test_what_is_refused_for_good_is_dropped_at_once(run):
    with Far(lambda n: (400 if n == 0 else 200, {"message": "bad rows"})) as far:
        c = run(far, config())
        send(c, range(5))
        wait_for("the drop", lambda: dropped(c, "refused by the receiver") == 5)
        send(c, range(5, 8))
        wait_for("the next", lambda: sent(c) == 3)
        assert [len(r) for r in far.requests] == [5, 3]
        assert c.metric("sonde_exporter_retries_total") == 0


def test_items_rejected_one_by_one_are_counted(run):
    partial = {"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "too old"}}
    with Far(lambda n: (200, partial)) as far:
        c = run(far, config())
        send(c, range(5))
        wait_for("the count", lambda: dropped(c, "rejected by the receiver") == 2)
        assert sent(c) == 3
        wait_for("the reason", lambda: "too old" in c.server.output())
        assert len(far.requests) == 1


def test_stages_that_exporters_share_are_counted_once(run):
    with Far() as far:
        third = "  filter: { logs: { log_record: ['attributes[\"n\"] == 3'] } }\n"
        more = "exporters:\n  debug: { verbosity: basic }\n  sonde: {}\n"
        c = run(far, config().replace("  batch:", third + "  batch:").replace("[batch]", "[filter, batch]")
                .replace("exporters:\n", more, 1).replace("[otlphttp]", "[sonde, debug, otlphttp]"))
        send(c, range(5))
        wait_for("the items", lambda: sent(c) == 4)
        assert far.numbers() == [0, 1, 2, 4]
        wait_for("the count",
                 lambda: c.metric("sonde_processor_incoming_items_total", component="filter") == 5)
        assert c.metric("sonde_processor_outgoing_items_total", component="filter") == 4
        assert c.metric("sonde_component_dropped_items_total", component="filter") == 1


def test_only_exporters_that_deliver_hold_the_log(run):
    with Far() as far:
        c = run(far, config().replace("exporters:\n", "exporters:\n  debug: { verbosity: basic }\n", 1)
                .replace("[otlphttp]", "[debug, otlphttp]"))
        send(c, range(5))
        wait_for("the items", lambda: sent(c) == 5)
        assert os.listdir(os.path.join(c.data, "cursors")) == ["exporter%20otlphttp"]


def is_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_an_exporter_that_is_new_after_a_reload_misses_nothing(run):
    """While the one before it, whose far side is away, takes its time to end."""
    with Far(lambda n: (503, {})) as away, Far() as far:
        c = run(away, config())
        more = free_ports(1)[0]
        s = Sender(c.port, "a", counts=(1,))
        s.start()
        wait_for("items", lambda: len(s.acked["logs"]) > 5)
        receiver = "  otlp/more: { protocols: { http: { endpoint: '127.0.0.1:%d' } } }\n" % more
        c.write(config().replace("otlphttp", "otlphttp/new").replace("%(far)d", str(far.port))
                .replace("  otlp:", receiver + "  otlp:", 1).replace("[otlp]", "[otlp, otlp/more]"))
        c.server.process.send_signal(signal.SIGHUP)
        wait_for("the new port", lambda: is_open(more))
        from_here = s.acked["logs"][-1] + 6  # each third one is a log, and one is on its way now
        wait_for("the reload", lambda: "configuration_reloaded" in c.server.output(), 30)
        assert s.acked["logs"][-1] > from_here, "senders went on while the old exporter ended"
        s.limit = 0
        s.join(30)
        wait_for("the newest", lambda: s.acked["logs"][-1] in far.numbers())
        lost = sorted({n for n in s.acked["logs"] if n >= from_here} - set(far.numbers()))
        assert not lost, (len(lost), lost[:5])
        assert "records of the log were not sent" in c.server.output()


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def test_what_cannot_be_started_after_a_reload_is_told_and_the_rest_runs(run, tmp_path):
    recorder = "  recorder: { directories: ['%s'] }\n" % tmp_path
    with Far() as far:
        both = config().replace("receivers:\n", "receivers:\n" + recorder, 1)
        both = both.replace("[otlp]", "[recorder, otlp]")
        run(far, both)  # reads the directory
        c = run(far, config())
        c.write(both)
        wait_for("the trouble", lambda: "configuration_incomplete" in c.server.output(), 30)
        status, text = status_of(c.server.http + "/readyz")
        assert status == 503 and "receiver recorder: another server reads the recorders" in text, text
        send(c, range(5))
        wait_for("the items", lambda: far.numbers() == list(range(5)))
        c.write(config())
        wait_for("the reload", lambda: c.server.output().count("configuration_reloaded") == 2, 30)
        assert status_of(c.server.http + "/readyz")[0] == 200


def test_what_came_before_another_configuration_stays(run):
    """Also when the receiver has another name: rows that were visible are not routed again."""
    kept = config().replace("otlphttp:", "sonde: {}\n  otlphttp:", 1).replace("[otlphttp]", "[sonde]")
    with Far() as far:
        c = run(far, kept)
        send(c, range(5))
        renamed = kept.replace("otlp:", "otlp/renamed:", 1).replace("[otlp]", "[otlp/renamed]")
        c.write(renamed)
        wait_for("the reload", lambda: "configuration_reloaded" in c.server.output(), 30)
        c.server.kill()
        c.start()
        assert c.metric("sonde_store_rows", signal="logs") == 5
        send(c, range(5, 8))
        c.server.stop()
        c.write(kept)
        c.start()
        assert c.metric("sonde_store_rows", signal="logs") == 8
