# SPDX-License-Identifier: Apache-2.0
"""Protobuf's wire format, written by hand."""
import struct


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def zigzag(n):
    return n << 1 if n >= 0 else (-n << 1) - 1


def number(at, n):
    return varint(at << 3) + varint(n)


def double(at, v):
    return varint(at << 3 | 1) + struct.pack("<d", v)


def field(at, content):
    """Texts, bytes and messages."""
    raw = content if isinstance(content, bytes) else content.encode()
    return varint(at << 3 | 2) + varint(len(raw)) + raw
