# SPDX-License-Identifier: Apache-2.0
"""`sonde check rules` and the rules API beside Debian's promtool and prometheus: the same verdict on good and
bad files, the same JSON."""
import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse

import pytest

from harness import ROOT, SONDE, Server, free_ports, get, get_json, wait_for

CORPUS = os.path.join(os.path.dirname(ROOT), "shared", "corpus", "rules")
R = "groups:\n- name: g\n  rules:\n"

GOOD = [
    "groups: []\n", "", R + "  - {record: 'a:b', expr: sum(up)}\n",
    R + "  - {alert: A, expr: up == 0, for: 1h30m, labels: {s: '{{ $value }}'}}\n",
    R + "  - {alert: A, expr: up, keep_firing_for: 5m,\n"
        "     annotations: {s: '{{ range query \"up\" }}{{ . }}{{ end }}'}}\n",
    "groups:\n- {name: g, interval: 15s, limit: 10, rules: []}\n- {name: h, rules: []}\n",
    R + "  - {record: a, expr: 1, labels: {n: 5, t: true}}\n",
    R + "  - {record: a, expr: up}\n  - {record: a, expr: up}\n",
    R + "  - alert: A\n    expr: |\n      up ==\n        0\n    for: 0\n",
    R + "  - {alert: A, expr: up, labels: {a: ''}}\n",
]
BAD = [
    "groups:\n- {name: g, rulez: []}\n", "groups: {}\n", "grops: []\n", "groups: [\n", "- a\n",
    "groups: text\n",
    "groups:\n- {rules: []}\n", "groups:\n- {name: g, rules: []}\n- {name: g, rules: []}\n",
    "groups:\n- {name: g, interval: 5, rules: []}\n", "groups:\n- {name: g, interval: 1.5h, rules: []}\n",
    "groups:\n- {name: g, limit: many, rules: []}\n", "groups:\n- {name: g, limit: 10kb, rules: []}\n",
    "groups:\n- {name: g, rules: {}}\n", R + "  - {record: a}\n", R + "  - {expr: a}\n",
    R + "  - {record: a, expr: ''}\n",
    R + "  - {record: a, alert: b, expr: up}\n", R + "  - {record: 'a{b=\"c\"}', expr: up}\n",
    R + "  - {record: a, expr: up, for: 1m}\n", R + "  - {record: a, expr: up, keep_firing_for: 1m}\n",
    R + "  - {record: a, expr: up, annotations: {a: b}}\n", R + "  - {record: a, expr: 'sum('}\n",
    R + "  - {record: a, expr: 'up[5m]', for: x}\n", R + "  - {record: a, expr: up, labels: {__name__: b}}\n",
    R + "  - {alert: a, expr: up, annotations: {s: '{{ nofunc }}'}}\n",
    R + "  - {alert: a, expr: up, labels: {s: '{{'}}\n",
    R + "  - {alert: a, expr: up, for: 5x}\n", R + "  - {alert: a, expr: up, labels: [a, b]}\n",
    R + "  - {alert: a, expr: up, exp: b}\n", R + "  - {alert: a, alert: b, expr: up}\n",
    R + "  - {alert: a, expr: up, labels: {'': b}}\n", R + "  - {alert: a, expr: up, for: -5m}\n",
    R + "  - {alert: a, expr: up, for: 30m1h}\n", R + "  - {alert: a, expr: nofunction(up)}\n",
]


@pytest.fixture(scope="module")
def promtool():
    if not shutil.which("promtool"):
        pytest.skip("promtool is missing (Debian: prometheus)")
    return "promtool"


def verdicts(program, paths):
    """What the program says of each file, all in one run, and its exit code."""
    p = subprocess.run([program, "check", "rules", *paths], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=60)
    parts = p.stdout.split("Checking ")[1:]
    assert len(parts) == len(paths), p.stdout
    return parts, p.returncode


def test_verdicts_are_those_of_promtool(promtool, tmp_path):
    for wanted, texts in ((True, GOOD), (False, BAD)):
        paths = [str(tmp_path / ("%03d.yaml" % i)) for i in range(len(texts))]
        for path, text in zip(paths, texts):
            with open(path, "w") as f:
                f.write(text)
        ours, our_code = verdicts(SONDE, paths)
        theirs, their_code = verdicts(promtool, paths)
        assert (our_code, their_code) == ((0, 0) if wanted else (3, 1))
        for text, our, their in zip(texts, ours, theirs):
            if "duplicate rule" in their:  # an error of its lint here, a warning of ours
                assert "duplicate rule" in our
                continue
            assert ("FAILED" not in their) == wanted, (text, their)
            assert ("SUCCESS" in our) == wanted, (text, our)
            assert not wanted or our == their or "warning: " in our


@pytest.mark.skipif(not os.path.isdir(CORPUS), reason="../shared/corpus/rules is missing")
def test_the_corpus_is_judged_alike(promtool):
    paths = [os.path.join(CORPUS, name) for name in sorted(os.listdir(CORPUS))]
    ours, our_code = verdicts(SONDE, paths)
    theirs, their_code = verdicts(promtool, paths)
    assert our_code == their_code == 0, ours
    for our, their in zip(ours, theirs):
        assert our == their or "duplicate rule" in our and "duplicate rule" in their


RULES = {"groups": [
    {"name": "g", "interval": "1s", "limit": 5, "rules": [
        {"record": "r", "expr": "sum( vector(1) )", "labels": {"a": "b"}},
        {"alert": "Fires", "expr": "vector(2)>1", "labels": {"sev": "x"},
         "annotations": {"s": "{{ $value }}"}},
        {"alert": "Waits", "expr": "vector(0.5)", "for": "1h"},
        {"alert": "Not", "expr": "vector(1) > 2", "for": "1m30s"},
        {"record": "nothing", "expr": "absent_metric * 2"},
    ]}]}


def shape(v):
    """Keys in their order with the types of what is below; times and durations differ."""
    if isinstance(v, dict):
        return [(k, shape(x)) for k, x in v.items()]
    if isinstance(v, list):
        return [shape(x) for x in v]
    return type(v).__name__ if not isinstance(v, (int, float)) or isinstance(v, bool) else "number"


def as_2_42(v):
    """Version 2.42 leaves out the labels of a recording rule that has none; 3 has them."""
    if isinstance(v, dict):
        bare = v.get("type") == "recording" and v.get("labels") == {}
        return {k: as_2_42(x) for k, x in v.items() if not (bare and k == "labels")}
    return [as_2_42(x) for x in v] if isinstance(v, list) else v


def plain(groups):
    """What both must say with the same words."""
    same = ("name", "query", "duration", "labels", "annotations", "health", "type", "state")
    out = []
    for g in groups:
        out.append([{k: r[k] for k in same if k in r} for r in g["rules"]])
        out.append([[(a["labels"], a["annotations"], a["state"], a["value"]) for a in r.get("alerts") or []]
                    for r in g["rules"]])
    return out


def test_the_rules_api_is_that_of_prometheus():
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is missing (Debian: prometheus)")
    folder = tempfile.mkdtemp(prefix="rules-")
    port = free_ports(1)[0]
    with open(folder + "/r.yaml", "w") as f:
        json.dump(RULES, f)
    with open(folder + "/p.yaml", "w") as f:
        f.write("rule_files: [%s/r.yaml]\n" % folder)
    theirs = "http://127.0.0.1:%d" % port
    p = subprocess.Popen(["prometheus", "--config.file", folder + "/p.yaml",
                          "--storage.tsdb.path", folder + "/data", "--web.listen-address", theirs[7:]],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Server(args=["--rules", folder + "/r.yaml"]) as s:
            def ready(url):
                groups = get_json(url + "/api/v1/rules")["data"]["groups"]
                return all(r["health"] == "ok" for g in groups for r in g["rules"]) and groups

            def compare(path):
                ours = get_json(s.http + path)["data"]
                other = get_json(theirs + path)["data"]
                assert shape(as_2_42(ours)) == shape(other), path
                return as_2_42(ours), other
            wait_for("prometheus", lambda: ready(theirs), 40)
            wait_for("sonde", lambda: ready(s.http), 40)
            ours, other = compare("/api/v1/rules")
            assert plain(ours["groups"]) == plain(other["groups"])
            for query in ("type=alert", "type=record"):
                compare("/api/v1/rules?" + query)
            ours, other = compare("/api/v1/alerts")
            key = lambda a: sorted(a["labels"].items())
            assert [key(a) for a in sorted(ours["alerts"], key=key)] == [
                key(a) for a in sorted(other["alerts"], key=key)]
            compare("/api/v1/alertmanagers")
            for url in (s.http, theirs):
                with pytest.raises(AssertionError, match="400"):
                    get(url + "/api/v1/rules?type=" + urllib.parse.quote("x y"))
    finally:
        p.terminate()
        p.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
