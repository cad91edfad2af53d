# SPDX-License-Identifier: Apache-2.0
"""Every variable of OpenTelemetry's specification that the library has, by what it changes outside: one
program, one receiver, one variable at a time. Endpoints, protocols, headers, TLS and retries are in
tests/interop/test_export.py, queue sizes in test_export_away.py, the parsing of values in
tests/unit/lib/test_env.c."""
import os
import re
import socket
import subprocess
import sys

import pytest

from harness import ROOT, free_ports, get, wait_for
from native import ENVIRONMENT, compile_program

sys.path.insert(0, os.path.join(ROOT, "tests/interop"))
from receivers import HttpReceiver  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_program(os.path.join(HERE, "every_setting.c"),
                           tmp_path_factory.mktemp("program") / "every_setting")


@pytest.fixture
def receiver():
    with HttpReceiver() as r:
        yield r


@pytest.fixture
def run(program, tmp_path, receiver):
    def run(env, spans=1, *args):
        done = subprocess.run(
            [program, str(spans), *map(str, args or [20000])], capture_output=True, text=True, timeout=60, env={
                **ENVIRONMENT, "SONDE_RECORDER_DIR": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
                **env})
        assert done.returncode == 0, done.stderr[-4000:]
        return done
    return run


def rows(receiver, signal):
    """All log records, spans or metrics that came."""
    groups = {"logs": ("resource_logs", "scope_logs", "log_records"),
              "traces": ("resource_spans", "scope_spans", "spans"),
              "metrics": ("resource_metrics", "scope_metrics", "metrics")}[signal]
    with receiver.lock:
        return [row for request in receiver.requests[signal] for resource in getattr(request, groups[0])
                for scope in getattr(resource, groups[1]) for row in getattr(scope, groups[2])]


def named(receiver, signal, name):
    return [row for row in rows(receiver, signal)
            if (row.event_name or row.body.string_value if signal == "logs" else row.name) == name]


def attributes(row):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in row.attributes
            if not a.key.startswith("sonde.")}


def resource(receiver):
    return attributes(receiver.requests["logs"][0].resource_logs[0].resource)


def test_disabled(run, receiver):
    done = run({"OTEL_SDK_DISABLED": "TRUE"})
    assert "traceparent" not in done.stdout and '"message"' not in done.stdout
    assert receiver.attempts == 0


def test_resource(run, receiver):
    run({"OTEL_SERVICE_NAME": "named", "OTEL_RESOURCE_ATTRIBUTES": "service.name=no,team=core%20team,host.name=h",
         "OTEL_ENTITIES": "service{service.instance.id=i-7}[service.version=9];host{host.id=h-1}[host.name=x]"})
    wanted = {"service.name": "named", "team": "core team", "host.name": "h", "service.instance.id": "i-7",
              "service.version": "9", "host.id": "h-1"}
    assert {k: v for k, v in resource(receiver).items() if k in wanted} == wanted


@pytest.mark.parametrize("level,said", [("", True), ("warn", True), ("error", False), ("none", False)])
def test_log_level_of_the_library(run, level, said):
    done = run({"OTEL_LOG_LEVEL": level, "OTEL_BSP_SCHEDULE_DELAY": "soon"})
    assert ("OTEL_BSP_SCHEDULE_DELAY" in done.stderr) == said


@pytest.mark.parametrize("propagators,headers", [
    ("", {"traceparent"}), ("none", set()), ("b3", {"b3"}), ("tracecontext,b3", {"traceparent", "b3"}),
    ("b3multi", {"x-b3-traceid", "x-b3-spanid", "x-b3-sampled"}), ("xray", {"x-amzn-trace-id"}),
    ("jaeger", {"uber-trace-id"})])
def test_propagators(run, propagators, headers):
    done = run({"OTEL_PROPAGATORS": propagators})
    found = {line.split(":")[0].lower() for line in done.stdout.splitlines() if re.match(r"[\w-]+: ", line)}
    assert found - {"x-request-id", "request_id"} == headers


@pytest.mark.parametrize("sampler,argument,least,most", [
    ("", "", 200, 200), ("always_on", "0", 200, 200), ("always_off", "", 0, 0), ("traceidratio", "0.5", 60, 140),
    ("traceidratio", "", 200, 200), ("parentbased_always_on", "", 200, 200), ("parentbased_always_off", "", 0, 0),
    ("parentbased_traceidratio", "0.25", 20, 90), ("parentbased_traceidratio", "0", 0, 0)])
def test_sampler(run, receiver, sampler, argument, least, most):
    run({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}, 200)
    assert least <= len(named(receiver, "traces", "numbered")) <= most
    assert len(named(receiver, "logs", "numbered")) == 200


# ---- batches ----

@pytest.mark.parametrize("prefix,signal", [("OTEL_BSP", "traces"), ("OTEL_BLRP", "logs")])
def test_batch_size(run, receiver, prefix, signal):
    run({prefix + "_MAX_EXPORT_BATCH_SIZE": "7"}, 50)
    with receiver.lock:
        sizes = [sum(len(getattr(s, "spans" if signal == "traces" else "log_records"))
                     for x in getattr(r, "resource_spans" if signal == "traces" else "resource_logs")
                     for s in getattr(x, "scope_spans" if signal == "traces" else "scope_logs"))
                 for r in receiver.requests[signal]]
    assert sum(sizes) == 51 and max(sizes) == 7


class Held:
    """The program, held before its end."""

    def __init__(self, program, tmp_path, receiver, env):
        self.process = subprocess.Popen(
            [program, "5", "-", "w"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**ENVIRONMENT, "SONDE_RECORDER_DIR": str(tmp_path),
                            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint if receiver else "",
                            "SONDE_LOG_OUTPUT": "none", **env})

    def __enter__(self):
        self.port = 0
        for line in self.process.stdout:
            if line.startswith("port "):
                self.port = int(line.split()[1])
                break
        return self

    def __exit__(self, *_):
        self.process.communicate("\n", timeout=30)


@pytest.mark.parametrize("delay,early", [("20", True), ("600000", False)])
@pytest.mark.parametrize("prefix,signal", [("OTEL_BSP", "traces"), ("OTEL_BLRP", "logs")])
def test_schedule_delay(program, tmp_path, receiver, prefix, signal, delay, early):
    """Nobody asks for a flush; the other signal's arrival shows that time has passed."""
    other, prompt = ("logs", "OTEL_BLRP") if signal == "traces" else ("traces", "OTEL_BSP")
    with Held(program, tmp_path, receiver, {prefix + "_SCHEDULE_DELAY": delay, prompt + "_SCHEDULE_DELAY": "300"}):
        wait_for("the other signal", lambda: len(rows(receiver, other)) == 6)
        if early:
            wait_for("the schedule", lambda: len(rows(receiver, signal)) == 6)
        else:
            assert rows(receiver, signal) == []
    assert len(rows(receiver, signal)) == 6


@pytest.mark.parametrize("variables", [{"OTEL_BLRP_EXPORT_TIMEOUT": "100"}, {"OTEL_EXPORTER_OTLP_TIMEOUT": "100"},
                                       {"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "100"}])
def test_time_limits(run, variables):
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        done = run({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:%d" % silent.getsockname()[1],
                    "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", **variables}, 1, 1500)
        assert "Timeout was reached" in done.stderr


def test_metric_time_limit(run):
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        done = run({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:%d" % silent.getsockname()[1],
                    "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none",
                    "OTEL_METRIC_EXPORT_TIMEOUT": "100"}, 1, 1500)
        assert "metrics cannot be sent" in done.stderr and "Timeout was reached" in done.stderr


def test_metric_interval(program, tmp_path, receiver):
    with Held(program, tmp_path, receiver, {"OTEL_METRIC_EXPORT_INTERVAL": "50"}):
        wait_for("four exports", lambda: len(receiver.requests["metrics"]) >= 4)


# ---- limits ----

@pytest.mark.parametrize("variable,on_spans,on_logs", [
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", True, True), ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", True, False),
    ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", False, True)])
def test_attribute_count(run, receiver, variable, on_spans, on_logs):
    run({variable: "2"})
    for signal, cut in (("traces", on_spans), ("logs", on_logs)):
        row = named(receiver, signal, "rich")[0]
        kept = set(attributes(row))
        assert len(kept) == 2 if cut else kept >= {"a", "b", "c"}
        assert (row.dropped_attributes_count > 0) == cut


@pytest.mark.parametrize("variable,on_spans,on_logs", [
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", True, True), ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", True, False),
    ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", False, True)])
def test_attribute_length(run, receiver, variable, on_spans, on_logs):
    run({variable: "6"})
    for signal, cut in (("traces", on_spans), ("logs", on_logs)):
        assert len(attributes(named(receiver, signal, "rich")[0])["a"]) == (6 if cut else 20)


@pytest.mark.parametrize("variable,events,links,event_attributes,link_attributes", [
    ("", 3, 3, 3, 3), ("OTEL_SPAN_EVENT_COUNT_LIMIT", 2, 3, 3, 3), ("OTEL_SPAN_LINK_COUNT_LIMIT", 3, 2, 3, 3),
    ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", 3, 3, 2, 3), ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", 3, 3, 3, 2)])
def test_span_limits(run, receiver, variable, events, links, event_attributes, link_attributes):
    run({variable: "2"} if variable else {})
    span = named(receiver, "traces", "rich")[0]
    assert (len(span.events), len(span.links)) == (events, links)
    assert (span.dropped_events_count, span.dropped_links_count) == (3 - events, 3 - links)
    assert {len(e.attributes) for e in span.events} == {event_attributes}
    assert {len(link.attributes) for link in span.links} == {link_attributes}


# ---- exporters ----

@pytest.mark.parametrize("variable,signal", [("OTEL_TRACES_EXPORTER", "traces"), ("OTEL_METRICS_EXPORTER", "metrics"),
                                             ("OTEL_LOGS_EXPORTER", "logs")])
@pytest.mark.parametrize("value", ["otlp", "none", "console", "otlp,console"])
def test_exporters(run, receiver, variable, signal, value):
    done = run({variable: value, "SONDE_LOG_OUTPUT": "none"})
    for each in ("traces", "metrics", "logs"):
        assert bool(rows(receiver, each)) == (each != signal or "otlp" in value), each
    marks = {"traces": '"type":"span"', "metrics": '"type":"metric"', "logs": '"message":"numbered"'}
    for each, mark in marks.items():
        assert (mark in done.stdout) == (each == signal and "console" in value), each


def test_prometheus(program, tmp_path):
    port = free_ports(1)[0]
    with Held(program, tmp_path, None, {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
                                        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1"}):
        wait_for("the page", lambda: "\ncounted_total 5" in get("http://127.0.0.1:%d/metrics" % port).decode())


@pytest.mark.parametrize("preference,temporality", [("", 2), ("cumulative", 2), ("delta", 1), ("lowmemory", 1)])
def test_temporality(run, receiver, preference, temporality):
    run({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference})
    assert {m.sum.aggregation_temporality for m in named(receiver, "metrics", "counted_total")} == {temporality}


@pytest.mark.parametrize("value,kind", [("", "histogram"), ("explicit_bucket_histogram", "histogram"),
                                        ("base2_exponential_bucket_histogram", "exponential_histogram")])
def test_default_histogram(run, receiver, value, kind):
    run({"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": value})
    assert {m.WhichOneof("data") for m in named(receiver, "metrics", "took_seconds")} == {kind}


@pytest.mark.parametrize("rule,sampler,some", [
    ("", "always_on", True), ("", "always_off", False), ("trace_based", "always_on", True),
    ("always_off", "always_on", False), ("always_on", "always_off", True)])
def test_exemplars(run, receiver, rule, sampler, some):
    run({"OTEL_METRICS_EXEMPLAR_FILTER": rule, "OTEL_TRACES_SAMPLER": sampler})
    found = [e for m in named(receiver, "metrics", "took_seconds") for p in m.histogram.data_points
             for e in p.exemplars]
    assert bool(found) == some


def test_an_own_endpoint_is_used_as_it_is(run, receiver):
    with HttpReceiver() as other:
        run({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": other.endpoint + "/own/path/traces",
             "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint + "/base/"})
        assert rows(other, "traces") and not rows(other, "logs")
        assert not rows(receiver, "traces") and rows(receiver, "logs") and rows(receiver, "metrics")
