# SPDX-License-Identifier: Apache-2.0
"""What the tests that run whole programs share: a server of their own, OTLP/JSON, queries, waiting."""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.environ.get("SONDE_ROOT") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(ROOT, "examples/common"))

from ports import free_port  # noqa: E402

BUILD = os.environ.get("SONDE_BUILD") or os.path.join(ROOT, "build-dev")
FULL = bool(os.environ.get("SONDE_FULL"))
SONDE = os.path.join(BUILD, "sonde")
BUSY = 3  # times as long as on an idle machine is waited: it ends what would hang, and judges no speed
LOG_PAGE = 5000  # what the server gives at most for one log query


def free_ports(count):
    """Ports that nobody listens on now, by TCP or UDP; no other test process is given them."""
    return [free_port() for _ in range(count)]


def wait_for(what, condition, seconds=20, every=0.02):
    """Calls condition until it gives something true, and returns that. The limit is an idle machine's."""
    seconds *= BUSY
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except (AssertionError, OSError, urllib.error.URLError, http.client.HTTPException, KeyError,
                IndexError, ValueError) as e:
            last = e
        time.sleep(every)
    raise AssertionError("waited %d s for %s%s" % (seconds, what, ": %r" % last if last else ""))


class Lateness:
    """How long the machine lets a thread wait that wants to run: what a busy one adds to a measured time.
    late() are the milliseconds since it was asked last."""

    def __enter__(self):
        self.over, self.ms, self.told = threading.Event(), 0.0, 0.0
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self, every=0.01):
        begun = time.monotonic()
        while not self.over.wait(every):
            now = time.monotonic()
            self.ms += (now - begun - every) * 1000
            begun = now

    def __call__(self):
        since, self.told = self.ms - self.told, self.ms
        return since

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@contextlib.contextmanager
def timed(noted):
    """Adds to the list the seconds that the block takes, without what a busy machine adds to them."""
    begun = time.monotonic()
    with Lateness() as late:
        try:
            yield
        finally:
            noted.append(time.monotonic() - begun - late() / 1000)


@contextlib.contextmanager
def within(seconds):
    """The block takes less than that, without what a busy machine adds."""
    took = []
    with timed(took):
        yield
    assert took[0] < seconds, "took %.1f s, and may take %.1f s" % (took[0], seconds)


def get(url, timeout=30, headers=None):
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()
    except urllib.error.HTTPError as e:
        raise AssertionError("%s answered %d: %s" % (url, e.code, e.read()[:400])) from None


def get_json(url, timeout=30):
    return json.loads(get(url, timeout))


def post(url, body, content_type="application/json", headers=None, timeout=30):
    """(status, headers, body), also for error answers."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type,
                                                             **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as e:
        return e.code, dict(e.headers), e.read()


class Server:
    """One `sonde serve` on free ports; use it in a with statement."""

    def __init__(self, data=None, args=(), env=None, preload=None, binary=SONDE):
        self.own_dir = data is None
        self.data = data or tempfile.mkdtemp(prefix="sonde-data-")
        self.args, self.env, self.preload, self.binary = list(args), dict(env or {}), preload, binary
        self.ports = free_ports(3)
        self.http = "http://127.0.0.1:%d" % self.ports[0]
        self.otlp = "http://127.0.0.1:%d" % self.ports[1]
        self.grpc = "127.0.0.1:%d" % self.ports[2]
        self.process = None
        self.log_path = self.data.rstrip("/") + ".log"

    def command(self):
        return [self.binary, "serve", "--data", self.data, "--http", self.http[7:],
                "--otlp-http", self.otlp[7:], "--otlp-grpc", self.grpc, *self.args]

    def start(self, ready=True):
        env = dict(os.environ, **self.env)
        if self.preload:
            env["LD_PRELOAD"] = self.preload
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, env=env)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError("sonde serve ended with %d:\n%s"
                                   % (self.process.returncode, self.output()[-4000:]))
            return get(self.http + "/readyz", timeout=5) is not None
        wait_for("sonde serve to be ready", ready, 30)

    def output(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """A graceful end; its exit code."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30 * BUSY)
        return self.process.returncode if self.process else None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.clean_up()
            raise

    def clean_up(self):
        """Nothing of it is left, also when it did not start or did not end."""
        if self.process and self.process.poll() is None:
            self.kill()
        self.log.close()
        if self.own_dir:
            shutil.rmtree(self.data, ignore_errors=True)
            os.remove(self.log_path)

    def __exit__(self, kind, *_):
        try:
            code = self.stop()
            text = self.output()
        finally:
            self.clean_up()
        if kind is None:
            assert "ERROR: AddressSanitizer" not in text and "runtime error" not in text, text[-6000:]
            assert code in (0, -signal.SIGKILL), "exit code %r\n%s" % (code, text[-4000:])

    # ---- sending ----

    def send_logs(self, service, records, resource=()):
        """records: (time_ns, text, {attributes}); one OTLP/JSON request; the status code."""
        body = {"resourceLogs": [{
            "resource": {"attributes": attributes({"service.name": service, **dict(resource)})},
            "scopeLogs": [{"scope": {}, "logRecords": [
                {"timeUnixNano": str(t), "severityNumber": 9, "severityText": "INFO",
                 "body": {"stringValue": text}, "attributes": attributes(extra)}
                for t, text, extra in records]}]}]}
        return post(self.otlp + "/v1/logs", json.dumps(body).encode())

    # ---- asking ----

    def promql(self, query, at=None):
        url = self.http + "/api/v1/query?query=" + urllib.parse.quote(query)
        if at is not None:
            url += "&time=%.3f" % at
        return get_json(url)["data"]["result"]

    def logs(self, query, since=3600, limit=1000000):
        """[(time_ns, line, {all fields})], newest first; asks page after page."""
        rows, start = [], int((time.time() - since) * 1e9)
        while len(rows) < limit:
            page = self.log_page(query, start, min(limit, LOG_PAGE))
            if rows and page and rows[-1][0] == page[-1][0] and len(page) == LOG_PAGE:
                raise AssertionError("more than %d lines at one moment" % LOG_PAGE)
            rows = [row for row in rows if row[0] < start] + page
            if len(page) < LOG_PAGE:
                break
            start = page[-1][0]
        return sorted(rows, key=lambda row: -row[0])

    def log_page(self, query, start, limit):
        answer = get_json("%s/loki/api/v1/query_range?query=%s&start=%d&end=%d&limit=%d&direction=forward"
                          % (self.http, urllib.parse.quote(query), start, (time.time() + 3600) * 1e9,
                             limit))
        rows = []
        for stream in answer["data"]["result"]:
            for value in stream["values"]:
                fields = dict(stream["stream"])
                if len(value) > 2:
                    extra = value[2]
                    fields.update(extra.get("structuredMetadata", extra))
                rows.append((int(value[0]), value[1], fields))
        return sorted(rows, key=lambda row: row[0])

    def trace(self, trace_id):
        return get_json("%s/jaeger/api/traces/%s" % (self.http, trace_id))["data"][0]

    def traces(self, service, since=3600, **parameters):
        now = time.time()
        query = urllib.parse.urlencode({"service": service, "start": int((now - since) * 1e6),
                                        "end": int((now + 3600) * 1e6), "limit": 100, **parameters})
        return get_json("%s/jaeger/api/traces?%s" % (self.http, query))["data"]


class Collector(Server):
    """One `sonde serve --config`. In the file's text @name@ is a free port, the same wherever it stands, and
    afterwards self.port["name"]; the web port is @web@, and its extension is added."""

    def __init__(self, text, **more):
        super().__init__(**more)
        names = sorted(set(re.findall(r"@(\w+)@", text)) - {"web"})
        self.port = dict(zip(names, free_ports(len(names))), web=self.ports[0])
        self.config = self.data.rstrip("/") + ".yaml"
        self.write(text)

    def write(self, text):
        """Another text for the same file, complete at once."""
        if "sonde_web" not in text:
            text = text.replace("service:\n", "service:\n  extensions: [sonde_web]\n")
            text += "extensions:\n  sonde_web:\n    endpoint: 127.0.0.1:@web@\n"
        for name, port in self.port.items():
            text = text.replace("@%s@" % name, str(port))
        with open(self.config + ".new", "w") as f:
            f.write(text)
        os.replace(self.config + ".new", self.config)

    def command(self):
        return [self.binary, "serve", "--data", self.data, "--config", self.config, *self.args]

    def clean_up(self):
        super().clean_up()
        os.remove(self.config)


def attributes(values):
    def value(v):
        if isinstance(v, bool):
            return {"boolValue": v}
        if isinstance(v, int):
            return {"intValue": str(v)}
        if isinstance(v, float):
            return {"doubleValue": v}
        return {"stringValue": v}
    return [{"key": k, "value": value(v)} for k, v in values.items()]


def asan_library():
    """The sanitizer's library, which must come first where something is preloaded; empty without."""
    with open(os.path.join(BUILD, "CMakeCache.txt")) as f:
        if not any(line.startswith("SONDE_SANITIZE") and "address" in line for line in f):
            return ""
    return subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True,
                          check=True).stdout.strip()
