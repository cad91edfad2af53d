# SPDX-License-Identifier: Apache-2.0
"""Spans over UDP, which has no answers: every packet is stored, refused with a warning, or counted as
dropped."""
import re
import socket
import struct
import time

from harness import Collector, get, wait_for
from protobuf import varint

CONFIG = """
receivers:
  jaeger:
    protocols:
      thrift_compact:
        endpoint: 127.0.0.1:@compact@
      thrift_binary:
        endpoint: 127.0.0.1:@binary@
        max_packet_size: 2000
exporters:
  sonde:
service:
  pipelines:
    traces:
      receivers: [jaeger]
      exporters: [sonde]
"""


def zigzag(n):
    return varint(n << 1 ^ n >> 63)


def compact(number, name=b"udp"):
    """A call of emitBatch by Thrift's compact protocol, with one span."""
    span = (b"\x16" + zigzag(number) + b"\x16" + zigzag(0) + b"\x16" + zigzag(number) + b"\x16" + zigzag(0)
            + b"\x18\x02up" + b"\x25" + zigzag(1) + b"\x16" + zigzag(int(time.time() * 1e6)) + b"\x16"
            + zigzag(1500) + b"\x00")
    process = b"\x18" + varint(len(name)) + name + b"\x00"
    return b"\x82\x81\x00\x09emitBatch\x1c\x1c" + process + b"\x19\x1c" + span + b"\x00\x00"


def binary(number, name=b"udp-binary"):
    def field(kind, at, value):
        return struct.pack(">bh", kind, at) + value

    span = b"".join(field(10, at, struct.pack(">q", value)) for at, value in (
        (1, number), (2, 0), (3, number), (4, 0), (8, int(time.time() * 1e6)), (9, 1500)))
    span += field(11, 5, b"\0\0\0\2up") + field(8, 7, struct.pack(">i", 1)) + b"\0"
    process = field(11, 1, struct.pack(">i", len(name)) + name) + b"\0"
    batch = field(12, 1, process) + field(15, 2, b"\x0c" + struct.pack(">i", 1) + span) + b"\0"
    return b"\x80\x01\0\x04\0\0\0\x09emitBatch\0\0\0\0" + field(12, 1, batch) + b"\0"


def count(page, name, **labels):
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
               if line.startswith(name + "{") and all('%s="%s"' % kv in line for kv in labels.items()))


def accounted(server):
    page = get(server.http + "/metrics").decode()
    return (count(page, "sonde_receiver_accepted_items_total", receiver="jaeger"),
            count(page, "sonde_component_dropped_items_total", reason="udp_buffer_full"),
            count(page, "sonde_receiver_failed_requests_total", receiver="jaeger"))


def test_every_packet_is_accounted_for():
    wrong = [b"", b"\x82\x81\x00\x05other\x00", b"\xff" * 100, compact(1)[:-20]]
    with Collector(CONFIG) as server, socket.socket(type=socket.SOCK_DGRAM) as s:
        to = ("127.0.0.1", server.port["compact"])
        for packet in wrong:
            s.sendto(packet, to)
        wait_for("the wrong packets", lambda: accounted(server) == (0, 0, len(wrong)))
        sent = 20000
        for number in range(1, sent + 1):
            s.sendto(compact(number), to)

        def all_known():
            """The kernel tells what it dropped with the next packet that it takes."""
            nonlocal sent
            accepted, dropped, failed = accounted(server)
            if accepted + dropped == sent and failed == len(wrong):
                return accepted
            sent += 1
            s.sendto(compact(sent), to)
        accepted = wait_for("all packets to be known", all_known, every=0.2)
        assert accepted > 100
        spans = get(server.http + "/jaeger/api/traces/%032x" % sent).decode()
        assert re.search(r'"operationName":"up".*"serviceName":"udp"', spans), spans


def test_the_binary_port_takes_the_binary_protocol():
    with Collector(CONFIG) as server, socket.socket(type=socket.SOCK_DGRAM) as s:
        to = ("127.0.0.1", server.port["binary"])
        s.sendto(binary(2, b"x" * 3000), to)
        s.sendto(compact(1), to)
        s.sendto(binary(3), to)
        wait_for("the packets", lambda: accounted(server) == (1, 0, 2))
        trace = server.trace("%032x" % 3)
        assert trace["processes"]["p1"]["serviceName"] == "udp-binary"
        wait_for("the reason", lambda: "a packet of more than 2000 bytes" in server.output())
