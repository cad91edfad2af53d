# SPDX-License-Identifier: Apache-2.0
"""TLS of receivers as a collector file says it: curl, Python's http.client and grpcio send over it; who has
no certificate where one is asked for is refused; renewed certificates are used without a restart; CORS."""
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import Collector, attributes, wait_for  # noqa: E402

CONFIG = """
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:@grpc@
        tls:
          cert_file: DIR/server.pem
          key_file: DIR/server.key
          client_ca_file: DIR/ca.pem
      http:
        endpoint: 127.0.0.1:@http@
        tls:
          cert_file: DIR/used.pem
          key_file: DIR/used.key
          min_version: "1.3"
        cors:
          allowed_origins: ["https://app.example"]
exporters:
  sonde:
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [sonde]}
"""


class Certificates:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="sonde-tls-")
        for ca in ("ca", "strangers"):
            self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "
                         "-subj /CN=%s -keyout %s.key -out %s.pem" % (ca, ca, ca))
        for name, ca, days in (("server", "ca", 30), ("renewed", "ca", 30), ("sender", "ca", 30),
                               ("expired", "ca", -1), ("stranger", "strangers", 30)):
            self.make(name, ca, days)

    def openssl(self, arguments):
        subprocess.run(["openssl"] + arguments.split(), cwd=self.dir, check=True, capture_output=True,
                       timeout=60)

    def make(self, name, ca, days):
        with open(self.path("names"), "w") as f:
            f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=%s "
                     "-keyout %s.key -out %s.csr" % (name, name, name))
        self.openssl("x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days %d -extfile names "
                     "-out %s.pem" % (name, ca, ca, days, name))

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def use(self, name):
        """For the HTTP listener, the certificate before its key, as a renewal does."""
        for end in (".pem", ".key"):
            shutil.copy(self.path(name + end), self.path("new"))
            os.rename(self.path("new"), self.path("used" + end))


@pytest.fixture(scope="module")
def certificates():
    made = Certificates()
    made.use("server")
    yield made
    shutil.rmtree(made.dir)


@pytest.fixture(scope="module")
def server(certificates):
    with Collector(CONFIG.replace("DIR", certificates.dir)) as s:
        yield s
        assert {line for _, line, _ in s.logs('{service="refused"}')} == set()


def body(line, service="tls"):
    return json.dumps({"resourceLogs": [{
        "resource": {"attributes": attributes({"service.name": service})},
        "scopeLogs": [{"logRecords": [
            {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": line}}]}]}]})


def curl(server, certificates, line, *more, port="http"):
    return subprocess.run(
        ["curl", "-sS", "-m", "20", "--cacert", certificates.path("ca.pem"), "-H",
         "Content-Type: application/json", "-d", body(line), "-w", "\n%{http_code} %{http_version}", *more,
         "https://127.0.0.1:%d/v1/logs" % server.port[port]], capture_output=True, text=True, timeout=60)


def export(server, certificates, line, sender=None, service="tls"):
    files = [certificates.read("ca.pem")] + [certificates.read(sender + end) if sender else None
                                             for end in (".key", ".pem")]
    request = logs_service_pb2.ExportLogsServiceRequest()
    of = request.resource_logs.add()
    of.resource.attributes.add(key="service.name").value.string_value = service
    of.scope_logs.add().log_records.add(time_unix_nano=time.time_ns()).body.string_value = line
    with grpc.secure_channel("127.0.0.1:%d" % server.port["grpc"],
                             grpc.ssl_channel_credentials(*files)) as channel:
        return logs_service_pb2_grpc.LogsServiceStub(channel).Export(request, timeout=20)


def test_programs_send_over_tls(server, certificates):
    assert curl(server, certificates, "curl 1.1", "--http1.1").stdout.endswith("200 1.1")
    assert curl(server, certificates, "curl 2", "--http2").stdout.endswith("200 2")
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    c = http.client.HTTPSConnection("127.0.0.1", server.port["http"], timeout=20, context=context)
    for i in range(3):
        c.request("POST", "/v1/logs", body("python %d" % i), {"Content-Type": "application/json"})
        answer = c.getresponse()
        assert (answer.status, answer.read()) == (200, b"{}")
    c.close()
    export(server, certificates, "grpc", "sender")
    kept = {line for _, line, _ in server.logs('{service="tls"}')}
    assert kept >= {"curl 1.1", "curl 2", "python 0", "python 1", "python 2", "grpc"}


@pytest.mark.parametrize("sender", [None, "stranger", "expired"])
def test_senders_without_the_right_certificate_are_refused(server, certificates, sender):
    with pytest.raises(grpc.RpcError) as told:
        export(server, certificates, "no", sender, "refused")
    assert told.value.code() == grpc.StatusCode.UNAVAILABLE
    more = []
    if sender:
        more = ["--cert", certificates.path(sender + ".pem"), "--key", certificates.path(sender + ".key")]
    done = curl(server, certificates, "no", *more, port="grpc")
    assert done.returncode != 0 and "alert" in done.stderr.lower(), done.stderr


def test_old_versions_and_plain_requests_are_refused(server, certificates):
    assert curl(server, certificates, "old", "--tls-max", "1.2").returncode != 0
    c = http.client.HTTPConnection("127.0.0.1", server.port["http"], timeout=20)
    c.request("POST", "/v1/logs", body("plain", "refused"), {"Content-Type": "application/json"})
    answer = c.getresponse()
    assert answer.status == 400 and b"TLS" in answer.read()
    c.close()


def test_pages_of_allowed_origins_only(server, certificates):
    for origin, allowed in (("https://app.example", True), ("https://other.example", False)):
        done = subprocess.run(
            ["curl", "-sS", "-m", "20", "-i", "--cacert", certificates.path("ca.pem"), "-X", "OPTIONS", "-H",
             "Origin: " + origin, "-H", "Access-Control-Request-Method: POST", "-H",
             "Access-Control-Request-Headers: content-type",
             "https://127.0.0.1:%d/v1/logs" % server.port["http"]],
            capture_output=True, text=True, timeout=60)
        assert "204" in done.stdout.splitlines()[0]
        assert ("access-control-allow-origin: " + origin in done.stdout.lower()) == allowed, done.stdout


def subject(server, certificates):
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    with socket.create_connection(("127.0.0.1", server.port["http"]), 20) as s:
        with context.wrap_socket(s, server_hostname="localhost") as t:
            return dict(pair[0] for pair in t.getpeercert()["subject"])["commonName"]


def test_renewed_certificates_are_used_while_connections_stay(server, certificates):
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    old = http.client.HTTPSConnection("127.0.0.1", server.port["http"], timeout=20, context=context)
    old.request("POST", "/v1/logs", body("before"), {"Content-Type": "application/json"})
    assert old.getresponse().read() == b"{}"
    assert subject(server, certificates) == "server"
    certificates.use("renewed")
    wait_for("the new certificate", lambda: subject(server, certificates) == "renewed")
    old.request("POST", "/v1/logs", body("after"), {"Content-Type": "application/json"})
    assert old.getresponse().read() == b"{}"
    old.close()


def test_garbage_and_silence_harm_nobody(server, certificates):
    silent = [socket.create_connection(("127.0.0.1", server.port["http"]), 30) for _ in range(200)]
    for i, s in enumerate(silent):
        s.sendall((b"\x16\x03\x01\x02", b"\x16\x03\x01\x00\x05junk", b"\x00\xff" * 100)[i % 3])
    assert curl(server, certificates, "beside").stdout.endswith(("200 1.1", "200 2"))
    for s in silent:  # the half of a handshake, too, has an end
        try:
            while s.recv(4096):
                pass
        except ConnectionError:
            pass
        s.close()
