# SPDX-License-Identifier: Apache-2.0
"""What hostile and broken clients send, byte by byte: each is told what was wrong, or cut off, the server's
memory stays bounded, and a well-behaved sender beside it loses nothing."""
import json
import os
import re
import resource
import socket
import struct
import sys
import threading
import time
import zlib

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import Server, wait_for  # noqa: E402
from protobuf import field, varint  # noqa: E402

MIB = 1 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# A sanitizer keeps freed memory for a while; small enough that the bounds below still mean something.
SANITIZER = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=16"}


class Sender(threading.Thread):
    """Sends numbered lines all the while, one request after another on one connection at a time."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.count, self.failures, self.slowest = server, 0, [], 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.wait(0.02):
            begun = time.monotonic()
            try:
                status, answer = self.server.send_logs(
                    "good", [(time.time_ns(), "line %d" % self.count, {})])[:2]
            except OSError as e:
                status, answer = 0, repr(e)
            self.slowest = max(self.slowest, time.monotonic() - begun)
            if status != 200:
                self.failures.append((self.count, status, answer))
            self.count += 1


@pytest.fixture(scope="module")
def server():
    with Server(env=SANITIZER) as s:
        s.sender = Sender(s)
        s.sender.start()
        yield s
        s.sender.stopping.set()
        s.sender.join(60)
        assert s.sender.failures == []
        assert s.sender.count > 10
        assert s.sender.slowest < 15, "another sender waited %.1f s" % s.sender.slowest
        lines = {line for _, line, _ in s.logs('{service="good"}')}
        assert lines == {"line %d" % i for i in range(s.sender.count)}
        assert s.logs('{service="refused"}') == []


@pytest.fixture(autouse=True)
def bounded(server):
    """Whatever a test does: the sender beside it goes on, and memory stays below what the limits say."""
    sent = server.sender.count
    yield
    wait_for("the other sender to send", lambda: server.sender.count > sent + 1)
    assert not server.sender.failures
    assert rss(server, "VmHWM") < 900 * MIB


def rss(server, what="VmRSS"):
    with open("/proc/%d/status" % server.process.pid) as f:
        return int(re.search(what + r":\s+(\d+) kB", f.read()).group(1)) * 1024


def connect(address, seconds=20):
    host, port = address.replace("http://", "").split(":")
    s = socket.create_connection((host, int(port)), seconds)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def send(s, data):
    """False: the server has closed."""
    try:
        s.sendall(data)
        return True
    except OSError:
        return False


def read_all(s, limit=4 * MIB):
    """All bytes until the server closes."""
    out = b""
    try:
        while len(out) < limit:
            part = s.recv(65536)
            if not part:
                break
            out += part
    except ConnectionError:
        pass
    return out


def codes(answer):
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def ask(server, request):
    """The status codes of all that comes back for raw bytes, until the server closes or is quiet."""
    s = connect(server.otlp)
    send(s, request)
    s.shutdown(socket.SHUT_WR)
    answer = read_all(s)
    s.close()
    return codes(answer), answer


def post_head(fields, path="/v1/logs", host="a"):
    return ("POST %s HTTP/1.1\r\nHost: %s\r\n" % (path, host)).encode() + fields


# ---- HTTP/1.1: smuggling ----

BODY = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

SMUGGLED = {
    "content length and chunked":
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % len(BODY),
    "chunked and content length": b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two content lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(BODY),
    "two equal content lengths in one": b"Content-Length: 5, 5\r\n\r\nhello",
    "content length with a sign": b"Content-Length: +0\r\n\r\n",
    "content length in hexadecimal": b"Content-Length: 0x0\r\n\r\n",
    "content length of 2 to the 64": b"Content-Length: 18446744073709551616\r\n\r\n",
    "negative content length": b"Content-Length: -1\r\n\r\n",
    "chunked is not the last": b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked that is none": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "folded header": b"X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n",
    "folded value": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"Content-Length: 0\n\n",
    "something else for the last line feed": b"X-A: b\r\n\r&",
    "bare carriage return": b"X-A: b\rTransfer-Encoding: chunked\r\n\r\n",
    "zero byte in a value": b"X-A: b\0c\r\n\r\n",
    "control byte in a name": b"X\x01A: b\r\n\r\n",
    "no colon": b"nonsense\r\n\r\n",
    "second host": b"Host: b\r\n\r\n",
}


@pytest.mark.parametrize("what", SMUGGLED)
def test_ambiguous_requests_are_refused_and_nothing_behind_them_is_read(server, what):
    got, answer = ask(server, post_head(SMUGGLED[what]) + BODY)
    assert len(got) == 1 and got[0] in (400, 411, 413, 501), answer
    assert b"smuggled" not in answer
    assert b"Connection: close" in answer


CHUNKS = {
    "size that overflows": b"ffffffffffffffff1\r\n",
    "size that is none": b"zz\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "more than it says": b"5\r\nhello world\r\n0\r\n\r\n",
    "line feed after the data": b"5\r\nhello\n0\r\n\r\n",
    "line feed after the size": b"5\nhello\r\n0\r\n\r\n",
    "line feed in an extension": b"5;\nhello\r\n0\r\n\r\n",
    "something else for a line feed": b"5\rXhello\r\n0\r\n\r\n",
    "folded trailer": b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    "no size": b";a=b\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("what", CHUNKS)
def test_wrong_chunks_are_refused(server, what):
    got, answer = ask(server, post_head(b"Transfer-Encoding: chunked\r\n\r\n") + CHUNKS[what] + BODY)
    assert got and got[0] in (400, 413) and len(got) == 1, answer
    assert b"smuggled" not in answer


def test_chunk_extensions_and_trailers_have_an_end(server):
    head = post_head(b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert ask(server, head + b"2;name=value\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n")[0] == [200]
    for flood in (b"2;" + b"x" * (2 * MIB), b"2\r\n{}\r\n0\r\n" + b"X-T: y\r\n" * 200000,
                  b"2\r\n{}\r\n0\r\nX-T: " + b"y" * (2 * MIB)):
        got, answer = ask(server, head + flood)
        assert got and got[0] in (400, 413, 431), (flood[:20], answer[:200])


# ---- HTTP/1.1: absurd sizes ----

ABSURD = {
    "a long path": (b"GET /" + b"a" * MIB + b" HTTP/1.1\r\nHost: a\r\n\r\n", (414, 431)),
    "a long query": (b"GET /v1/logs?" + b"a=b&" * 100000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", (414, 431)),
    "a long header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MIB + b"\r\n\r\n", (431,)),
    "a long header name": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x" * MIB + b": x\r\n\r\n", (431,)),
    "many headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100000 + b"\r\n", (431,)),
    "a long method": (b"G" * MIB + b" / HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    "a version of the future": (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", (400, 505)),
    "a path with zero bytes": (b"GET /\0\0 HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    "a path of escapes":
        (b"GET /" + b"%2e%2e/" * 1000 + b"etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", (404, 400)),
    "bytes of nobody": (bytes(range(256)) * 16, (400,)),
}


@pytest.mark.parametrize("what", ABSURD)
def test_absurd_heads_are_refused(server, what):
    request, expected = ABSURD[what]
    got, answer = ask(server, request)
    assert got and got[0] in expected, answer[:300]


def test_a_gibibyte_is_refused_before_it_was_sent(server):
    before = rss(server)
    s = connect(server.otlp)
    send(s, post_head(b"Content-Length: %d\r\n\r\n" % (1 << 30)))
    assert codes(read_all(s)) == [413]
    s.close()
    s = connect(server.otlp)
    send(s, post_head(b"Transfer-Encoding: chunked\r\n\r\n"))
    chunk, sent = b"100000\r\n" + b"x" * MIB + b"\r\n", 0
    while sent < 1024 and send(s, chunk):
        sent += 1
    answer = read_all(s)
    s.close()
    assert codes(answer)[:1] in ([413], [])  # lost where the client sends on after it was closed
    assert rss(server) < before + 200 * MIB


# ---- slow clients ----

def test_slow_heads_and_bodies_are_cut_off(server):
    slow = [connect(server.otlp, 60) for _ in range(60)]
    for i, s in enumerate(slow):
        send(s, b"POST /v1/logs HTTP/1.1\r\nHost: a\r\n" if i % 2 else b"P")
    h2 = [connect(server.grpc, 60) for _ in range(10)]
    for s in h2:
        h2_open(s)
        send(s, frame(HEADERS, 0, 1, b"\x82\x86"))  # and no end of it
    end, open_ones = time.monotonic() + 25, set(slow + h2)
    while open_ones and time.monotonic() < end:
        for s in list(open_ones):
            dribble = b"X: y\r\n" if s in slow else b""
            if not send(s, dribble):
                open_ones.discard(s)
                continue
            s.settimeout(0.001)
            try:
                while True:
                    if not s.recv(4096):
                        open_ones.discard(s)
                        break
            except TimeoutError:
                pass
            except OSError:
                open_ones.discard(s)
        time.sleep(0.2)  # the pace of the attack
    assert not open_ones
    for s in slow + h2:
        s.close()


# ---- HTTP/2 ----

def frame(kind, flags, stream, payload=b"", length=None):
    n = len(payload) if length is None else length
    return struct.pack(">I", n)[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def h2_open(s):
    send(s, PREFACE + frame(SETTINGS, 0, 0))


def literal(name, value):
    """An HPACK field that is not indexed, without Huffman."""
    def text(b):
        return (bytes((len(b),)) if len(b) < 127 else b"\x7f" + varint(len(b) - 127)) + b
    return b"\x00" + text(name) + text(value)


GRPC_PATH = b"/opentelemetry.proto.collector.logs.v1.LogsService/Export"


def call_head(path=GRPC_PATH, extra=(), content_type=b"application/grpc", te=True):
    fields = [literal(b":method", b"POST"), literal(b":scheme", b"http"), literal(b":path", path),
              literal(b":authority", b"a")]
    if content_type:
        fields.append(literal(b"content-type", content_type))
    if te:
        fields.append(literal(b"te", b"trailers"))
    return b"".join(fields + [literal(k, v) for k, v in extra])


def frames(data):
    out = []
    while len(data) >= 9:
        n = int.from_bytes(data[:3], "big")
        out.append((data[3], data[4], int.from_bytes(data[5:9], "big") & 0x7fffffff, data[9:9 + n]))
        data = data[9 + n:]
    return out


def goaway_code(data):
    found = [struct.unpack(">I", p[4:8])[0] for kind, _, _, p in frames(data) if kind == GOAWAY]
    return found[-1] if found else None


NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR, CALM = 0, 1, 3, 6, 9, 11

BROKEN = {
    "data on stream 0": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "data before a head": (frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
    "an even stream": (frame(HEADERS, END_HEADERS, 2, call_head()), PROTOCOL_ERROR),
    "a push of the client": (frame(PUSH, END_HEADERS, 1, b"\0\0\0\2" + call_head()), PROTOCOL_ERROR),
    "continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
    "another frame within a head": (frame(HEADERS, 0, 1, call_head()) + frame(PING, 0, 0, b"x" * 8),
                                    PROTOCOL_ERROR),
    "padding longer than the frame":
        (frame(HEADERS, END_HEADERS | 8, 1, b"\xff" + call_head()), PROTOCOL_ERROR),
    "a frame larger than allowed": (frame(DATA, 0, 1, b"", 0xffffff), FRAME_SIZE_ERROR),
    "settings of 5 bytes": (frame(SETTINGS, 0, 0, b"12345"), FRAME_SIZE_ERROR),
    "a window beyond its limit": (frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2, FLOW_CONTROL_ERROR),
    "a window of 0": (frame(WINDOW, 0, 0, b"\0\0\0\0"), PROTOCOL_ERROR),
    "a ping of 7 bytes": (frame(PING, 0, 0, b"1234567"), FRAME_SIZE_ERROR),
    "index 0": (frame(HEADERS, END_HEADERS, 1, b"\x80"), COMPRESSION_ERROR),
    "an index that is not there":
        (frame(HEADERS, END_HEADERS, 1, b"\xff\x80\x80\x80\x01"), COMPRESSION_ERROR),
    "an index without end": (frame(HEADERS, END_HEADERS, 1, b"\xff" + b"\xff" * 100), COMPRESSION_ERROR),
    "Huffman of all ones":
        (frame(HEADERS, END_HEADERS, 1, b"\x00\x84\xff\xff\xff\xff\x00"), COMPRESSION_ERROR),
    "a text longer than the block": (frame(HEADERS, END_HEADERS, 1, b"\x00\x7f\xff\xff\xff\x7f"),
                                     COMPRESSION_ERROR),
    "a table larger than allowed":
        (frame(HEADERS, END_HEADERS, 1, b"\x3f\xe1\xff\xff\x07"), COMPRESSION_ERROR),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_frames_end_the_connection_with_the_reason(server, what):
    wrong, expected = BROKEN[what]
    s = connect(server.grpc)
    h2_open(s)
    send(s, wrong)
    assert goaway_code(read_all(s)) == expected
    s.close()


def flood(server, one, limit=64 * MIB, read=True, opening=b""):
    """Sends the same frames until the server has enough; how many bytes it took, and what it said."""
    s = connect(server.grpc, 10)
    h2_open(s)
    send(s, opening)
    block, sent, got = one * max(1, 65536 // len(one)), 0, b""
    while sent < limit:
        try:
            s.sendall(block)
        except OSError:
            break
        sent += len(block)
        if read:
            try:
                while True:
                    part = s.recv(65536, socket.MSG_DONTWAIT)
                    if not part:
                        return sent, got
                    got += part
                    if GOAWAY in {kind for kind, _, _, _ in frames(got[-64:])}:
                        break
                    got = got[-4096:]
            except BlockingIOError:
                pass
            except OSError:
                break
    s.settimeout(5)
    try:
        got += read_all(s)
    except TimeoutError:
        pass
    s.close()
    return sent, got


def test_a_head_that_is_continued_without_end_is_cut_off(server):
    before = rss(server)
    for one in (literal(b"x", b"y" * 100), b""):
        sent, _ = flood(server, frame(CONTINUATION, 0, 1, one), read=False,
                        opening=frame(HEADERS, 0, 1, call_head()))
        assert sent < 16 * MIB, "%d MiB were taken" % (sent // MIB)
    assert rss(server) < before + 64 * MIB


def test_answers_to_floods_are_not_collected(server):
    """Frames that each want an answer, from a client that reads none."""
    before = rss(server)
    for one in (frame(PING, 0, 0, b"x" * 8), frame(SETTINGS, 0, 0, b"\0\3\0\0\0\1")):
        sent, _ = flood(server, one, limit=128 * MIB, read=False)
        assert sent < 64 * MIB
    assert rss(server) < before + 64 * MIB


def test_streams_reset_rapidly_end_the_connection(server):
    s = connect(server.grpc)
    h2_open(s)
    for i in range(5000):
        number = 2 * i + 1
        if not send(s, frame(HEADERS, END_HEADERS, number, call_head())
                    + frame(RST, 0, number, b"\0\0\0\x08")):
            break
    s.settimeout(10)
    answer = read_all(s)
    s.close()
    assert not answer or goaway_code(answer) in (CALM, None)
    assert i < 4999 or goaway_code(answer) == CALM


def test_a_dynamic_table_cannot_be_made_large(server):
    """Small frames whose fields all refer to one large entry."""
    before = rss(server)
    big = b"\x40\x01x" + b"\x7f" + varint(4000 - 127) + b"y" * 4000
    s = connect(server.grpc)
    h2_open(s)
    send(s, frame(HEADERS, END_HEADERS | END_STREAM, 1, call_head() + big))
    for i in range(200):
        if not send(s, frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 3, call_head() + b"\xbe" * 8000)):
            break
    s.shutdown(socket.SHUT_WR)
    read_all(s)
    s.close()
    assert rss(server) < before + 64 * MIB


# ---- connections ----

def test_ten_thousand_idle_connections(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 10000
    if hard < count + 1000:
        count = hard - 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))
    with open("/proc/%d/limits" % server.process.pid) as f:
        allowed = int(re.search(r"Max open files\s+(\d+)", f.read()).group(1))
    if allowed < count + 600:
        pytest.skip("the server may open %d files only" % allowed)
    before, idle = rss(server), []
    try:
        for i in range(count):
            idle.append(connect(server.otlp))
            if i % 2:
                send(idle[-1], b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        # Each second one had an answer, and waits for another request.
        for s in idle[1::2]:
            assert b"404" in s.recv(4096)
        each = (rss(server) - before) / count
        print("%d connections, %.0f bytes each" % (count, each))
        assert each < 4096
    finally:
        for s in idle:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- bodies ----

def gzip_bomb(size, window):
    z = zlib.compressobj(9, zlib.DEFLATED, window)
    out, block = [], bytes(MIB)
    for _ in range(size // MIB):
        out.append(z.compress(block))
    return b"".join(out) + z.flush()


def zstd_bomb(size):
    """One frame of blocks that repeat a zero byte (RFC 8878), without its length: 128 KiB in 4 bytes."""
    def block(n, last):
        return struct.pack("<I", n << 3 | 1 << 1 | last)[:3] + b"\0"
    count = size // (128 << 10)
    return b"\x28\xb5\x2f\xfd\x00\x68" + block(128 << 10, 0) * (count - 1) + block(128 << 10, 1)


def snappy_bomb(size):
    """A zero byte, then copies of 64 bytes from one back: 64 bytes in three."""
    return varint(size) + b"\x00\x00" + b"\xfe\x01\x00" * ((size - 1) // 64)


BOMBS = {
    "gzip": lambda: gzip_bomb(1 << 30, 31),
    "deflate": lambda: gzip_bomb(1 << 30, 15),
    "zstd": lambda: zstd_bomb(4 << 30),
    "snappy": lambda: snappy_bomb(1 << 30),
}


@pytest.mark.parametrize("encoding", BOMBS)
def test_bombs_are_refused_at_the_limit(server, encoding):
    bomb = BOMBS[encoding]()
    answers = []

    def one():
        s = connect(server.otlp, 60)
        send(s, post_head(b"Content-Type: application/x-protobuf\r\nContent-Encoding: %s\r\n"
                          b"Content-Length: %d\r\nConnection: close\r\n\r\n"
                          % (encoding.encode(), len(bomb))) + bomb)
        answers.append(codes(read_all(s)))
        s.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(answers) == 4 and all(a in ([413], [503], [429]) for a in answers), answers
    assert [413] in answers
    wait_for("the memory to be given back", lambda: rss(server) < 600 * MIB)


def post_json(server, body):
    got, answer = ask(server, post_head(b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                                        % len(body)) + body)
    return got, answer.partition(b"\r\n\r\n")[2]


def logs_json(body):
    resource_ = {"attributes": [{"key": "service.name", "value": {"stringValue": "refused"}}]}
    text = json.dumps({"resourceLogs": [{"resource": resource_, "scopeLogs": [{"logRecords": [
        {"timeUnixNano": str(time.time_ns()), "body": "@"}]}]}]}).encode()
    return text.replace(b'"@"', body)


@pytest.mark.parametrize("what", ["deep arrays", "deep objects", "deep values", "invalid UTF-8",
                                  "half a surrogate", "a number without end"])
def test_json_of_no_sender_is_refused_with_the_place(server, what):
    deep = 2000000
    body = {
        "deep arrays": lambda: b"[" * deep,
        "deep objects": lambda: b'{"a":' * deep,
        "deep values": lambda: logs_json(b'{"arrayValue":{"values":[' * 100000 + b"]}}" * 100000),
        "invalid UTF-8": lambda: logs_json(b'{"stringValue":"\xff\xfe\xc0\x80"}'),
        "half a surrogate": lambda: logs_json(b'{"stringValue":"\\ud800"}')[:-5],
        "a number without end": lambda: logs_json(b'{"intValue":' + b"9" * 100000 + b"}"),
    }[what]()
    got, answer = post_json(server, body)
    assert got == [400], answer[:300]
    assert json.loads(answer)["message"]


PROTOBUF = {
    "a varint of 11 bytes": b"\x0a" + b"\xff" * 10 + b"\x01",
    "a varint without end": b"\xff" * 5000,
    "a length beyond the message": b"\x0a" + varint(1 << 40),
    "a length of 2 to the 64 less 1": b"\x0a" + b"\xff" * 9 + b"\x01",
    "a group": b"\x0b" * 5000,
    "field number 0": b"\x02\x01x",
}


@pytest.mark.parametrize("what", PROTOBUF)
def test_protobuf_of_no_sender_is_refused(server, what):
    body = PROTOBUF[what]
    got, answer = ask(server, post_head(b"Content-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
                                        % len(body)) + body)
    assert got == [400], answer[:300]


def test_deep_and_wide_protobuf_is_refused(server):
    deep = field(1, b"x")
    for _ in range(5000):
        deep = field(5, field(1, deep))  # AnyValue.array_value.values
    attribute = field(1, b"k") + field(2, field(1, b"v"))
    wide = b"".join(field(6, field(1, b"k%d" % i) + field(2, field(1, b"v"))) for i in range(200000))
    name = field(1, field(1, field(1, b"service.name") + field(2, field(1, b"refused"))))
    for record, expected in ((field(5, deep), [400]), (wide, [400, 413]),
                             (field(6, attribute) * 300000, [400, 413])):
        body = field(1, name + field(2, field(2, b"\x09" + struct.pack("<Q", time.time_ns()) + record)))
        got, answer = ask(server, post_head(b"Content-Type: application/x-protobuf\r\n"
                                            b"Content-Length: %d\r\n\r\n" % len(body)) + body)
        if got == [200]:  # accepted as a request, its only item refused
            assert b"refused" in answer or b"limit" in answer or b"attributes" in answer, answer[-300:]
        else:
            assert got and got[0] in expected, answer[:300]


# ---- gRPC ----

def grpc_call(server, head, data=b"", trailing=b""):
    """(:status or None, grpc-status or None, grpc-message) of one call by hand; HPACK is read by its plain
    literals and the static table's :status entries."""
    s = connect(server.grpc)
    h2_open(s)
    send(s, frame(HEADERS, END_HEADERS, 1, head))
    for i in range(0, len(data), 16384):
        send(s, frame(DATA, 0, 1, data[i:i + 16384]))
    send(s, frame(DATA, END_STREAM, 1, b"") + trailing)
    s.settimeout(20)
    got, blocks = b"", b""
    while True:
        part = s.recv(65536)
        if not part:
            break
        got += part
        mine = [f for f in frames(got) if f[2] == 1]
        blocks = b"".join(p for kind, _, _, p in mine if kind == HEADERS)
        if any(kind in (HEADERS, DATA) and flags & END_STREAM or kind == RST for kind, flags, _, p in mine):
            break
    s.close()
    return blocks


def grpc_message(payload, flag=0):
    return bytes((flag,)) + struct.pack(">I", len(payload)) + payload


def test_a_grpc_message_larger_than_the_limit_is_refused(server):
    before = rss(server)
    threads = [threading.Thread(target=grpc_call, args=(server, call_head(), grpc_message(bytes(66 * MIB))))
               for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    wait_for("the memory to be given back", lambda: rss(server) < before + 300 * MIB)
