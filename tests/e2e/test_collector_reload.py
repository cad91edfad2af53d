# SPDX-License-Identifier: Apache-2.0
"""A configuration that changes while senders go on: ports that move, certificates that cannot be used,
requests that take longer than the change. What is wrong leaves what runs as it was."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from harness import Lateness, Server, attributes, free_ports, post, wait_for

FILE = """
receivers:
  otlp: {protocols: {http: {endpoint: '%s'}}}
  zipkin: {endpoint: '127.0.0.1:%d', tls: {cert_file: '%s', key_file: '%s'}}
exporters: {sonde: }
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [sonde]}
    traces: {receivers: [zipkin], exporters: [sonde]}
"""


class Collector(Server):
    """A server whose file can be changed."""

    def __init__(self, text):
        super().__init__()
        self.file = self.data + ".yaml"
        self.write(text)

    def command(self):
        return [self.binary, "serve", "--data", self.data, "--http", self.http[7:], "--config", self.file]

    def write(self, text):
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(self.file + ".new", self.file)

    def change(self, text, event="configuration_reloaded"):
        before = self.output().count(event)
        self.write(text)
        self.process.send_signal(signal.SIGHUP)
        wait_for(event, lambda: self.output().count(event) > before)
        return [line for line in self.output().splitlines() if event in line][-1]

    def clean_up(self):
        super().clean_up()
        os.remove(self.file)


@pytest.fixture(name="certificate")
def make_certificate(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-nodes",
                    "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", tmp_path / "key.pem",
                    "-out", tmp_path / "cert.pem", "-days", "2",
                    "-subj", "/CN=localhost"], check=True, capture_output=True, timeout=60)
    return str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")


def logs(count, service="s"):
    return json.dumps({"resourceLogs": [{
        "resource": {"attributes": attributes({"service.name": service})},
        "scopeLogs": [{"logRecords": [
            {"timeUnixNano": str(time.time_ns() + i), "body": {"stringValue": "line"}}
            for i in range(count)]}]}]}).encode()


def send(port, count=1):
    return post("http://127.0.0.1:%d/v1/logs" % port, logs(count))[0]


def test_a_wrong_certificate_for_one_port_leaves_all_ports_as_they_were(certificate, tmp_path):
    cert, key = certificate
    otlp, zipkin, fresh = free_ports(3)
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with Collector(FILE % ("127.0.0.1:%d" % otlp, zipkin, cert, key)) as server:
        assert send(otlp) == 200
        line = server.change(FILE % ("127.0.0.1:%d" % otlp, zipkin, wrong, key), "configuration_refused")
        assert "receiver zipkin: TLS certificate" in line and str(wrong) in line
        assert send(otlp) == 200
        # Also when the other port would be a new one.
        server.change(FILE % ("127.0.0.1:%d" % fresh, zipkin, wrong, key), "configuration_refused")
        assert send(otlp) == 200
        with pytest.raises(OSError):
            send(fresh)
        assert len(server.logs('{service_name="s"}')) == 3


def test_a_port_that_is_taken_leaves_all_ports_as_they_were(certificate):
    cert, key = certificate
    otlp, zipkin, taken = free_ports(3)
    with socket.create_server(("127.0.0.1", taken)), \
            Collector(FILE % ("127.0.0.1:%d" % otlp, zipkin, cert, key)) as server:
        line = server.change(FILE % ("0.0.0.0:%d" % otlp, taken, cert, key), "configuration_refused")
        assert "receiver zipkin: cannot listen on 127.0.0.1:%d" % taken in line
        assert send(otlp) == 200
        with socket.create_connection(("127.0.0.1", zipkin)):
            pass


def test_the_address_of_a_port_may_change(certificate):
    cert, key = certificate
    otlp, zipkin = free_ports(2)
    with Collector(FILE % ("127.0.0.1:%d" % otlp, zipkin, cert, key)) as server:
        server.change(FILE % ("0.0.0.0:%d" % otlp, zipkin, cert, key))
        assert send(otlp) == 200
        server.change(FILE % ("127.0.0.1:%d" % otlp, zipkin, cert, key))
        assert send(otlp) == 200
        assert "restart_needed" not in server.output()


def test_what_only_a_start_can_change_is_told(certificate):
    cert, key = certificate
    otlp, zipkin = free_ports(2)
    text = FILE % ("127.0.0.1:%d" % otlp, zipkin, cert, key)
    with Collector(text) as server:
        server.change(text.replace("sonde: ", "sonde: {retention: 1d}"))
        wait_for("the warning", lambda: "restart_needed" in server.output())


def test_a_request_may_take_longer_than_the_change(certificate):
    cert, key = certificate
    otlp, zipkin = free_ports(2)
    text = FILE % ("127.0.0.1:%d" % otlp, zipkin, cert, key)
    body = logs(2)
    with Collector(text) as server, socket.create_connection(("127.0.0.1", otlp), timeout=30) as slow:
        slow.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(body) + body[:40])
        assert send(otlp) == 200  # so that the server has seen the other one
        for i in range(2):
            server.change(text + "# %d\n" % i)
            assert send(otlp) == 200
        slow.sendall(body[40:])
        assert b" 200 OK" in slow.recv(1000)
        assert send(otlp) == 200
        assert len(server.logs('{service_name="s"}')) == 6


def test_the_end_is_not_missed_when_the_file_changed_just_before(certificate):
    cert, key = certificate
    otlp, zipkin = free_ports(2)
    text = FILE % ("127.0.0.1:%d" % otlp, zipkin, cert, key)
    with Collector(text) as server:
        server.write(text + "# new\n")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_the_end_waits_neither_for_far_sides_nor_for_who_follows_logs(certificate):
    cert, key = certificate
    otlp, zipkin, nobody = free_ports(3)
    away = "exporters: {sonde: , otlphttp: {endpoint: 'http://127.0.0.1:%d'}}" % nobody
    text = (FILE % ("127.0.0.1:%d" % otlp, zipkin, cert, key)).replace("exporters: {sonde: }", away)
    text = text.replace("exporters: [sonde]", "exporters: [sonde, otlphttp]")
    with Collector(text) as server:
        assert send(otlp) == 200
        wait_for("a failure to send", lambda: "send_retried" in server.output())
        host, port = server.http[7:].split(":")
        with socket.create_connection((host, int(port)), timeout=30) as tail:
            tail.sendall(b"GET /loki/api/v1/tail?query=%7Bservice_name%3D%22s%22%7D HTTP/1.1\r\nHost: x\r\n"
                         b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            assert b" 101 " in tail.recv(1000)
            began = time.monotonic()
            with Lateness() as late:
                server.process.send_signal(signal.SIGTERM)
                assert server.process.wait(30) == 0
            assert time.monotonic() - began < 6 + late() / 1000  # 2 s for exporters, and some work


def test_a_udp_port_stays_through_a_change(certificate):
    cert, key = certificate
    otlp, zipkin, udp = free_ports(3)
    text = (FILE % ("127.0.0.1:%d" % otlp, zipkin, cert, key)).replace(
        "exporters: {sonde: }", "  jaeger: {protocols: {thrift_compact: {endpoint: '127.0.0.1:%d'}}}\n"
                                "exporters: {sonde: }" % udp).replace("[zipkin]", "[zipkin, jaeger]")
    with Collector(text) as server:
        server.change(text + "# new\n")
        refused = "udp_packet_refused"
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"no packet of Jaeger", ("127.0.0.1", udp))
            wait_for("the packet", lambda: refused in server.output())
