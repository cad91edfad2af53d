# SPDX-License-Identifier: Apache-2.0
"""OTLP/HTTP against a whole server: what is malformed or too much is refused with the reason in the
request's format and takes nothing with it; a full disk stops ingest only until there is room again;
a graceful end loses nothing. Run as a program, with a directory, it is the test of the full disk: that
needs a mount namespace of its own."""
import gzip
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from google.rpc import status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import Server, attributes, get, post, wait_for  # noqa: E402

PROTOBUF, JSON = "application/x-protobuf", "application/json"
MIB = 1 << 20
BODY_LIMIT, ATTRIBUTE_LIMIT, DEPTH_LIMIT = 64 * MIB, 1024, 32


@pytest.fixture(scope="module")
def server():
    with Server() as s:
        yield s
        # Whatever was refused, the server takes and shows what is right.
        assert s.send_logs("after", [(time.time_ns(), "still here", {})])[0] == 200
        assert [line for _, line, _ in s.logs('{service="after"}')] == ["still here"]
        assert s.logs('{service="refused"}') == []


def logs_request(time_ns=None, service="refused"):
    """A protobuf request of one record, and the record."""
    request = logs_service_pb2.ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    name = resource.resource.attributes.add(key="service.name")
    name.value.string_value = service
    record = resource.scope_logs.add().log_records.add(time_unix_nano=time_ns or time.time_ns())
    record.body.string_value = "hello"
    return request, record


def as_json(record):
    """A JSON request of one record."""
    return json.dumps({"resourceLogs": [{
        "resource": {"attributes": attributes({"service.name": "refused"})},
        "scopeLogs": [{"logRecords": [{"timeUnixNano": str(time.time_ns()), **record}]}]}]}).encode()


def nested(depth):
    value = {"intValue": "1"}
    for _ in range(depth):
        value = {"arrayValue": {"values": [value]}}
    return value


def refusal(server, body, content_type, code=400, path="/v1/logs"):
    """The message of the google.rpc.Status with which a request is refused."""
    status, headers, text = post(server.otlp + path, body, content_type)
    assert status == code, (status, text[:400])
    assert headers["Content-Type"] == content_type
    assert "Retry-After" not in headers
    if content_type == JSON:
        told = json.loads(text)
        assert told["code"] == 3
        return told["message"]
    told = status_pb2.Status.FromString(text)
    assert told.code == 3
    return told.message


# ---- malformed ----

@pytest.mark.parametrize("path", ["/v1/logs", "/v1/traces", "/v1/metrics"])
def test_malformed_protobuf_is_told_its_byte(server, path):
    body = logs_request()[0].SerializeToString()
    for wrong in (b"\xff\xff\xff", body[:-3], body[:20], b"\x0a\x7f" + b"x" * 10):
        message = refusal(server, wrong, PROTOBUF, path=path)
        at = re.search(r"\bat byte (\d+)\b", message)
        assert at and int(at.group(1)) <= len(wrong), message


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/traces", "/v1/metrics"])
def test_malformed_json_is_told_its_line_and_column(server, path):
    for wrong, place in ((b'{\n  "resourceLogs": [\n    oops', (3, 5)), (b'{"a" 1}', (1, 6)),
                         (b"", (1, 1)), (b'{\n"a": "\xff"}', (2, 7))):
        message = refusal(server, wrong, JSON, path=path)
        at = re.search(r"\bline (\d+),? column (\d+)\b|\b(\d+):(\d+)\b", message)
        assert at, message
        line, column = (int(n) for n in at.groups() if n)
        assert line == place[0] and abs(column - place[1]) <= 1, message


def test_other_content_types_are_told_what_is_taken(server):
    body = logs_request()[0].SerializeToString()
    for wrong in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        status, _, text = post(server.otlp + "/v1/logs", body, wrong)
        assert status == 415
        assert PROTOBUF.encode() in text and JSON.encode() in text
    status, _, _ = post(server.otlp + "/v1/logs", body, PROTOBUF, {"Content-Encoding": "br"})
    assert status == 415


# ---- too much ----

def test_nesting_is_limited(server):
    for deep in (DEPTH_LIMIT + 1, 200, 20000):
        value = '{"arrayValue":{"values":[' * deep + '{"intValue":"1"}' + "]}}" * deep
        body = as_json({"body": "@"}).replace(b'"@"', value.encode())
        assert re.search(r"nested deeper", refusal(server, body, JSON))
    request, record = logs_request()
    value = record.body
    for _ in range(DEPTH_LIMIT + 1):
        value = value.array_value.values.add()
    value.int_value = 1
    message = refusal(server, request.SerializeToString(), PROTOBUF)
    assert "nested deeper" in message and str(DEPTH_LIMIT) in message


def test_attributes_are_limited(server):
    many = attributes({"a%d" % n: n for n in range(ATTRIBUTE_LIMIT + 1)})
    request, record = logs_request()
    for n in range(ATTRIBUTE_LIMIT + 1):
        record.attributes.add(key="a%d" % n).value.int_value = n
    for message in (refusal(server, as_json({"attributes": many}), JSON),
                    refusal(server, request.SerializeToString(), PROTOBUF)):
        assert re.search(r"more attributes than the limit of %d" % ATTRIBUTE_LIMIT, message)
        assert re.search(r"resourceLogs?\[0\]|resource_logs\[0\]", message), message


def test_what_is_at_the_limits_is_taken(server):
    body = as_json({"body": nested(DEPTH_LIMIT - 1),
                    "attributes": attributes({"a%d" % n: n for n in range(ATTRIBUTE_LIMIT)})})
    status, _, text = post(server.otlp + "/v1/logs", body.replace(b"refused", b"limits"), JSON)
    assert (status, text) == (200, b"{}")
    (_, _, fields), = server.logs('{service="limits"}')
    assert len([name for name in fields if re.fullmatch(r"a\d+", name)]) == ATTRIBUTE_LIMIT


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server):
    connection = http.client.HTTPConnection(server.otlp[7:], timeout=30)
    connection.putrequest("POST", "/v1/logs")
    connection.putheader("Content-Type", PROTOBUF)
    connection.putheader("Content-Length", str(BODY_LIMIT + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert str(BODY_LIMIT).encode() in answer.read().replace(b",", b"")
    connection.close()


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_a_compressed_body_may_not_grow_over_the_limit(server, content_type):
    bomb = gzip.compress(b" " * (BODY_LIMIT + 1), 9)
    assert len(bomb) < 200000
    # A second member behind the first is part of the body as well.
    two = gzip.compress(b" " * (BODY_LIMIT // 2), 9) + gzip.compress(b" " * (BODY_LIMIT // 2 + 1), 9)
    for body in (bomb, two):
        status, _, text = post(server.otlp + "/v1/logs", body, content_type,
                               {"Content-Encoding": "gzip"})
        assert status == 413, text[:300]


# ---- too old ----

def test_rows_older_than_the_retention_are_refused_one_by_one():
    with Server(args=["--retention", "2h"]) as server:
        old = time.time_ns() - 3 * 3600 * 10**9
        request, record = logs_request(old, "mixed")
        request.resource_logs[0].scope_logs[0].log_records.add(
            time_unix_nano=time.time_ns()).body.string_value = "young"
        status, _, text = post(server.otlp + "/v1/logs", request.SerializeToString(), PROTOBUF)
        partial = logs_service_pb2.ExportLogsServiceResponse.FromString(text).partial_success
        assert status == 200 and partial.rejected_log_records == 1
        assert "retention" in partial.error_message
        assert [line for _, line, _ in server.logs('{service="mixed"}', since=6 * 3600)] == ["young"]

        status, _, text = server.send_logs("mixed", [(old, "old", {}), (old + 1, "old", {})])
        told = json.loads(text)["partialSuccess"]
        assert status == 200 and int(told["rejectedLogRecords"]) == 2
        assert "retention" in told["errorMessage"]
        assert [line for _, line, _ in server.logs('{service="mixed"}', since=6 * 3600)] == ["young"]


# ---- a graceful end ----

class Sender(threading.Thread):
    """Sends numbered lines, one request after the other, until the server goes."""

    def __init__(self, server, name, lines=20):
        super().__init__()
        self.server, self.name_of_sender, self.lines = server, name, lines
        self.acked, self.refused = [], []

    def run(self):
        n = 0
        try:
            while True:
                numbers = range(n, n + self.lines)
                status, _, _ = self.server.send_logs(self.name_of_sender, [
                    (time.time_ns() + k, "line", {"n": k}) for k in numbers])
                if status == 200:
                    self.acked += numbers
                else:
                    self.refused.append(status)
                n += self.lines
        except (OSError, http.client.HTTPException):
            pass


def numbers(server, service):
    return sorted(int(fields["n"]) for _, _, fields in server.logs('{service="%s"}' % service))


def test_sigterm_amid_requests_exits_0_and_a_restart_has_every_row():
    data = tempfile.mkdtemp(prefix="sonde-term-")
    try:
        with Server(data=data) as server:
            senders = [Sender(server, "s%d" % n) for n in range(4)]
            for sender in senders:
                sender.start()
            wait_for("acknowledged lines", lambda: all(len(s.acked) >= 100 for s in senders), 60)
            assert server.stop() == 0
            for sender in senders:
                sender.join(30)
                assert not sender.is_alive() and set(sender.refused) <= {503}
        with Server(data=data) as server:
            for sender in senders:
                have = numbers(server, sender.name_of_sender)
                assert len(have) == len(set(have))
                assert set(sender.acked) <= set(have)
                # At most the one request whose answer did not get through.
                assert len(have) <= len(sender.acked) + sender.lines
    finally:
        shutil.rmtree(data)
        os.remove(data + ".log")


# ---- a full disk ----

def test_a_full_disk_stops_ingest_until_there_is_room(tmp_path):
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip("no mount namespace here: " + probe.stderr.strip())
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=128m tmpfs "$1" && exec "$2" "$3" "$1"',
         "sh", str(tmp_path), sys.executable, os.path.abspath(__file__)],
        capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


def send_until_refused(server, service, acked, lines=100):
    """Adds what was acknowledged; the refusal's status, headers and body."""
    end = time.monotonic() + 60
    n = acked[-1] + 1 if acked else 0
    while time.monotonic() < end:
        status, headers, text = server.send_logs(service, [
            (time.time_ns() + k, "x" * 500, {"n": k, "noise": os.urandom(200).hex()})
            for k in range(n, n + lines)])
        if status != 200:
            return status, headers, text
        acked += range(n, n + lines)
        n += lines
    raise AssertionError("the disk did not get full within a minute")


def fill(path, keep_bytes):
    """A file that takes all but so much of the file system."""
    fs = os.statvfs(os.path.dirname(path))
    with open(path, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, fs.f_bavail * fs.f_frsize - keep_bytes)


def on_a_small_disk(where):
    data, ballast, acked = os.path.join(where, "data"), os.path.join(where, "ballast"), []
    os.mkdir(data)
    with Server(data=data) as server:
        assert server.send_logs("full", [(time.time_ns(), "first", {"n": 0})])[0] == 200
        acked.append(0)
        for _ in range(2):  # a second time: the first left nothing behind that would matter
            fill(ballast, 2 * MIB)
            status, headers, text = send_until_refused(server, "full", acked)
            assert status in (503, 507), (status, text)
            assert int(headers["Retry-After"]) > 0
            message = json.loads(text)["message"]
            assert re.search("disk|space|full", message), message
            assert numbers(server, "full") == acked
            assert server.promql("1 + 1")
            get(server.http + "/healthz")
            with_reason = post(server.http + "/readyz", None)
            assert with_reason[0] == 503, with_reason
            os.remove(ballast)
            # It becomes ready by itself when 64 MiB are free.
            wait_for("readiness", lambda: get(server.http + "/readyz"), 60)
            n = acked[-1] + 1
            assert server.send_logs("full", [(time.time_ns(), "again", {"n": n})])[0] == 200
            acked.append(n)
            assert numbers(server, "full") == acked
        fill(ballast, 0)
        assert server.stop() == 0
    os.remove(ballast)
    with Server(data=data) as server:
        assert numbers(server, "full") == acked


if __name__ == "__main__":
    on_a_small_disk(sys.argv[1])
