# SPDX-License-Identifier: Apache-2.0
"""gRPC calls that go wrong: each has the status that gRPC's documents name, with a message; by curl, which
can say what a gRPC library would not, and by grpcio."""
import gzip
import os
import re
import struct
import subprocess
import sys
import time
import zlib

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import Server  # noqa: E402

METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
OK, INVALID, DEADLINE, EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 4, 8, 12, 13


@pytest.fixture(scope="module")
def server():
    with Server() as s:
        yield s


def message(payload=b"", flag=0):
    return bytes((flag,)) + struct.pack(">I", len(payload)) + payload


def request(line):
    r = logs_service_pb2.ExportLogsServiceRequest()
    of = r.resource_logs.add()
    of.resource.attributes.add(key="service.name").value.string_value = "grpc"
    of.scope_logs.add().log_records.add(time_unix_nano=time.time_ns()).body.string_value = line
    return r.SerializeToString()


def call(server, body, headers=(), path=METHOD, content_type="application/grpc", te="trailers",
         method="POST"):
    """(HTTP status, gRPC status or None, all headers and trailers as text)."""
    command = ["curl", "-sS", "--http2-prior-knowledge", "-X", method, "-D", "-", "-o", "/dev/null", "-m",
               "30", "--data-binary", "@-", "-H", "Expect:", "-H", "content-type: " + content_type]
    for header in list(headers) + (["te: " + te] if te else []):
        command += ["-H", header]
    done = subprocess.run(command + ["http://" + server.grpc + path], input=body, capture_output=True,
                          timeout=60)
    text = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    status = re.search(r"^grpc-status: (\d+)", text, re.M)
    return int(text.split()[1]), int(status.group(1)) if status else None, text


CASES = {
    "a call": (dict(body=message(request("plain"))), OK, ""),
    "without te": (dict(body=message(request("no te")), te=None), OK, ""),
    "with a subtype": (dict(body=message(request("subtype")), content_type="application/grpc+proto"), OK, ""),
    "gzip": (dict(body=message(gzip.compress(request("gzip")), 1), headers=["grpc-encoding: gzip"]), OK, ""),
    "deflate":
        (dict(body=message(zlib.compress(request("deflate")), 1), headers=["grpc-encoding: deflate"]),
         OK, ""),
    "an encoding that is not used":
        (dict(body=message(request("unused")), headers=["grpc-encoding: gzip"]), OK, ""),
    "compressed without encoding": (dict(body=message(b"x", 1)), INTERNAL, "grpc-encoding"),
    "compressed as identity": (dict(body=message(b"x", 1), headers=["grpc-encoding: identity"]), INTERNAL,
                               "grpc-encoding"),
    "an unknown encoding": (dict(body=message(b"x", 1), headers=["grpc-encoding: br"]), UNIMPLEMENTED,
                            "grpc-accept-encoding: identity,gzip,deflate,zstd,snappy"),
    "damaged gzip":
        (dict(body=message(b"\x1f\x8bnothing", 1), headers=["grpc-encoding: gzip"]), INVALID, "damaged"),
    "a flag of 2": (dict(body=message(request("flag"), 2)), INVALID, ""),
    "no message": (dict(body=b""), INVALID, "one message"),
    "half a frame's head": (dict(body=b"\0\0\0"), INVALID, "one message"),
    "a message cut short": (dict(body=message(request("cut"))[:-3]), INVALID, "one message"),
    "two messages": (dict(body=message(request("one")) + message(request("two"))), INVALID, "one message"),
    "a message that is none": (dict(body=message(b"\xff\xff\xff\xff")), INVALID, ""),
    "an unknown method":
        (dict(body=message(), path="/opentelemetry.proto.collector.logs.v1.LogsService/Import"),
         UNIMPLEMENTED, ""),
    "an unknown service": (dict(body=message(), path="/none.Such/Export"), UNIMPLEMENTED, ""),
    "a deadline that is over": (dict(body=message(request("late")), headers=["grpc-timeout: 1n"]), DEADLINE,
                                "grpc-timeout"),
    "a deadline that is none": (dict(body=message(request("odd")), headers=["grpc-timeout: soon"]), OK, ""),
}


@pytest.mark.parametrize("what", CASES)
def test_calls_have_the_status_that_grpc_names(server, what):
    given, expected, word = CASES[what]
    http, status, text = call(server, **given)
    assert (http, status) == (200, expected), text
    assert word in text


def test_other_content_types_are_told_so_over_http(server):
    for content_type in ("text/plain", "application/json", "application/x-protobuf"):
        http, status, text = call(server, message(), content_type=content_type)
        assert (http, status) == (415, None), text
    assert call(server, b"", method="PUT")[1] == UNIMPLEMENTED


def test_what_grpcio_is_told(server):
    with grpc.insecure_channel(server.grpc, options=[("grpc.max_send_message_length", -1)]) as channel:
        stub = logs_service_pb2_grpc.LogsServiceStub(channel)
        stub.Export(logs_service_pb2.ExportLogsServiceRequest.FromString(request("grpcio")))
        large = logs_service_pb2.ExportLogsServiceRequest()
        large.resource_logs.add().resource.attributes.add(key="x").value.string_value = "x" * (65 << 20)
        with pytest.raises(grpc.RpcError) as told:
            stub.Export(large, timeout=60)
        assert told.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "67108864" in told.value.details()
        unknown = channel.unary_unary("/none.Such/Export", request_serializer=bytes,
                                      response_deserializer=bytes)
        with pytest.raises(grpc.RpcError) as told:
            unknown(b"", timeout=20)
        assert told.value.code() == grpc.StatusCode.UNIMPLEMENTED
    kept = {line for _, line, _ in server.logs('{service="grpc"}')}
    assert kept == {"plain", "no te", "subtype", "gzip", "deflate", "unused", "odd", "grpcio"}
