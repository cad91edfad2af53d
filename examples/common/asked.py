# SPDX-License-Identifier: Apache-2.0
"""Asserts that everything in a system's asked.json exists with the right fields: a function a group.

Each function gets the demo and one entry, and returns None or what is wrong; it is asked again until
nothing is wrong or SECONDS are over, since telemetry needs a moment to arrive.
"""
import glob
import json
import os
import re
import time
import urllib.error
import urllib.request

import grafana
import rule_files

SECONDS = 20
TEXT_KEYS = ("message", "msg", "event")
TYPES = {"string": str, "boolean": bool, "number": (int, float), "integer": int, "object": dict,
         "array": list, "null": type(None)}
# What a log record carries by itself is not among the fields that the server stores beside it.
RECORD_FIELDS = {"timestamp", "ts", "time", "level", "message", "msg", "event", "logger", "service",
                 "environment", "trace_id", "span_id"}


# ---- fields ----

def nested(value, path):
    """(found, value) of "data.old_status" or "nodes.0.id"; a key that holds dots is taken as it is."""
    if isinstance(value, dict) and path in value:
        return True, value[path]
    head, _, rest = path.partition(".")
    if isinstance(value, list) and head.isdigit() and int(head) < len(value):
        value = value[int(head)]
    elif isinstance(value, dict) and head in value:
        value = value[head]
    else:
        return False, None
    return nested(value, rest) if rest else (True, value)


def wrong_value(value, want):
    """None, or what is wrong with a value: want is JSON types joined by "|", {"is": …}, {"in": […]} or
    {"like": regex}."""
    if isinstance(want, dict):
        if "in" in want and value not in want["in"]:
            return "is %r, none of %r" % (value, want["in"])
        if "is" in want and value != want["is"]:
            return "is %r, not %r" % (value, want["is"])
        if "like" in want and not (isinstance(value, str) and re.search(want["like"], value)):
            return "is %r, which is not like %s" % (value, want["like"])
        return None
    kinds = want.split("|")
    for kind in kinds:
        if kind not in TYPES:
            return "has the unknown type %r in asked.json" % kind
        if isinstance(value, TYPES[kind]) and (kind == "boolean") == isinstance(value, bool):
            return None
    return "is %r, not of type %s" % (value, want)


def wrong_fields(value, fields):
    for path, want in fields.items():
        found, have = nested(value, path)
        if not found:
            return "%s is missing" % path
        wrong = wrong_value(have, want)
        if wrong:
            return "%s %s" % (path, wrong)
    return None


def same_text(have, want):
    """Equal, or begins with what stands before a trailing "*"."""
    return have.startswith(want[:-1]) if want.endswith("*") else have == want


# ---- groups ----

def metric(demo, entry):
    page = demo.page(entry["program"])
    family = page.family(entry["name"])
    if family is None or not family.samples:
        return "not on the /metrics page of %s" % entry["program"]
    if entry.get("type") and family.kind != entry["type"]:
        return "is a %s on the page, not a %s" % (family.kind, entry["type"])
    if "help" in entry and family.help != entry["help"]:
        return "its help is %r" % family.help
    if "labels" in entry and frozenset(entry["labels"]) not in family.label_sets():
        return "has the labels %s on the page" % sorted(map(sorted, family.label_sets()))
    wrong = metric_values(entry, [labels for _, labels, _ in family.samples], "on the page")
    if wrong:
        return wrong
    series = entry["name"]
    if family.kind == "histogram" and series == family.name:
        series += "_count"
    stored = [r["metric"] for r in demo.promql(series)]
    if not any(set(entry.get("labels", ())) <= set(labels) for labels in stored):
        return "by PromQL %s has %s" % (series, "these series: %s" % stored[:3] if stored else "no series")
    return metric_values(entry, stored, "by PromQL")


def metric_values(entry, series, where):
    for label, values in entry.get("values", {}).items():
        have = {labels.get(label) for labels in series}
        for value in values:
            if value not in have:
                return '%s=%s does not occur %s, only %s' % (label, value, where,
                                                            sorted(filter(None, have)))
    return None


def text_of(line):
    return next((line[key] for key in TEXT_KEYS if isinstance(line.get(key), str)), "")


def wrong_line(entry, line):
    level = entry.get("level")
    if level and line.get("level") != level:
        return "the level is %r, not %r" % (line.get("level"), level)
    return wrong_fields(line, entry.get("fields", {}))


def log(demo, entry):
    lines = demo.lines(entry["program"])
    found = [line for line in lines if same_text(text_of(line), entry["message"])]
    if not found:
        return "no such line among the %d of %s on stdout" % (len(lines), entry["program"])
    wrong = [w for w in (wrong_line(entry, line) for line in found) if w]
    if wrong and (entry.get("every") or len(wrong) == len(found)):
        return "on stdout %s: %s" % (wrong[0], json.dumps(found[-1])[:400])
    return log_in_server(demo, entry)


def log_in_server(demo, entry):
    service = entry.get("service") or demo.system.service(entry["program"])
    text = entry["message"].rstrip("*")
    query = '{service="%s"}%s' % (service, " |= " + json.dumps(text, ensure_ascii=False) if text else "")
    rows = demo.logql(query)
    if not rows:
        return "no line in the server for %s" % query
    asked = {f.replace(".", "_") for f in entry.get("fields", {})
             if f.partition(".")[0] not in RECORD_FIELDS and wanted_scalar(entry["fields"][f])
             and not re.search(r"\.\d", f)}
    if any(asked <= stored_names(fields) for _, _, fields in rows):
        return None
    return "the server's lines for %s lack %s: %s" % (
        query, sorted(asked - stored_names(rows[0][2])), rows[0][2])


def stored_names(fields):
    """The names of a stored line's fields. What a log format nests under "data" is stored flat."""
    names = {name.replace(".", "_") for name in fields}
    return names | {"data_" + name for name in names}


def wanted_scalar(want):
    """Objects and arrays are stored as their members, null is not stored."""
    return isinstance(want, dict) or not {"object", "array", "null"} & set(want.split("|"))


def attributes_of(span, trace):
    process = trace["processes"][span["processID"]]
    found = {t["key"]: t["value"] for t in process["tags"]}
    found.update({"service.name": process["serviceName"], "trace.id": trace["traceID"]})
    found.update({t["key"]: t["value"] for t in span["tags"]})
    return found


def wrong_span(entry, span, trace):
    spans = {s["spanID"]: s for s in trace["spans"]}
    attributes = attributes_of(span, trace)
    kind = attributes.get("span.kind", "internal")
    if entry.get("kind") and kind != entry["kind"].lower():
        return "its kind is %s, not %s" % (kind, entry["kind"])
    if "parent" in entry:
        parent = next((spans[r["spanID"]]["operationName"] for r in span["references"]
                       if r["refType"] == "CHILD_OF" and r["spanID"] in spans), None)
        if entry["parent"] != parent and not (parent and entry["parent"]
                                              and same_text(parent, entry["parent"])):
            return "its parent is %s, not %s" % (parent, entry["parent"])
    wanted = entry.get("attributes", [])
    for name in wanted:
        if name not in attributes:
            return "the attribute %s is missing, it has %s" % (name, sorted(attributes))
        if isinstance(wanted, dict):
            wrong = wrong_value(attributes[name], wanted[name])
            if wrong:
                return "the attribute %s %s" % (name, wrong)
    return None


def span(demo, entry):
    name = entry["name"]
    where = {} if name.endswith("*") else {"operation": name}
    wrong, seen = [], 0
    for trace in demo.traces(entry["service"], **where):
        for one in trace["spans"]:
            process = trace["processes"][one["processID"]]
            if process["serviceName"] != entry["service"] or not same_text(one["operationName"], name):
                continue
            seen += 1
            why = wrong_span(entry, one, trace)
            if why is None:
                return None
            wrong.append("%s (trace %s)" % (why, trace["traceID"]))
    if not seen:
        return "no such span of the service %s" % entry["service"]
    return "none of %d spans is right: %s" % (seen, min(wrong, key=wrong.count) if wrong else "")


def path(demo, entry):
    url = demo.url(entry["program"]) + entry["path"]
    body = entry.get("body")
    request = urllib.request.Request(url, method=entry.get("method", "GET"),
                                     data=None if body is None else json.dumps(body).encode(),
                                     headers=entry.get("request_headers", {}))
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, headers, text = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as e:
        status, headers, text = e.code, e.headers, e.read()
    if status != entry.get("status", 200):
        return "answers %d, not %d: %r" % (status, entry.get("status", 200), text[:200])
    for name, want in entry.get("headers", {}).items():
        wrong = wrong_value(headers.get(name), want)
        if wrong:
            return "the header %s %s" % (name, wrong)
    if "fields" not in entry:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return "answers no JSON: %r" % text[:200]
    wrong = wrong_fields(value, entry["fields"])
    return "%s: %s" % (wrong, text[:400].decode("utf-8", "replace")) if wrong else None


def panel(demo, entry):
    """entry: (title, kind of datasource, expression)."""
    _, kind, expr = entry
    if kind == "loki":
        return None if demo.logql(expr) else "no lines for %s" % expr
    results = demo.promql(expr)
    if not any(r["value"][1] != "NaN" for r in results):
        return "%s for %s" % ("only NaN" if results else "no data", expr)
    return hidden(demo, expr) if "vector(" in expr else None


def selectors(tree):
    """The vector selectors in an answer of parse_query."""
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    if isinstance(tree, dict):
        if "matchers" in tree:
            yield tree
        for part in tree.values():
            yield from selectors(part)


def hidden(demo, expr):
    """What `or vector(0)` would hide: a selector that finds nothing. One that looks for some values of a
    label, such as those of errors, may find nothing as long as there are others."""
    for found in selectors(demo.get("/api/v1/parse_query", query=expr)["data"]):
        every = ["%s=%s" % (m["name"], json.dumps(m["value"])) for m in found["matchers"] if m["type"] == "="]
        if not demo.promql("{%s}" % ",".join(every)):
            return "no data for {%s} in %s" % (",".join(every), expr)
    return None


def rule(demo, entry):
    """entry: (name, expression); its result may be empty, its evaluation must not fail."""
    demo.promql(entry[1])


# ---- all of it ----

def settle(demo, group, entries, check, name):
    """Checks the entries of a group, those that are wrong again until the time is over."""
    demo.group = group
    end = time.monotonic() + SECONDS
    left = {i: "not looked at" for i in range(len(entries))}
    while left:
        for i in list(left):
            try:
                wrong = check(demo, entries[i])
            except (OSError, KeyError, ValueError, demo.Failed) as e:
                wrong = "%s: %s" % (type(e).__name__, e)
            if wrong is None:
                del left[i]
                demo.passed(name(entries[i]))
            else:
                left[i] = wrong
        if left and time.monotonic() > end:
            break
        if left:
            demo.system.check()
            time.sleep(0.2)
    for i, wrong in left.items():
        asked = json.dumps(entries[i], ensure_ascii=False)
        demo.failed("%s: %s\n    asked: %s" % (name(entries[i]), wrong, asked[:400]))
    demo.group = "checks"


def missing_names(demo, group, wanted, have, where):
    demo.group = group
    for name in wanted:
        demo.check("%s is in %s" % (name, where), name in have, sorted(have))
    demo.group = "checks"


def named(*keys):
    return lambda entry: " ".join(str(entry[k]) for k in keys if k in entry)


def load(folder):
    with open(os.path.join(folder, "asked.json")) as f:
        return json.load(f)


def applies(entry):
    """An entry with "needs" holds only where that variable is set, like DATABASE_URL."""
    return not (isinstance(entry, dict) and entry.get("needs") and not os.environ.get(entry["needs"]))


def check_all(demo):
    asked = {key: [e for e in entries if applies(e)] for key, entries in load(demo.folder).items()
             if isinstance(entries, list)}
    settle(demo, "metrics", asked.get("metrics", []), metric, named("program", "name"))
    settle(demo, "logs", asked.get("logs", []), log, named("program", "message"))
    settle(demo, "spans", asked.get("spans", []), span, named("service", "name"))
    settle(demo, "paths", asked.get("paths", []), path, named("program", "method", "path"))
    check_dashboard(demo, asked)
    check_rules(demo, asked)


def check_dashboard(demo, asked):
    """Every query of every dashboard of the system has data; dashboard.json has the panels asked for."""
    queries = []
    for file in sorted(glob.glob(os.path.join(demo.folder, "dashboard*.json"))):
        with open(file) as f:
            board = json.load(f)
        panels = list(grafana.panels(board))
        if os.path.basename(file) == "dashboard.json":
            missing_names(demo, "panels", asked.get("panels", []), {p.get("title") for p in panels}, file)
        fill = grafana.Variables(board, demo.label_values)
        queries += [(p.get("title"), kind, fill(expr)) for p in panels for kind, expr in grafana.targets(p)]
    settle(demo, "panels", list(dict.fromkeys(queries)), panel, lambda e: e[0])


def check_rules(demo, asked):
    file = os.path.join(demo.folder, "alerts.yaml")
    with open(file) as f:
        rules = rule_files.rules(f.read())
    for group, kind, key in (("alerts", "alert", "alerts"), ("rules", "record", "recording_rules")):
        have = [(r[kind], r["expr"]) for r in rules if kind in r]
        missing_names(demo, group, asked.get(key, []), {name for name, _ in have}, file)
        settle(demo, group, have, rule, lambda e: e[0])
