# SPDX-License-Identifier: Apache-2.0
"""sonde gen: what it says was accepted is in the server, item by item; a server that cannot take more
is waited for; what is lost makes it fail."""
import http.server
import json
import subprocess
import threading
import time

import harness


def gen(signal, endpoint, *args):
    done = subprocess.run([harness.SONDE, "gen", signal, "--endpoint", endpoint, "-o", "json", *args],
                          capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def test_every_item_can_be_accounted_for(server):
    numbers = {}
    for signal in ("logs", "traces", "metrics"):
        code, report, problem = gen(signal, server.otlp, "--count", "1200", "--rate", "0",
                                    "--batch", "500", "--series", "100", "--services", "3")
        assert (code, problem) == (0, ""), problem
        assert report["sent"] == report["accepted"] == 1200
        assert report["refused"] == report["failed"] == 0
        assert report["bytes"] > 1200 * 20 and report["cpu_seconds"] > 0
        numbers[signal] = report["run"]
    logs = server.logs('{service_name=~"gen-.*"} | gen_run="%s"' % numbers["logs"], limit=5000)
    assert sorted(int(fields["gen_number"]) for _, _, fields in logs) == list(range(1200))
    samples = server.promql('gen_number{gen_run="%s"}[1h]' % numbers["metrics"], time.time() + 60)
    values = [float(v) for series in samples for _, v in series["values"]]
    assert len(samples) == 100
    assert sorted(values) == list(range(1200))
    for series in samples:
        times = [t for t, _ in series["values"]]
        assert times == sorted(set(times))
    spans = [span for service in ("gen-0", "gen-1", "gen-2")
             for trace in server.traces(service, limit=1000) for span in trace["spans"]]
    tags = [{t["key"]: t["value"] for t in span["tags"]} for span in spans]
    assert sorted(int(t["gen.number"]) for t in tags) == list(range(1200))


def test_a_rate_is_kept(server):
    begin = time.monotonic()
    code, report, _ = gen("logs", server.otlp, "--rate", "200", "--duration", "2s")
    assert code == 0
    assert 1.5 < time.monotonic() - begin < 20
    assert 300 <= report["accepted"] <= 400


class Reluctant(http.server.BaseHTTPRequestHandler):
    """Answers what the test put into `answers`, then 200."""
    protocol_version = "HTTP/1.1"
    answers = []
    bodies = []

    def do_POST(self):
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        code, headers = self.answers.pop(0) if self.answers else (200, {})
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def with_reluctant(answers, *args):
    Reluctant.answers, Reluctant.bodies = list(answers), []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Reluctant) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        begin = time.monotonic()
        result = gen("logs", "http://127.0.0.1:%d/" % s.server_address[1], "--workers", "1",
                     "--rate", "0", *args)
        s.shutdown()
    return *result, time.monotonic() - begin


def test_later_is_obeyed_and_never_is_a_loss():
    code, report, _, seconds = with_reluctant([(429, {"Retry-After": "1"}), (503, {})],
                                              "--count", "20", "--batch", "10")
    assert code == 0 and seconds >= 1
    assert report["accepted"] == 20 and report["retries"] == 2
    assert len(Reluctant.bodies) == 4 and Reluctant.bodies[0] == Reluctant.bodies[1]

    code, report, problem, _ = with_reluctant([(400, {})], "--count", "20", "--batch", "10")
    assert code == 1 and "400" in problem
    assert (report["accepted"], report["refused"]) == (10, 10)


def test_wrong_usage_is_told():
    for args in (["nothing"], ["logs", "--rate", "-1"], ["logs", "--unknown"], ["logs", "--batch"]):
        done = subprocess.run([harness.SONDE, "gen", *args], capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr and not done.stdout, args
    code, report, problem = gen("logs", "http://127.0.0.1:1", "--count", "5", "--duration", "1s")
    assert code == 1 and report["failed"] == 5 and "no answer" in problem
