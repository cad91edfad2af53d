# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of the server share: one `sonde serve` on a directory and free ports, what it
says about itself, and waiting until it has sealed what it took."""
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

PROGRAM = os.path.basename(sys.argv[0])
TICKS = os.sysconf("SC_CLK_TCK")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid, field="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(rf"{field}:\s+(\d+) kB", f.read()).group(1)) / 1024


def need_sonde(build):
    if not os.access(os.path.join(build, "sonde"), os.X_OK):
        sys.exit(f"bench/{PROGRAM}: {build}/sonde is missing; build it with ./run --build")


class Server:
    """One `sonde serve` and its data directory."""

    def __init__(self, build, data, *arguments):
        http, grpc, otlp = free_ports(3)
        self.base = f"http://127.0.0.1:{http}"
        self.endpoint = f"http://127.0.0.1:{otlp}"
        self.log = open(os.path.join(data, "server.log"), "w")
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [os.path.join(build, "sonde"), "serve", "--data", os.path.join(data, "data"),
             "--http", f"127.0.0.1:{http}", "--otlp-grpc", f"127.0.0.1:{grpc}",
             "--otlp-http", f"127.0.0.1:{otlp}", *arguments],
            stdout=self.log, stderr=self.log)
        self.wait_ready(begin + 20)
        self.ready_ms = (time.monotonic() - begin) * 1000

    def wait_ready(self, deadline):
        while True:
            try:
                urllib.request.urlopen(self.base + "/readyz", timeout=5).read()
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"bench/{PROGRAM}: the server did not get ready; see {self.log.name}")
                time.sleep(0.001)

    @property
    def pid(self):
        return self.process.pid

    def metrics(self, name):
        """Values of a metric by its label `signal` ("" without)."""
        page = urllib.request.urlopen(self.base + "/metrics", timeout=10).read().decode()
        values = {}
        for line in page.splitlines():
            m = re.match(rf'{name}(?:\{{.*?signal="(\w+)".*?\}})? (\S+)$', line)
            if m:
                values[m.group(1) or ""] = float(m.group(2))
        return values

    def wait_for_seal(self, limit=150):
        """Rows are sealed when they are a minute old."""
        end = time.monotonic() + limit
        while self.metrics("sonde_store_memory_bytes").get("", 1) > 0:
            if time.monotonic() > end:
                print(f"not everything was sealed within {limit} s", file=sys.stderr)
                break
            time.sleep(0.5)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
