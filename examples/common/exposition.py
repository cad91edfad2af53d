# SPDX-License-Identifier: Apache-2.0
"""Reads Prometheus's text format (0.0.4) as the demo scripts need it: families with type, help, samples."""
import re

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})?\s+(\S+)(?:\s+-?\d+)?\s*(?:#.*)?$")
LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:\\.|[^"\\])*)"\s*(?:,|$)')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count"),
            "counter": ("_total",)}


class Family:
    def __init__(self, name, kind="untyped"):
        self.name, self.kind, self.help = name, kind, None
        self.samples = []  # (name, {labels}, value)

    def label_sets(self):
        """The label names of its samples, without a bucket's own."""
        return {frozenset(labels) - {"le", "quantile"} for _, labels, _ in self.samples}

    def value(self, suffix="", **labels):
        """The sum of the samples with these labels; None without one."""
        found = [v for name, have, v in self.samples if name == self.name + suffix
                 and all(have.get(k) == want for k, want in labels.items())]
        return sum(found) if found else None


class Page(dict):
    """Families by name. A histogram is also found by the name of its buckets, sum or count."""

    def family(self, name):
        if name in self:
            return self[name]
        for kind, suffixes in SUFFIXES.items():
            for suffix in suffixes:
                base = name[:-len(suffix)]
                if name.endswith(suffix) and base in self and self[base].kind == kind:
                    return self[base]
        return None

    def value(self, name, **labels):
        """The sum of the samples of that name with these labels; None without one."""
        found = [v for f in self.values() for n, have, v in f.samples if n == name
                 and all(have.get(k) == want for k, want in labels.items())]
        return sum(found) if found else None


def unescape(text):
    return re.sub(r"\\(.)", lambda m: "\n" if m.group(1) == "n" else m.group(1), text)


def labels_of(text, line):
    found, at = {}, 0
    while at < len(text) and text[at:].strip():
        match = LABEL.match(text, at)
        if not match:
            raise ValueError("the labels of this line cannot be read: %s" % line)
        found[match.group(1)] = unescape(match.group(2))
        at = match.end()
    return found


def parse(text):
    page, current = Page(), None
    for line in text.splitlines():
        words = line.split(None, 3)
        if not words:
            continue
        if words[0] == "#":
            if len(words) >= 3 and words[1] in ("TYPE", "HELP"):
                current = page.setdefault(words[2], Family(words[2]))
                rest = words[3] if len(words) > 3 else ""
                if words[1] == "TYPE":
                    current.kind = rest.strip()
                else:
                    current.help = unescape(rest)
            continue
        match = SAMPLE.match(line)
        if not match:
            raise ValueError("no sample of the text format: %s" % line)
        name, labels, value = match.groups()
        family = page.family(name) or page.setdefault(name, Family(name))
        family.samples.append((name, labels_of(labels[1:-1], line) if labels else {}, float(value)))
    return page
