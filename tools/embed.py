#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a folder of web assets as one C file: tools/embed.py DIST OUT.c

Each file is compressed with gzip where that makes it smaller, and becomes a row of web_assets[]
(src/web_assets.h), sorted by path in byte order. The same input gives the same output. The bytes are
string literals, which gcc reads many times faster than lists of numbers.
"""
import gzip
import hashlib
import os
import sys

MIMES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}

BYTES_PER_LINE = 64


def escape_table():
    """Each byte as it stands in a C string literal; octal, so that no digit after it can join it."""
    table = []
    for byte in range(256):
        char = chr(byte)
        plain = 32 <= byte < 127 and char not in '"\\?'
        table.append(char if plain else "\\%03o" % byte)
    return table


ESCAPES = escape_table()


def literal(data):
    lines = []
    for start in range(0, len(data), BYTES_PER_LINE):
        chunk = data[start : start + BYTES_PER_LINE]
        lines.append('    "%s"' % "".join(ESCAPES[byte] for byte in chunk))
    return "\n".join(lines) or '    ""'


def find_files(root):
    """Paths with a leading slash, in byte order."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            found.append("/" + path.replace(os.sep, "/"))
    return sorted(found, key=lambda path: path.encode())


def compress(data):
    """(encoding, bytes); level and time are fixed, so that a build can be repeated."""
    packed = gzip.compress(data, compresslevel=9, mtime=0)
    return ("gzip", packed) if len(packed) < len(data) else ("", data)


def main(arguments):
    if len(arguments) != 3:
        sys.exit("usage: embed.py DIST OUT.c")
    root, out = arguments[1:]
    paths = find_files(root)
    if "/index.html" not in paths:
        sys.exit("embed.py: %s holds no index.html: build the web UI first" % root)
    arrays = []
    rows = []
    for number, path in enumerate(paths):
        mime = MIMES.get(os.path.splitext(path)[1])
        if mime is None:
            sys.exit("embed.py: %s: unknown kind of file; add it to MIMES" % path)
        with open(root + path, "rb") as file:
            raw = file.read()
        encoding, data = compress(raw)
        etag = hashlib.sha256(raw).hexdigest()[:20]
        arrays.append("static const unsigned char asset_%d[] =\n%s;\n" % (number, literal(data)))
        rows.append(
            '    { "%s", "%s", "%s", "\\"%s\\"", asset_%d, %d },'
            % (path, mime, encoding, etag, number, len(data))
        )
    text = "\n".join(
        ["/* Written by tools/embed.py from Vite's output; do not edit. */", '#include "web_assets.h"', ""]
        + arrays
        + ["const web_asset web_assets[] = {"]
        + rows
        + ["};", "const size_t web_asset_count = %d;" % len(rows), ""]
    )
    with open(out + ".new", "w", encoding="ascii", newline="\n") as file:
        file.write(text)
    os.replace(out + ".new", out)


if __name__ == "__main__":
    main(sys.argv)
