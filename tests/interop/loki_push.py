# SPDX-License-Identifier: Apache-2.0
"""A Loki push receiver of the tests' own: POST /loki/api/v1/push, protobuf in snappy. Both formats are read
by what their specifications say, without the code under test."""
import http.server
import re
import struct
import threading


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def unsnappy(data):
    """Snappy's raw format (format_description.txt)."""
    length, at = varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag, kind = data[at], data[at] & 3
        at += 1
        if kind == 0:
            size = tag >> 2
            if size >= 60:
                width = size - 59
                size = int.from_bytes(data[at:at + width], "little")
                at += width
            out += data[at:at + size + 1]
            at += size + 1
            continue
        if kind == 1:
            size, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at]
            at += 1
        else:
            width = 2 if kind == 2 else 4
            size, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + width], "little")
            at += width
        for _ in range(size):
            out.append(out[-offset])
    assert len(out) == length, "a snappy body that is not as long as it says"
    return bytes(out)


def fields(data):
    """{number: [value, …]} of one protobuf message."""
    at, found = 0, {}
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 1:
            value, at = struct.unpack_from("<Q", data, at)[0], at + 8
        else:
            assert tag & 7 == 2, tag
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def entries(body):
    """[({label: value}, time_ns, line)] of a PushRequest."""
    rows = []
    for stream in fields(unsnappy(body)).get(1, []):
        parts = fields(stream)
        labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', parts[1][0].decode()))
        for entry in parts.get(2, []):
            e = fields(entry)
            when = fields(e[1][0])
            rows.append((labels, when.get(1, [0])[0] * 10**9 + when.get(2, [0])[0], e[2][0].decode()))
    return rows


class LokiReceiver:
    """.entries are all that came."""

    def __init__(self, address=("127.0.0.1", 0)):
        outer = self
        self.entries = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                good = self.path == "/loki/api/v1/push" and self.headers[
                    "Content-Type"] == "application/x-protobuf"
                if good:
                    outer.entries += entries(body)
                self.send_response(204 if good else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(address, Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
