# SPDX-License-Identifier: Apache-2.0
"""Pages that sonde and Prometheus's own parsers must read alike: generated ones, and ones with bytes
changed."""
import os
import random
import re
import shutil
import subprocess

import pytest

from harness import BUILD, FULL, ROOT
from native import sanitizers

PAGES = 20000 if FULL else 4000


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """(Prometheus's, ours)"""
    if not shutil.which("go"):
        pytest.skip("go is not installed")
    folder = tmp_path_factory.mktemp("exposition")
    ours, theirs = str(folder / "ours"), str(folder / "theirs")
    built = subprocess.run(["go", "build", "-o", theirs, "."],
                           cwd=os.path.join(ROOT, "tests/interop/go_exposition"),
                           env={**os.environ, "GOFLAGS": "-mod=mod"}, capture_output=True, text=True,
                           timeout=300)
    if built.returncode:
        pytest.skip("Prometheus's parser cannot be built: " + built.stderr[-300:])
    used = sanitizers()
    flags = ["-fsanitize=" + used, "-fno-sanitize-recover=all"] if used else []
    subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", *flags, "-I", ROOT,
                    os.path.join(ROOT, "tests/interop/exposition_dump.c"),
                    os.path.join(BUILD, "libsonde_codec.a"), os.path.join(BUILD, "libsonde_base.a"),
                    "-lm", "-lpthread", "-o", ours], check=True, timeout=120)
    return theirs, ours


# ---- pages ----

NAMES = ["a", "http_requests", "x:y", "_z", "up", "histogram_seconds", "A1"]
LABELS = ["a", "b", "path", "le_", "Z", "_u"]
VALUES = ["", "x", "/a b", "é☃", "a\\\\b", 'q\\"q', "line\\nend", "\\x", "200", "{}", "# ", ","]
NUMBERS = ["0", "1", "-1", "+1", "1.5", ".5", "5.", "1e3", "1E-7", "NaN", "nan", "+Inf", "-Inf", "Inf", "inf",
           "1.7976931348623157e308", "5e-324", "123456789012345678901234567890", "0.1", "00012",
           "9007199254740993",
           "4.35", "0.000001", "1e22", "1e23", "3.14159265358979323846", "infinity"]
BOUNDS = ["0.005", "0.1", "1", "1.0", "2.5e-3", "1e6", "10", "+Inf", "0", "1e-7", "123456", "1234567"]


def labels(r, *more):
    chosen = ['%s="%s"' % (n, r.choice(VALUES)) for n in r.sample(LABELS, r.choice((0, 0, 1, 2, 3)))]
    chosen += more
    r.shuffle(chosen)
    return "{%s}" % ",".join(chosen) if chosen or r.random() < 0.1 else ""


def text_page(r):
    out = []
    for name in r.sample(NAMES, r.randint(1, 4)):
        kind = r.choice(["counter", "gauge", "histogram", "summary", "untyped", None])
        if r.random() < 0.5:
            out.append("# HELP %s Some\\n text %s" % (name, r.choice(VALUES)))
        if kind:
            out.append("# TYPE %s %s" % (name, kind))
        if r.random() < 0.2:
            out.append(r.choice(["# a comment", "#", "", "#HELP", "# HELPER x", "   "]))
        for _ in range(r.randint(0, 4)):
            more, suffix = [], ""
            if kind == "histogram":
                suffix = r.choice(["_bucket", "_sum", "_count"])
                more = ['le="%s"' % r.choice(BOUNDS)] if suffix == "_bucket" else []
            if kind == "summary":
                suffix = r.choice(["", "_sum", "_count"])
                more = [] if suffix else ['quantile="%s"' % r.choice(BOUNDS)]
            space = r.choice([" ", "\t", "  ", " "])
            time = space + str(r.choice([0, 1700000000123, 5])) if r.random() < 0.3 else ""
            out.append(name + suffix + labels(r, *more) + space + r.choice(NUMBERS) + time)
        if r.random() < 0.1:
            out.append('{"with.dot","l.l"="v"} 1')
        out = [line + (" " if r.random() < 0.05 and not line.startswith("#") else "") for line in out]
    return "\n".join(out) + ("\n" if r.random() < 0.9 else "")


def openmetrics_page(r):
    out = []
    for name in r.sample(NAMES, r.randint(1, 4)):
        kind = r.choice(["counter", "gauge", "histogram", "gaugehistogram", "info", "stateset", "unknown"])
        out.append("# TYPE %s %s" % (name, kind))
        if r.random() < 0.5:
            out.append("# HELP %s Some text" % name)
        for _ in range(r.randint(0, 4)):
            suffix = {"counter": "_total", "info": "_info", "histogram": "_bucket",
                      "gaugehistogram": "_bucket"}.get(kind, "")
            more = ['le="%s"' % r.choice(BOUNDS)] if suffix == "_bucket" else []
            line = name + suffix + labels(r, *more) + " " + r.choice(NUMBERS)
            if r.random() < 0.3:
                line += r.choice([" 1", " 1.5", " 1700000000.125", " -1"])
            if suffix in ("_total", "_bucket") and r.random() < 0.4:
                line += ' # {trace_id="%s"} 0.5%s' % (r.choice(VALUES), r.choice(["", " 1.5"]))
            out.append(line)
    return "\n".join(out + ["# EOF"]) + ("\n" if r.random() < 0.9 else "")


def mutate(r, page):
    page = bytearray(page.encode())
    for _ in range(r.choice((0, 1, 1, 2, 4))):
        at = r.randrange(len(page)) if page else 0
        what = r.randrange(4)
        if what == 0 and page:
            del page[at:at + r.randint(1, 5)]
        elif what == 1:
            page[at:at] = r.choice([b'"', b"{", b"}", b" ", b"\n", b"\\", b"#", b",", b"=", b"\xff",
                                    b"1", b"a", b"\t"])
        elif what == 2 and page:
            page[at] = r.choice(b'"{} \n\\#,=1a.-+e\t')
        elif page:
            page[at:at] = page[at:at + r.randint(1, 20)]
    return bytes(page)


# ---- comparing ----

def read(program, pages):
    stdin = b"".join(b"%s %d\n%s" % (kind, len(page), page) for kind, page in pages)
    done = subprocess.run([program], input=stdin, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    lines, results = done.stdout.decode(errors="replace").split("\n"), []
    at = 0
    while at < len(lines) and lines[at]:
        first, at = lines[at], at + 1
        if first.startswith("refused"):
            results.append(first)
        else:
            results.append(lines[at:at + int(first)])
            at += int(first)
    assert len(results) == len(pages)
    return results


BOUND_LABELS = re.compile("(6c65|7175616e74696c65)=[0-9a-f]* ")


def known_difference(page, theirs, ours):
    """Where sonde is meant to be otherwise."""
    if isinstance(theirs, str):
        # White space around a type is no reason to lose a page.
        return 'invalid metric type' in theirs and re.search(rb"# TYPE \S+[ \t]+\w+[ \t]*\n", page)
    if isinstance(ours, str):
        # Labels and times that no series can have.
        return any(part in ours for part in (
            "__name__", "no finite number of seconds", "not between the years 1677 and 2262"))
    if re.search(rb"^[ \t]+[^\s#{]", page, re.M):
        return True  # Prometheus makes the white space part of the name
    # Bounds are written anew for the series of histograms and summaries only, not of whatever follows one.
    return [BOUND_LABELS.sub("", line) for line in theirs] == [BOUND_LABELS.sub("", line) for line in ours]


@pytest.mark.parametrize("kind", ["t", "o"], ids=["text", "openmetrics"])
def test_pages_are_read_as_prometheus_reads_them(programs, kind):
    r = random.Random(20260101)
    make = text_page if kind == "t" else openmetrics_page
    pages = [(kind.encode(), mutate(r, make(r))) for _ in range(PAGES)]
    theirs, ours = (read(program, pages) for program in programs)
    taken, wrong = 0, []
    for (_, page), a, b in zip(pages, theirs, ours):
        same = isinstance(a, str) and isinstance(b, str) or a == b
        taken += same and not isinstance(a, str)
        if not same and not known_difference(page, a, b):
            wrong.append((page, a, b))
    assert taken > PAGES // 4, "too few good pages to say anything: %d" % taken
    assert not wrong, "%d of %d pages differ; the first:\n%r\nPrometheus: %s\nsonde: %s" % (
        len(wrong), len(pages), *wrong[0])
