#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ./run does after the build: the server, the staging example, a steady load, until Ctrl-C.

With --for SECONDS it ends by itself, asks the server for the example's metrics, logs and traces, and
exits 0 only if all three are there.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
READY_SECONDS, STOP_SECONDS = 30, 20


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def wait_ready(url, process):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit("run: sonde serve ended with %d before it was ready" % process.returncode)
        try:
            with urllib.request.urlopen(url + "/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    sys.exit("run: sonde serve was not ready within %d s" % READY_SECONDS)


def missing(url):
    """What of the example can not be queried back; empty when all is there."""
    out = []
    quote = urllib.parse.quote
    now = time.time()
    series = get("%s/api/v1/query?query=%s" % (url, quote("sum(http_requests_total)")))
    if not series["data"]["result"] or float(series["data"]["result"][0]["value"][1]) <= 0:
        out.append("metrics: sum(http_requests_total) has no value")
    logs = get("%s/loki/api/v1/query_range?query=%s&start=%d&end=%d&limit=5"
               % (url, quote('{service="api"}'), (now - 3600) * 1e9, (now + 60) * 1e9))
    if not logs["data"]["result"]:
        out.append('logs: {service="api"} finds none')
    traces = get("%s/jaeger/api/traces?service=%s&limit=20&start=%d&end=%d"
                 % (url, quote("real-staging-worker"), (now - 3600) * 1e6, (now + 60) * 1e6))
    both = [t for t in traces["data"]
            if {p["serviceName"] for p in t["processes"].values()}
            >= {"real-staging-api", "real-staging-worker"}]
    if not both:
        out.append("traces: none runs through api and worker")
    return out


def stop(processes):
    """The last started first, each to its end: the example hands over what it has to the server."""
    for process in reversed(processes):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", default="127.0.0.1:4319")
    parser.add_argument("--for", dest="seconds", type=int)
    args = parser.parse_args()
    url = "http://" + args.http
    data = os.environ.get("SONDE_DATA", os.path.join(ROOT, "data"))
    processes = []
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    code = 0
    try:
        serve = [os.path.join(ROOT, "build/sonde"), "serve", "--data", data, "--http", args.http]
        processes.append(subprocess.Popen(serve, stdout=subprocess.DEVNULL, start_new_session=True))
        wait_ready(url, processes[0])
        processes.append(subprocess.Popen(
            [os.path.join(ROOT, "examples/staging/up"), "--quiet"], start_new_session=True,
            env=dict(os.environ, SONDE_ADDR=url, OTEL_METRIC_EXPORT_INTERVAL="5000",
                     OTEL_EXPORTER_OTLP_ENDPOINT=os.environ.get(
                         "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"))))
        print("sonde is ready: " + url, flush=True)
        end = time.monotonic() + args.seconds if args.seconds is not None else None
        while end is None or time.monotonic() < end:
            for process in processes:
                if process.poll() is not None:
                    sys.exit("run: %s ended with %d" % (process.args[0], process.returncode))
            time.sleep(0.2)
        lost = missing(url)
        for line in lost:
            print("run: " + line, file=sys.stderr)
        code = 1 if lost else 0
        if not lost:
            print("metrics, logs and traces of the example were queried back")
    except KeyboardInterrupt:
        code = 0 if args.seconds is None else 130
    finally:
        stop(processes)
    return code


if __name__ == "__main__":
    sys.exit(main())
