# SPDX-License-Identifier: Apache-2.0
"""PromQL expressions that sonde and Prometheus's own parser must read alike: the same error with the same
position, or the same canonical and pretty text. The expressions: the rule files and dashboards of
../shared, our own scripts, and those with pieces changed."""
import glob
import json
import os
import random
import re
import shutil
import subprocess

import pytest
import yaml

from harness import BUILD, FULL, ROOT
from native import sanitizers

SHARED = os.path.join(ROOT, "../shared/corpus")
CHANGED = 60000 if FULL else 5000
OWN = ["http_requests_total", "sum by (a) (rate(foo[5m]))", "foo[5m:1m] offset 1h @ start()", "topk(3, a)",
       "a + on (x) group_left (y) b", "a and ignoring (x) b", "-foo ^ 2 > bool 1", "foo[step() + 1m] anchored",
       "a offset min_of(range(), 5m)", 'label_replace(a, "b", "$1", "c", "(.*)")', "limitk(2, a)",
       'info(a, {x=~"y"})', "a + fill (1) b", "1e3 + 0x1F + 010 + 1_000", 'count_values("v", a) without (b)',
       '{"a.b", "c.d"!="x"}', "rate(a[5m] smoothed) </ 3", "max_over_time(a[1h:5m])[2h:1m] offset -(5m * 2)"]
PIECES = ["(", ")", "{", "}", "[", "]", ",", "+", "-", "*", "/", "^", "%", "@", "offset", "by", "on", "ignoring",
          "group_left", "bool", "sum", "rate", "5m", "1", '"a"', "foo", "a:b", "=", "==", "=~", "!=", "</", ">/",
          "start()", "end()", "step()", "range()", "min_of(", "anchored", "smoothed", "fill(1)", "fill_left",
          "5m3d", "0x1F", "010", "1_000", "1e3", ".5", "inf", "NaN", "or", "unless", "atan2", "without", "topk",
          "limitk", ":", "#c\n", " ", "\n", "é", "\\", "$", ".", "ms"]
# PCRE2 and RE2 say differently what is wrong with a regular expression.
REGEX = "error parsing regexp"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """(Prometheus's, ours)"""
    if not shutil.which("go"):
        pytest.skip("go is not installed")
    folder = tmp_path_factory.mktemp("promql")
    theirs, ours = str(folder / "theirs"), str(folder / "ours")
    built = subprocess.run(["go", "build", "-o", theirs, "."],
                           cwd=os.path.join(ROOT, "tests/interop/go_promql_parse"),
                           env={**os.environ, "GOFLAGS": "-mod=mod"}, capture_output=True, text=True,
                           timeout=300)
    if built.returncode:
        pytest.skip("Prometheus's parser cannot be built: " + built.stderr[-300:])
    used = sanitizers()
    flags = ["-fsanitize=" + used, "-fno-sanitize-recover=all"] if used else []
    libraries = [os.path.join(BUILD, "libsonde_%s.a" % name) for name in ("query", "store", "codec", "base")]
    subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", *flags, "-I", ROOT,
                    "-I", os.path.join(ROOT, "src"), os.path.join(ROOT, "tests/interop/promql_dump.c"), *libraries,
                    "-lpcre2-8", "-lroaring", "-lzstd", "-lz", "-lxxhash", "-lsnappy", "-lm", "-lpthread",
                    "-o", ours], check=True, timeout=120)
    return theirs, ours


def expressions_of(tree):
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == "expr" and isinstance(value, str):
                yield value
            else:
                yield from expressions_of(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from expressions_of(value)


def variables_filled(text):
    """What Grafana sends for a panel's query."""
    text = re.sub(r"\[\$\{?\w+(:\w+)?\}?(:[^\]]*)?\]", r"[5m\2]", text)
    text = re.sub(r"\$__(rate_)?interval(_ms)?\b|\$\{__(rate_)?interval(_ms)?\}|\$interval\b|\$resolution\b", "1m",
                  text)
    text = re.sub(r"\$__range(_s|_ms)?\b|\$\{__range(_s|_ms)?\}", "1h", text)
    return re.sub(r"\$\{\w+(:\w+)?\}|\$\w+|\[\[\w+(:\w+)?\]\]", "x", text)


def of_prometheus(panel):
    kind = panel.get("datasource")
    kind = kind.get("type", "prometheus") if isinstance(kind, dict) else kind
    return kind not in ("loki", "elasticsearch", "tempo", "jaeger", "grafana-opensearch-datasource")


def dashboard_expressions(tree, inherited=True):
    if isinstance(tree, dict):
        inherited = inherited and of_prometheus(tree)
        if isinstance(tree.get("expr"), str) and inherited:
            yield variables_filled(tree["expr"])
        for value in tree.values():
            yield from dashboard_expressions(value, inherited)
    elif isinstance(tree, list):
        for value in tree:
            yield from dashboard_expressions(value, inherited)


def rule_corpus():
    return [e for path in sorted(glob.glob(SHARED + "/rules/*.y*ml"))
            for e in expressions_of(yaml.safe_load(open(path)))]


def dashboard_corpus():
    return [e for path in sorted(glob.glob(SHARED + "/dashboards/**/*.json", recursive=True))
            for e in dashboard_expressions(json.load(open(path))) if e.strip()]


def run(program, texts):
    done = subprocess.run([program], input="".join(json.dumps(t) + "\n" for t in texts), capture_output=True,
                          text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def sorted_matchers(tree):
    """The printed form sorts what is in braces."""
    if isinstance(tree, dict):
        return {k: sorted(v, key=json.dumps) if k == "matchers" else sorted_matchers(v) for k, v in tree.items()}
    return [sorted_matchers(v) for v in tree] if isinstance(tree, list) else tree


def compare(programs, texts):
    """How many both accept."""
    theirs, ours = run(programs[0], texts), run(programs[1], texts)
    assert len(theirs) == len(ours) == len(texts)
    accepted = 0
    for text, a, b in zip(texts, theirs, ours):
        b.pop("tree", None)
        if REGEX in a.get("error", ""):
            a["error"], b["error"] = (side["error"].split(REGEX)[0] for side in (a, b))
        assert a == b, text
        accepted += "text" in a
    return accepted


def changed(texts, count, seed):
    r = random.Random(seed)
    texts = [t for t in texts if len(t) < 200]
    for _ in range(count):
        text = r.choice(texts)
        for _ in range(r.choice((1, 1, 2, 3))):
            at, kind = r.randrange(len(text) + 1), r.random()
            if kind < 0.4:
                text = text[:at] + r.choice(["", " "]) + r.choice(PIECES) + r.choice(["", " "]) + text[at:]
            elif kind < 0.7:
                text = text[:at] + text[at + r.randrange(1, 4):]
            else:
                other = r.choice(texts)
                from_ = r.randrange(len(other) + 1)
                text = text[:at] + other[from_:from_ + r.randrange(20)] + text[at:]
        yield text


def test_our_own_expressions(programs):
    assert compare(programs, OWN) == len(OWN)


@pytest.mark.parametrize("corpus", [rule_corpus, dashboard_corpus])
def test_a_published_corpus(programs, corpus):
    texts = corpus()
    if not texts:
        pytest.skip("../shared/corpus is not here")
    assert compare(programs, texts) > len(texts) * 0.98
    answers = run(programs[1], texts)
    printed = [(a["text"], a["pretty"], a["tree"]) for a in answers if "tree" in a]
    for form in (0, 1):
        again = run(programs[1], [p[form] for p in printed])
        for p, b in zip(printed, again):
            assert sorted_matchers(b.get("tree")) == sorted_matchers(p[2]), p[form]


def test_changed_expressions(programs):
    texts = OWN + [t for t in rule_corpus() if len(t) < 200]
    accepted = compare(programs, list(changed(texts, CHANGED, 7)))
    assert accepted > CHANGED * 0.05
