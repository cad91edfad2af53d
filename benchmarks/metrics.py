# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of PromQL share: a fleet's metrics by remote write (bench_metrics_load), the
three servers that take and answer them, and their figures."""
import http.client
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import server
from server import cpu_seconds, free_ports, memory_mib

STEP_MS = 15000


class Foreign:
    """Debian's prometheus or victoria-metrics on a temporary directory and a free port."""

    def __init__(self, name, arguments, folder, port, ready):
        self.name, self.port, self.write = name, port, "/api/v1/write"
        self.log = open(os.path.join(folder, name + ".log"), "w")
        self.process = subprocess.Popen(arguments, stdout=self.log, stderr=self.log)
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5).read()
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if self.process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"bench/{server.PROGRAM}: {name} did not get ready; see {self.log.name}")
                time.sleep(0.05)

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def prometheus(folder):
    port, = free_ports(1)
    config = os.path.join(folder, "prometheus.yml")
    with open(config, "w") as f:
        f.write("global: {}\n")
    return Foreign("prometheus", [
        "prometheus", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver", f"--storage.tsdb.path={folder}/prometheus",
        "--storage.tsdb.retention.time=30d", "--log.level=warn"], folder, port, "/-/ready")


def victoria(folder):
    port, = free_ports(1)
    return Foreign("victoria-metrics", [
        "victoria-metrics", f"-storageDataPath={folder}/victoria", "-retentionPeriod=1",
        f"-httpListenAddr=127.0.0.1:{port}", "-search.latencyOffset=0s", "-search.disableCache",
        "-loggerLevel=ERROR"], folder, port, "/health")


class Sonde:
    name, write = "sonde", "/api/v1/write"

    def __init__(self, build, folder, *arguments):
        self.server = server.Server(build, folder, *arguments)
        self.port = int(self.server.base.rsplit(":", 1)[1])

    @property
    def pid(self):
        return self.server.pid

    def stop(self):
        self.server.stop()


def have_foreign():
    return [name for name in ("prometheus", "victoria-metrics") if shutil.which(name)]


def loader(build, to, **options):
    program = os.path.join(build, "bench", "bench_metrics_load")
    if not os.access(program, os.X_OK):
        sys.exit(f"bench/{server.PROGRAM}: {program} is missing; build it with ./bench")
    return [program, str(to.port), to.write, *(f"{k}={v}" for k, v in options.items())]


def load(build, to, **options):
    """Series, samples, seconds."""
    done = subprocess.run(loader(build, to, **options), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench/{server.PROGRAM}: loading {to.name}: {done.stderr.strip()}")
    series, samples, seconds, _ = done.stdout.split()
    return int(series), int(samples), float(seconds)


def wait_idle(servers, quiet_s=2.0, limit_s=180):
    """Until none of them has used more than 3 % of a core for a while: what came is compacted."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        before = [cpu_seconds(s.pid) for s in servers]
        time.sleep(quiet_s)
        if all(cpu_seconds(s.pid) - b <= 0.03 * quiet_s for s, b in zip(servers, before)):
            return
    print(f"not all servers were idle within {limit_s} s", file=sys.stderr)


class Client:
    """One keep-alive connection."""

    def __init__(self, to):
        self.to = to
        self.connection = http.client.HTTPConnection("127.0.0.1", to.port, timeout=120)

    def get(self, path):
        """Milliseconds, and the answer's bytes."""
        begin = time.perf_counter()
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        text = answer.read()
        took = (time.perf_counter() - begin) * 1000
        if answer.status != 200:
            sys.exit(f"bench/{server.PROGRAM}: {self.to.name}: {path} was answered "
                     f"{answer.status}: {text[:300]}")
        return took, text


def path_of(query, end_s, range_s=0, step_s=0):
    options = {"query": query, "nocache": "1"}
    if range_s:
        options.update(start=end_s - range_s, end=end_s, step=step_s)
    else:
        options.update(time=end_s)
    where = "/api/v1/query_range?" if range_s else "/api/v1/query?"
    return where + urllib.parse.urlencode(options)


def answer_of(text):
    """{labels: {time: value}}"""
    data = json.loads(text)["data"]
    rows = {}
    if data["resultType"] == "scalar":
        data = {"result": [{"metric": {}, "value": data["result"]}]}
    for row in data["result"]:
        points = row.get("values") or [row["value"]]
        key = tuple(sorted(row["metric"].items()))
        rows[key] = {round(float(t), 3): float(v) for t, v in points}
    return rows


def difference(a, b):
    """The largest relative difference of two answers; inf when rows or times differ."""
    if a.keys() != b.keys():
        return math.inf
    worst = 0.0
    for key, points in a.items():
        others = b[key]
        if points.keys() != others.keys():
            return math.inf
        for t, v in points.items():
            w = others[t]
            if v == w or (math.isnan(v) and math.isnan(w)):
                continue
            worst = max(worst, abs(v - w) / max(abs(v), abs(w)))
    return worst


__all__ = ["STEP_MS", "Client", "Sonde", "answer_of", "cpu_seconds", "difference", "have_foreign",
           "load", "loader", "memory_mib", "path_of", "prometheus", "victoria", "wait_idle"]
