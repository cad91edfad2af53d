# SPDX-License-Identifier: Apache-2.0
"""Reads from a Prometheus rule file the names and expressions of its rules, so that a demo needs no YAML
library. It understands what such files hold: `- alert: NAME`, `- record: NAME` and `expr:` with a plain
or quoted text on the line, or a block (| or >) below it."""
import re

KEY = re.compile(r"^(\s*)(- +)?(alert|record|expr|for):\s*(.*?)\s*$")


def scalar(text):
    if text[:1] == '"' and text[-1:] == '"':
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if text[:1] == "'" and text[-1:] == "'":
        return text[1:-1].replace("''", "'")
    return re.sub(r"\s+#.*$", "", text)


def rules(text):
    """[{"alert" or "record": name, "expr": …, "for": …}] in the file's order."""
    found, lines, at = [], text.splitlines(), 0
    current = None
    while at < len(lines):
        match = KEY.match(lines[at])
        at += 1
        if not match:
            continue
        indent, dash, key, value = match.groups()
        depth = len(indent) + len(dash or "")
        if dash:
            current = {}
            found.append(current)
        more = []
        while at < len(lines) and (not lines[at].strip() or
                                   len(lines[at]) - len(lines[at].lstrip()) > depth):
            more.append(lines[at].strip())
            at += 1
        if value[:1] in ("|", ">"):
            value = (" " if value[0] == ">" else "\n").join(more).strip()
        else:
            value = scalar(" ".join([value, *more]).strip())
        if current is not None:
            current[key] = value
    for rule in found:
        if not rule.get("expr") or not ("alert" in rule or "record" in rule):
            raise ValueError("a rule without name or expression: %r" % rule)
    return found
