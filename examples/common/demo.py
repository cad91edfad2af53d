# SPDX-License-Identifier: Apache-2.0
"""What the demo scripts of the examples share: they start a system against a running server, produce
each situation, and assert over the server's APIs that everything can be seen there.

    def body(demo, system):
        system.steady(4, demo.seconds)
        demo.check("…", value)
        demo.asked(system)

    sys.exit(run_demo(Staging, body))

The server is found by SONDE_ADDR (its query port) and OTEL_EXPORTER_OTLP_ENDPOINT; DATABASE_URL and
REDIS_URL go on to the programs. The exit code is 0, or 1 when a check failed.
"""
import argparse
import json
import os
import sys
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import asked  # noqa: E402
from exposition import parse  # noqa: E402
from system import ROOT, say, stop_on_signals  # noqa: E402

# Telemetry arrives soon enough to look at it within seconds; what the user sets stands above this.
FAST_EXPORT = {"OTEL_METRIC_EXPORT_INTERVAL": "1000", "OTEL_BSP_SCHEDULE_DELAY": "200",
               "OTEL_BLRP_SCHEDULE_DELAY": "200"}
LOG_PAGE = 5000     # lines that the server gives at most for one query
SHOWN = 600         # characters of what was seen


class Failed(Exception):
    """Nothing that follows makes sense: the demo ends here."""


def short(value):
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"


class Demo:
    Failed = Failed

    def __init__(self, folder, arguments=None):
        self.folder = os.path.abspath(folder)
        self.name = os.path.basename(self.folder)
        parser = argparse.ArgumentParser(
            description="Runs the %s system under a short load and asserts over the server's APIs that "
                        "all of it can be seen." % self.name)
        parser.add_argument("--for", dest="seconds", type=float, default=15, metavar="SECONDS",
                            help="how long the load runs, at least what the checks need (default 15)")
        self.seconds = parser.parse_args(arguments).seconds
        self.http = address(os.environ.get("SONDE_ADDR") or "http://127.0.0.1:4319")
        self.otlp = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://127.0.0.1:4318"
        self.environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp,
                            **{k: v for k, v in FAST_EXPORT.items() if k not in os.environ}}
        self.started = time.time()
        self.system = None
        self.group = "checks"
        self.groups = {}    # name: [passed, [failures]]

    # ---- checks ----

    def passed(self, what):
        self.groups.setdefault(self.group, [0, []])[0] += 1

    def failed(self, what, seen=None):
        text = what if seen is None else "%s; seen: %s" % (what, short(seen))
        self.groups.setdefault(self.group, [0, []])[1].append(text)
        say("FAILED  %s: %s" % (self.group, short(what).partition("\n")[0]))

    def check(self, what, value, seen=None):
        """Counts one check; seen is shown when it fails. Gives the value."""
        if value:
            self.passed(what)
        else:
            self.failed(what, value if seen is None else seen)
        return value

    def until(self, what, condition, seconds=20):
        """Asks again until the condition gives something true, which it returns; None after that time."""
        end, last, value = time.monotonic() + seconds, None, None
        while True:
            try:
                value = condition()
                if value:
                    self.passed(what)
                    return value
                last = None
            except (AssertionError, OSError, KeyError, IndexError, TypeError, ValueError, Failed) as e:
                last = "%s: %s" % (type(e).__name__, e)
            if time.monotonic() >= end:
                break
            if self.system:
                self.system.check()
            time.sleep(0.05)
        self.failed("%s: not within %g s" % (what, seconds), last or value)
        return None

    # ---- the system's own view ----

    def lines(self, program):
        """The JSON objects that a program wrote to stdout so far."""
        return self.system.lines(program)

    def page(self, program):
        """The metrics page of a program, or of a URL, parsed."""
        base = program if "://" in program else self.url(program)
        url = base if "/metrics" in base else base + "/metrics"
        request = urllib.request.Request(url, headers={"Accept": "text/plain;version=0.0.4"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return parse(answer.read().decode())

    def url(self, program):
        return self.system.urls.get(program) or self.system.url

    # ---- the server ----

    def get(self, path, **parameters):
        url = self.http + path + ("?" + urllib.parse.urlencode(parameters) if parameters else "")
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as e:
            raise Failed("%s answered %d: %s" % (url, e.code, e.read()[:400].decode("utf-8", "replace"))
                         ) from None

    def promql(self, expr, at=None):
        """The result of an instant query: a list of {"metric", "value"}; a scalar becomes one, too."""
        data = self.get("/api/v1/query", query=expr, **({"time": at} if at else {}))["data"]
        if data["resultType"] in ("scalar", "string"):
            return [{"metric": {}, "value": data["result"]}]
        return data["result"]

    def logql(self, selector, limit=LOG_PAGE):
        """[(time in ns, line, {labels and fields})] since the demo began, newest first."""
        answer = self.get("/loki/api/v1/query_range", query=selector, limit=limit,
                          start=int((self.started - 1) * 1e9), end=int((time.time() + 3600) * 1e9))
        rows = []
        for stream in answer["data"]["result"]:
            for value in stream["values"]:
                extra = value[2] if len(value) > 2 else {}
                rows.append((int(value[0]), value[1],
                             {**stream["stream"], **extra.get("structuredMetadata", {}),
                              **extra.get("parsed", {})}))
        return sorted(rows, key=lambda row: -row[0])

    def traces(self, service, **parameters):
        """Jaeger's traces of a service since the demo began, newest first; parameters as Jaeger's API has
        them: operation, tags, minDuration, limit."""
        return self.get("/jaeger/api/traces", **{
            "service": service, "start": int((self.started - 1) * 1e6),
            "end": int((time.time() + 3600) * 1e6), "limit": 200, **parameters})["data"]

    def trace(self, trace_id):
        """One trace, or None."""
        try:
            data = self.get("/jaeger/api/traces/" + trace_id)["data"]
        except Failed:
            return None
        return data[0] if data else None

    def find(self, some_id):
        """The trace ids that belong to a trace, request or job id."""
        return self.get("/api/sonde/v1/find", id=some_id)["data"]["trace_ids"]

    def asked(self, system=None):
        """Asserts everything in the folder's asked.json."""
        self.system = system or self.system
        asked.check_all(self)

    def label_values(self, metric, label):
        match = {"match[]": metric} if metric else {}
        return self.get("/api/v1/label/%s/values" % label, **match)["data"]

    # ---- begin and end ----

    def need_server(self):
        try:
            urllib.request.urlopen(self.http + "/readyz", timeout=10).close()
        except (urllib.error.URLError, OSError) as e:
            raise SystemExit(
                "demo %s: no sonde answers at %s (%s).\n"
                "Start one: %s serve --data /tmp/sonde-data\n"
                "or name another: SONDE_ADDR=http://HOST:4319 OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318"
                % (self.name, self.http, getattr(e, "reason", e), os.path.join(ROOT, "build/sonde"))
            ) from None

    def end(self):
        """Says what was checked; the exit code."""
        total, failures = 0, []
        for name, (passed, failed) in self.groups.items():
            say("%-10s %d passed%s" % (name, passed, ", %d FAILED" % len(failed) if failed else ""))
            total += passed + len(failed)
            failures += ["%s: %s" % (name, text) for text in failed]
        if not failures:
            print("demo %s: %d checks passed" % (self.name, total))
            return 0
        for text in failures:
            print("FAILED  " + text)
        print("demo %s: %d of %d checks failed" % (self.name, len(failures), total))
        print("look at %s, and at the programs' output above" % self.http)
        return 1


def address(text):
    return (text if "://" in text else "http://" + text).rstrip("/")


def run_demo(system_class, body, folder=None):
    """Starts the system with files for its output, runs body(demo, system), says what was checked."""
    demo = Demo(folder or os.path.join(ROOT, "examples", system_class.name))
    stop_on_signals()
    demo.need_server()
    system = system_class(quiet=True, environment=demo.environment, keep=True)
    demo.system = system
    try:
        with system:
            try:
                body(demo, system)
            except (Exception, SystemExit) as e:
                if not isinstance(e, (Failed, SystemExit)):
                    traceback.print_exc()
                demo.failed("the demo broke off: %s" % (e or type(e).__name__))
            if any(failed for _, failed in demo.groups.values()):
                show_programs(system)
    except SystemExit as e:
        demo.failed("the system did not start: %s" % e)
    except RuntimeError as e:
        demo.failed("the programs end as they should: %s" % e)
    except KeyboardInterrupt:
        return 130
    return demo.end()


def show_programs(system):
    for name, _ in system.programs:
        for kind in ("out", "err"):
            last = system.output(name, kind)[-1500:]
            if last:
                say("---- the last of %s, std%s:\n%s" % (name, kind, last.rstrip()))
