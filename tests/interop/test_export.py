# SPDX-License-Identifier: Apache-2.0
"""What libsonde sends, judged by other people's receivers: grpcio's server with OpenTelemetry's own
message classes, Python's http.server, TLS by both, and the server of this repository."""
import json
import os
import subprocess

import grpc
import pytest

from harness import ROOT, wait_for
from native import ENVIRONMENT, compile_program
from receivers import Certificates, GrpcReceiver, HttpReceiver

CODE = grpc.StatusCode
RECEIVERS = {"grpc": GrpcReceiver, "http/protobuf": HttpReceiver}


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    return compile_program(os.path.join(ROOT, "tests/interop/export_probe.c"),
                           tmp_path_factory.mktemp("probe") / "export_probe")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def run(probe, tmp_path, count, env, *args):
    """(what it printed, stderr)"""
    done = subprocess.run([probe, str(count), *map(str, args)], capture_output=True, text=True, timeout=90,
                          env={**ENVIRONMENT, "SONDE_RECORDER_DIR": str(tmp_path), "SONDE_LOG_OUTPUT": "none",
                               "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BLRP_SCHEDULE_DELAY": "50", **env})
    assert done.returncode == 0, done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def otlp(receiver, protocol, **more):
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **more}


def check_all_arrived(receiver, count):
    assert receiver.numbers("logs") == list(range(count))
    assert receiver.numbers("traces") == list(range(count))
    assert receiver.counted() == count


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", RECEIVERS)
def test_all_signals_arrive_with_headers(probe, tmp_path, protocol, compression):
    with RECEIVERS[protocol]() as receiver:
        said, stderr = run(probe, tmp_path, 3000, otlp(
            receiver, protocol, OTEL_EXPORTER_OTLP_COMPRESSION=compression,
            OTEL_EXPORTER_OTLP_HEADERS="x-honeycomb-team=key%20one,x-team=core",
            OTEL_EXPORTER_OTLP_LOGS_TIMEOUT="7000"))
        assert said["flushed"] and stderr == "", stderr
        check_all_arrived(receiver, 3000)
        for signal, headers in receiver.heads:
            team = None if signal == "none" else headers["x-team"]
            assert (headers["x-honeycomb-team"], team) == ("key one", "core")
            assert headers["user-agent"].startswith("OTel-OTLP-Exporter-Sonde/")
            if protocol == "grpc":
                assert 0 < headers["time-remaining"] <= (7 if signal == "logs" else 10)
            else:
                assert headers.get("content-encoding") == ("gzip" if compression == "gzip" else None)


def answer(protocol, kind):
    """(answer of the script, whether it is sent again)"""
    if protocol == "grpc":
        code, retry_s = (kind.split("+")[0], 0.2) if "+" in kind else (kind, None)
        return getattr(CODE, code), "told so", retry_s
    return int(kind), {"Retry-After": "0"}


AGAIN = {"grpc": ["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS",
                  "RESOURCE_EXHAUSTED+"],
         "http/protobuf": ["429", "502", "503", "504"]}
NEVER = {"grpc": ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED",
                  "UNIMPLEMENTED", "INTERNAL", "UNKNOWN", "NOT_FOUND", "ALREADY_EXISTS",
                  "FAILED_PRECONDITION"],
         "http/protobuf": ["400", "401", "403", "404", "413", "500", "501"]}
ONE_SIGNAL = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}


@pytest.mark.parametrize("protocol,kind", [(p, k) for p in RECEIVERS for k in AGAIN[p]])
def test_a_passing_failure_is_sent_again(probe, tmp_path, protocol, kind):
    with RECEIVERS[protocol]([answer(protocol, kind)]) as receiver:
        said, stderr = run(probe, tmp_path, 5, otlp(receiver, protocol, **ONE_SIGNAL))
        assert said["flushed"] and receiver.attempts == 1 + len(receiver.requests["logs"])
        assert receiver.refused_numbers("logs") and receiver.numbers("logs") == list(range(5))
        assert "trying again" in stderr and kind.rstrip("+") in stderr


@pytest.mark.parametrize("protocol,kind", [(p, k) for p in RECEIVERS for k in NEVER[p]])
def test_a_final_failure_is_not(probe, tmp_path, protocol, kind):
    with RECEIVERS[protocol]([answer(protocol, kind)]) as receiver:
        said, stderr = run(probe, tmp_path, 5, otlp(receiver, protocol, **ONE_SIGNAL))
        # The rows may have come in two requests, of which the first was refused.
        assert said["flushed"] and receiver.attempts == 1 + len(receiver.requests["logs"])
        refused = receiver.refused_numbers("logs")
        assert refused and refused + receiver.numbers("logs") == list(range(5))
        assert "refused a batch of logs" in stderr and kind in stderr


def test_a_partial_success_is_said(probe, tmp_path):
    with GrpcReceiver([2]) as receiver:
        said, stderr = run(probe, tmp_path, 5, otlp(receiver, "grpc", **ONE_SIGNAL))
        assert said["flushed"] and receiver.numbers("logs") == list(range(5))
        assert "only in part, 2 rejected: too old" in stderr


def test_something_that_is_no_grpc_server_is_named(probe, tmp_path):
    with HttpReceiver() as receiver:
        said, stderr = run(probe, tmp_path, 1, otlp(receiver, "grpc", **ONE_SIGNAL), 500, 200)
        assert not said["flushed"] and receiver.attempts == 0
        assert "cannot be sent to http://localhost" in stderr


# ---- TLS ----

def tls(certificates, authority="ca", client=False):
    env = {"OTEL_EXPORTER_OTLP_CERTIFICATE": certificates.file(authority)}
    if client:
        env.update(OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=certificates.file("client"),
                   OTEL_EXPORTER_OTLP_CLIENT_KEY=certificates.key("client"))
    return env


def tls_receiver(protocol, certificates, mutual):
    return (GrpcReceiver(credentials=certificates.grpc(mutual)) if protocol == "grpc"
            else HttpReceiver(context=certificates.http(mutual)))


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("protocol", RECEIVERS)
def test_tls(probe, tmp_path, certificates, protocol, mutual):
    with tls_receiver(protocol, certificates, mutual) as receiver:
        said, stderr = run(probe, tmp_path, 20, otlp(receiver, protocol, **tls(certificates, client=mutual)))
        assert said["flushed"] and stderr == "", stderr
        check_all_arrived(receiver, 20)


@pytest.mark.parametrize("protocol", RECEIVERS)
def test_an_unknown_authority_is_refused(probe, tmp_path, certificates, protocol):
    with tls_receiver(protocol, certificates, False) as receiver:
        said, stderr = run(probe, tmp_path, 5, otlp(receiver, protocol, **tls(certificates, "other")), 700, 200)
        assert not said["flushed"] and receiver.attempts == 0
        assert "cannot be sent" in stderr and "certificate" in stderr


@pytest.mark.parametrize("protocol", RECEIVERS)
def test_without_a_client_certificate_mutual_tls_takes_nothing(probe, tmp_path, certificates, protocol):
    with tls_receiver(protocol, certificates, True) as receiver:
        said, _ = run(probe, tmp_path, 5, otlp(receiver, protocol, **tls(certificates)), 700, 200)
        assert not said["flushed"] and receiver.attempts == 0


@pytest.mark.parametrize("insecure", ["true", "false"])
def test_without_a_scheme_insecure_decides(probe, tmp_path, certificates, insecure):
    plain = insecure == "true"
    with GrpcReceiver(credentials=None if plain else certificates.grpc(False)) as receiver:
        env = otlp(receiver, "grpc", OTEL_EXPORTER_OTLP_INSECURE=insecure, **tls(certificates))
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint.split("://")[1]
        said, stderr = run(probe, tmp_path, 5, env)
        assert said["flushed"] and stderr == "", stderr
        check_all_arrived(receiver, 5)


# ---- several places ----

def test_zipkin_and_otlp_both_get_every_span(probe, tmp_path):
    with HttpReceiver([(503, {"Retry-After": "0"})]) as zipkin, GrpcReceiver() as receiver:
        said, _ = run(probe, tmp_path, 100, {
            **otlp(receiver, "grpc"), "OTEL_TRACES_EXPORTER": "otlp,zipkin",
            "OTEL_EXPORTER_ZIPKIN_ENDPOINT": zipkin.endpoint + "/api/v2/spans"})
        assert said["flushed"]
        check_all_arrived(receiver, 100)
        spans = [s for request in zipkin.requests["zipkin"] for s in request]
        assert [s["tags"]["n"] for s in spans] == [str(n) for n in range(100)]
        assert {s["localEndpoint"]["serviceName"] for s in spans} == {"probe"}
        by_id = {s.span_id.hex(): s for r in receiver.requests["traces"] for x in r.resource_spans
                 for scope in x.scope_spans for s in scope.spans}
        for span in spans:
            other = by_id[span["id"]]
            assert span["traceId"] == other.trace_id.hex()
            assert span["timestamp"] == other.start_time_unix_nano // 1000
            assert span["duration"] == max((other.end_time_unix_nano - other.start_time_unix_nano) // 1000, 1)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_the_server_of_this_repository(probe, tmp_path, server, protocol):
    endpoint = "http://" + server.grpc if protocol == "grpc" else server.otlp
    said, stderr = run(probe, tmp_path, 50, {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"})
    assert said["flushed"] and stderr == "", stderr
    wait_for("the logs", lambda: len(server.logs('{service="probe"}')) == 50)
    wait_for("the spans", lambda: len(server.traces("probe")) == 50)
    assert server.promql("counted_total")[0]["value"][1] == "50"


def test_zipkin_to_the_server_of_this_repository(probe, tmp_path, server):
    said, stderr = run(probe, tmp_path, 20, {
        "OTEL_TRACES_EXPORTER": "zipkin",
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT": server.http + "/zipkin/api/v2/spans"})
    if "HTTP 404" in stderr:
        pytest.skip("this server has no Zipkin receiver")
    assert said["flushed"] and stderr == "", stderr
    wait_for("the spans", lambda: len(server.traces("probe")) == 20)
