# SPDX-License-Identifier: Apache-2.0
"""What a system's description asks for stands in its asked.json, which the demo asserts, or in the checklist
of its README. The names are taken from the description mechanically, so that none is forgotten by hand;
where the descriptions are not at hand, this is skipped."""
import glob
import json
import os
import re

import pytest

from conftest import EXAMPLES, SYSTEMS
from harness import ROOT

# A text that only the description of that system holds.
MARKS = {"framecast": "framecast-api", "staging": "Real Staging AI", "personaworlds": "PersonaWorlds",
         "sixseven": "sixseven_", "debug-server": "debug_server"}
UNITS = r"total|seconds|current|bytes|conns|length|depth|goroutines|jobs"
METRIC = re.compile(r"(?<![\w/.\"])([a-z][a-z0-9]*(?:_[a-z0-9]+)*_(?:%s)(?:_bucket|_sum|_count)?)(?![\w\"])"
                    r"(?:\{([^}=]*)\})?" % UNITS)
WITH_LABELS = re.compile(r"(?<![\w\"])([a-z][a-z0-9_]+)\{(\w+(?:, ?\w+)*)\}")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^([ \t]*)```(\w*)[^\n]*\n(.*?)^\s*```", re.M | re.S)
WORD = re.compile(r"[A-Za-z0-9_]{4,}")
# Words of headings and lists that say nothing about a requirement.
EMPTY_WORDS = set("""about active across after also always application been before between building built code each
    either example examples feature features file files from full have high into issues just like local
    long make medium must name need needed notes only other over overview priority purpose real should
    suggested such system that their them then there these they this those three tasks type types usage
    used using very view viewing what when where which with your""".split())


def stem(word):
    return word.lower()[:5]


def words(text):
    return {stem(w) for w in WORD.findall(text) if w.lower() not in EMPTY_WORDS}


class Guide:
    def __init__(self, text):
        self.fences = [(language, body) for _, language, body in FENCE.findall(text)]
        self.prose = FENCE.sub("", re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S))
        self.text = text

    def headings(self):
        """All but the text's own title."""
        return [h.strip() for h in re.findall(r"^##+ (.*)$", self.prose, re.M)]

    def sections(self, word):
        """The prose below each heading that holds the word."""
        parts = re.split(r"^#+ (.*)$", self.prose, flags=re.M)
        return [body for head, body in zip(parts[1::2], parts[2::2]) if word.lower() in head.lower()]

    def metrics(self):
        """{name: labels, or None where the text names none}"""
        found = {}
        plain = [body for language, body in self.fences if language not in ("json", "python")]
        for text in [self.prose, *plain]:
            for pattern in (METRIC, WITH_LABELS):
                for match in pattern.finditer(text):
                    name = re.sub(r"_(bucket|sum|count)$", "", match.group(1))
                    labels = [x.strip() for x in (match.group(2) or "").split(",") if x.strip()]
                    found[name] = labels or found.get(name)
        return found

    def code_spans(self):
        return {s.strip() for s in CODE_SPAN.findall(self.prose)
                if ".codex" not in s and not s.endswith("...")}

    def messages(self):
        """What the Rust code of a text logs and records."""
        return {text for language, body in self.fences if language == "rust"
                for text in re.findall(r'(?:info!\([^"]*|record\()"([^"]+)"', body)}

    def json_keys(self):
        return {key for language, body in self.fences if language in ("json", "rust", "")
                for key in re.findall(r'"(\w+)":', body)}

    def paths(self):
        found = set(re.findall(r"\b(?:GET|POST|PUT|DELETE) (/[\w/{}.:-]+)", self.text))
        return found | {p for p in re.findall(r"(?:localhost)?:\d{4}(/[\w/-]+)", self.text)
                        if "/api/v1/push" not in p}

    def variables(self):
        return set(re.findall(r"\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b", self.text))

    def alerts(self):
        return set(re.findall(r"\balert: (\w+)", self.text))

    def tree(self):
        return {re.sub(r"\s*\(.*?\)", "", name).strip()
                for name in re.findall(r"[├└]── ?([^\n]+)", self.text)}

    def panels(self):
        return {name for body in self.sections("Grafana Dashboard")
                for name in re.findall(r"^\d+\. \*\*(.+?)\*\*", body, re.M)}

    def events(self):
        return {name for body in self.sections("Log Events")
                for name in re.findall(r"^- `(\w+)`", body, re.M)}

    def queries(self):
        """Each PromQL expression of the text, without its white space."""
        found = set()
        for language, body in self.fences:
            if language == "promql":
                for part in re.split(r"\n\s*\n", body):
                    found.add(squeeze(re.sub(r"^\s*#.*$", "", part, flags=re.M)))
            for expr in re.findall(r"expr: (?!\|)(.+)", body):
                found.add(squeeze(expr))
            for _, expr in re.findall(r"^(\s*)expr: \|\n((?:^\s{2,}.*\n)+?)(?=^\S|^for:)", body, re.M):
                found.add(squeeze(expr))
        return found - {""}

    def items(self):
        """List items and table rows: one requirement each, in the words of the text. What speaks of the
        text itself (its date, its links, its own to-do list) is none."""
        found = re.findall(r"^\s*(?:[-*]|\d+\.|[✅❌])\s+(.*)$", self.prose, re.M)
        rows = re.findall(r"^\|(.*)\|\s*$(?!\n\|[\s:-]*-)", self.prose, re.M)
        own = re.compile(r"\*\*(ID|Created|Owner|Status)\*\*|\[ \]|\[[^]]*\]\([^)]*\)$|[\s|:-]+$")
        return [text.strip() for text in found + rows
                if ".codex" not in text and not own.match(text.strip()) and len(words(text)) > 1]


def squeeze(text):
    return re.sub(r"\s+", "", text)


def guide(system):
    for path in sorted(glob.glob(os.path.join(os.path.dirname(ROOT), "shared/seeds/*"))):
        with open(path, errors="replace") as f:
            text = f.read()
        if MARKS[system] in text:
            return Guide(text)
    pytest.skip("the description of %s is not at hand" % system)


class Answer:
    """What the folder of a system says about itself."""

    def __init__(self, system):
        folder = os.path.join(EXAMPLES, system)

        def read(name):
            with open(os.path.join(folder, name)) as f:
                return f.read()
        self.readme = read("README.md")
        self.asked = json.loads(read("asked.json"))
        self.asked_text = json.dumps(self.asked, ensure_ascii=False)
        self.checklist = re.split(r"^## Checklist\s*$", self.readme, flags=re.M)[-1]
        self.everything = "\n".join([self.readme, self.asked_text, *strings(self.asked),
                                     *(read(os.path.basename(path)) for path in
                                       glob.glob(folder + "/dashboard*.json"))]).lower()
        self.not_in_c = json.dumps(self.asked.get("not_in_c", []), ensure_ascii=False)
        self.rows = [words(line) for line in self.checklist.splitlines() if line.startswith("|")]
        self.rows += [words(json.dumps(e)) for e in self.asked.get("not_in_c", [])]
        self.queries = squeeze(self.readme + read("alerts.yaml"))
        for value in (self.asked, json.loads(read("dashboard.json"))):
            self.queries += "".join(squeeze(s) for s in strings(value))

    def names(self, text):
        """The text stands somewhere in the list, in the README or in a dashboard."""
        return text.lower() in self.everything


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def none(missing):
    """Fails with all of them, one a line."""
    assert not missing, "in neither asked.json nor README.md:\n" + "\n".join(sorted(missing))


@pytest.fixture(params=SYSTEMS)
def pair(request):
    return guide(request.param), Answer(request.param)


def test_metrics(pair):
    text, answer = pair
    have = {}
    for entry in answer.asked["metrics"]:
        have.setdefault(re.sub(r"_(bucket|sum|count)$", "", entry["name"]), []).append(entry)
    fields = set(re.findall(r'"([\w.]+)"', json.dumps([answer.asked.get("logs"), answer.asked.get("paths")])))
    missing = {name for name in text.metrics() if name not in have and name not in answer.not_in_c
               and name not in fields}
    none(missing)
    for name, labels in text.metrics().items():
        if labels and name in have:
            assert any(set(e.get("labels", [])) == set(labels) for e in have[name]), (name, labels)


def test_log_events(pair):
    text, answer = pair
    none(text.events() - {e["message"] for e in answer.asked["logs"]})


def test_span_names(pair):
    text, answer = pair
    have = {e["name"] for e in answer.asked["spans"]}
    none({n for n in text.tree() if n not in have and n not in answer.readme})


def test_alerts_and_panels(pair):
    text, answer = pair
    none(text.alerts() - set(answer.asked["alerts"]))
    none(text.panels() - set(answer.asked["panels"]))


def test_paths(pair):
    text, answer = pair
    have = " ".join(e["path"] for e in answer.asked["paths"])
    none({p for p in text.paths() if p not in have and p not in answer.readme})


def test_names_in_code_and_json(pair):
    text, answer = pair
    asked = text.code_spans() | text.json_keys() | text.variables() | text.messages()
    none({s for s in asked if not answer.names(s)})


def test_queries(pair):
    text, answer = pair
    none({q for q in text.queries() if q not in answer.queries})


def test_headings(pair):
    text, answer = pair
    have = words(answer.readme + answer.asked_text)
    none([h for h in text.headings() if words(h) - have])


def test_lists_and_tables(pair):
    """Each item has a row in the checklist that speaks of the same: it shares a third of its words. An item
    that begins with a name, or a panel's title, is answered by that in the list."""
    text, answer = pair

    def answered(item):
        name, panel = re.match(r"`([^`]+)`", item), re.match(r"\*\*(.+?)\*\*", item)
        if panel and panel.group(1) in answer.asked["panels"] or name and answer.names(name.group(1)):
            return True
        return any(3 * len(words(item) & row) >= len(words(item)) for row in answer.rows)

    none([item for item in text.items() if not answered(item)])


def test_the_extraction_finds_something():
    """A description of another form would make the other tests pass without a look."""
    for system in SYSTEMS:
        text = guide(system)
        assert len(text.headings()) > 5 and len(text.items()) > 4 and text.code_spans() | text.json_keys()
        if system != "debug-server":
            assert len(text.metrics()) >= 6 and text.paths()
    assert len(guide("sixseven").events()) == 28 and len(guide("sixseven").panels()) == 6
    assert len(guide("staging").panels()) == 8 and len(guide("staging").alerts()) == 5
    assert len(guide("staging").tree()) == 9
    assert len(guide("framecast").messages()) == 4
