# SPDX-License-Identifier: Apache-2.0
"""Remote write 1.0 and 2.0 requests, written by hand: protobuf and snappy as far as senders need them."""
import struct

from protobuf import double, field as text, number, varint, zigzag

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
V1 = "application/x-protobuf"
V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
TYPES = {"unknown": 0, "counter": 1, "gauge": 2, "histogram": 3, "gaugehistogram": 4, "summary": 5}


def sample(ms, v):
    return double(1, v) + number(2, ms)


def request1(series, metadata=()):
    """series: ({labels}, [(ms, value)]); metadata: (name, type, help, unit)."""
    out = b""
    for labels, samples in series:
        body = b"".join(text(1, text(1, k) + text(2, v)) for k, v in sorted(labels.items()))
        out += text(1, body + b"".join(text(2, sample(*s)) for s in samples))
    for name, kind, about, unit in metadata:
        out += text(3, number(1, TYPES[kind]) + text(2, name) + text(4, about) + text(5, unit))
    return out


def request2(series):
    """series: ({labels}, [(ms, value)], {type, help, unit, created, exemplars: [({labels}, ms, value)],
    histograms: [bytes]})."""
    symbols = [""]

    def ref(s):
        if s not in symbols:
            symbols.append(s)
        return symbols.index(s)

    def refs(labels):
        return text(1, b"".join(varint(ref(x)) for pair in sorted(labels.items()) for x in pair))

    out = b""
    for labels, samples, more in series:
        body = refs(labels) + b"".join(text(2, sample(*s)) for s in samples)
        body += b"".join(text(3, h) for h in more.get("histograms", ()))
        body += b"".join(text(4, refs(l) + double(2, v) + number(3, ms))
                         for l, ms, v in more.get("exemplars", ()))
        body += text(5, number(1, TYPES[more.get("type", "unknown")]) + number(3, ref(more.get("help", "")))
                     + number(4, ref(more.get("unit", ""))))
        out += text(5, body + (number(6, more["created"]) if "created" in more else b""))
    return b"".join(text(4, s) for s in symbols) + out


def native(ms, count, total, schema, spans, deltas):
    """A native histogram with positive buckets only."""
    body = number(1, count) + double(3, total) + number(4, zigzag(schema)) + double(5, 1e-128) + number(6, 0)
    body += b"".join(text(11, number(1, zigzag(offset)) + number(2, length)) for offset, length in spans)
    return body + text(12, b"".join(varint(zigzag(d)) for d in deltas)) + number(15, ms)


def histogram(ms, total, *, count, zero=0, floats=False, schema=0, threshold=1e-128, hint=0, custom=(),
              positive=((), ()), negative=((), ())):
    """A native histogram of any shape; a side: ([(offset, length)], [counts, absolute])."""
    body = double(2, count) if floats else number(1, count)
    body += double(3, total) + number(4, zigzag(schema)) + double(5, threshold)
    body += double(7, zero) if floats else number(6, zero)
    for at, (spans, counts) in ((8, negative), (11, positive)):
        body += b"".join(text(at, number(1, zigzag(offset)) + number(2, length)) for offset, length in spans)
        deltas = [n - before for n, before in zip(counts, [0, *counts])]
        if floats:
            body += text(at + 2, b"".join(struct.pack("<d", n) for n in counts))
        else:
            body += text(at + 1, b"".join(varint(zigzag(d)) for d in deltas))
    body += number(14, hint) + number(15, ms)
    return body + text(16, b"".join(struct.pack("<d", b) for b in custom))


def snappy(raw):
    """As literals only, which every reader must take."""
    out = varint(len(raw))
    for at in range(0, len(raw), 65536):
        part = raw[at:at + 65536]
        out += bytes([61 << 2]) + struct.pack("<H", len(part) - 1) + part
    return out
