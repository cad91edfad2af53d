# SPDX-License-Identifier: Apache-2.0
"""The checks of the demos themselves: each finds what is right, and says what is wrong when something is
missing, has another type, stands elsewhere or is in one sink only."""
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse

import pytest

from conftest import EXAMPLES

sys.path.insert(0, os.path.join(EXAMPLES, "common"))

import asked  # noqa: E402
import demo as demos  # noqa: E402
import grafana  # noqa: E402
import rule_files  # noqa: E402
from exposition import parse  # noqa: E402
from harness import get_json  # noqa: E402
from ports import bindable  # noqa: E402
from system import System, json_lines, port, token  # noqa: E402

PAGE = r'''# HELP jobs_total Jobs \\ by outcome\nand type
# TYPE jobs_total counter
jobs_total{type="a\"b{},",status="ok"} 3 1700000000000
jobs_total{status="bad",type="c"} 1.5e1
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1",route="/x"} 1
took_seconds_bucket{le="+Inf",route="/x"} 2
took_seconds_sum{route="/x"} 0.3
took_seconds_count{route="/x"} 2
# TYPE up gauge
up NaN
'''
LINE = {"message": "Image created", "level": "info", "image_id": "i1", "ms": 4, "big": True,
        "data": {"old_status": "a", "list": [{"id": "x"}]}}
TRACE = {"traceID": "ab" * 16, "processes": {
    "p1": {"serviceName": "api", "tags": [{"key": "host.name", "value": "h"}]}}, "spans": [
    {"spanID": "1", "processID": "p1", "operationName": "POST /x", "references": [],
     "tags": [{"key": "span.kind", "value": "server"}]},
    {"spanID": "2", "processID": "p1", "operationName": "parse",
     "references": [{"refType": "CHILD_OF", "spanID": "1"}], "tags": [{"key": "n", "value": 5}]}]}


class Fake:
    """A demo whose system and server hold just the things above."""
    Failed = demos.Failed
    group = "checks"

    def __init__(self):
        self.stored = {"jobs_total": [{"type": 'a"b{},', "status": "ok"}, {"type": "c", "status": "bad"}],
                       "took_seconds_count": [{"route": "/x"}], "up": [{}]}
        self.rows = [(1, "Image created", {"image_id": "i1", "ms": "4", "big": "true",
                                          "data_old_status": "a"})]
        self.passes, self.failures, self.system = [], [], self

    def service(self, program):
        return program

    def check(self):
        """As a system: everyone is alive."""

    def page(self, program):
        return parse(PAGE)

    def lines(self, program):
        return [LINE]

    def logql(self, selector):
        return self.rows if selector.startswith('{service="api"}') else []

    def promql(self, expr):
        if expr.startswith("!"):
            raise demos.Failed("parse error")
        return [{"metric": m, "value": [0, "NaN" if expr == "up" else "1"]} for m in
                self.stored.get(expr, [])]

    def traces(self, service, **parameters):
        return [TRACE]

    def passed(self, what):
        self.passes.append(what)

    def failed(self, what, seen=None):
        self.failures.append(what)


def entry(**values):
    return {"program": "api", **values}


@pytest.mark.parametrize("one, wrong", [
    (entry(name="jobs_total", type="counter", labels=["status", "type"]), None),
    (entry(name="jobs_total", values={"status": ["ok", "bad"]}), None),
    (entry(name="jobs_total", help="Jobs \\ by outcome\nand type"), None),
    (entry(name="took_seconds", type="histogram", labels=["route"]), None),
    (entry(name="took_seconds_count", type="histogram", labels=["route"]), None),
    (entry(name="jobs", type="counter"), "not on the /metrics page"),
    (entry(name="jobs_total", type="gauge"), "is a counter on the page, not a gauge"),
    (entry(name="jobs_total", labels=["status"]), "has the labels"),
    (entry(name="jobs_total", values={"status": ["late"]}), "does not occur on the page"),
    (entry(name="jobs_total", help="Jobs"), "its help is"),
    (entry(name="took_seconds_bucket", type="histogram"), "by PromQL"),
])
def test_metrics(one, wrong):
    said = asked.metric(Fake(), one)
    assert said is None if wrong is None else wrong in said


def test_a_metric_must_also_be_in_the_server():
    fake = Fake()
    fake.stored["jobs_total"] = [{"status": "ok"}]
    assert "by PromQL" in asked.metric(fake, entry(name="jobs_total", labels=["status", "type"]))
    fake.stored = {}
    assert "no series" in asked.metric(fake, entry(name="jobs_total"))


@pytest.mark.parametrize("one, wrong", [
    (entry(message="Image created", level="info", fields={"image_id": {"like": "^i"}, "ms": "integer",
                                                          "big": "boolean"}), None),
    (entry(message="Image*", fields={"data.old_status": "string", "data.list.0.id": {"is": "x"}}), None),
    (entry(message="*", every=True, fields={"image_id": "string|null"}), None),
    (entry(message="Image", fields={}), "no such line"),
    (entry(message="Image created", level="warn"), "the level is"),
    (entry(message="Image created", fields={"ms": "string"}), "not of type string"),
    (entry(message="Image created", fields={"big": "integer"}), "not of type integer"),
    (entry(message="Image created", fields={"ms": "boolean"}), "not of type boolean"),
    (entry(message="Image created", fields={"data.new_status": "string"}), "data.new_status is missing"),
    (entry(message="Image created", fields={"image_id": {"like": "^img"}}), "is not like"),
    (entry(message="Image created", fields={"ms": {"in": [5, 6]}}), "none of"),
    (entry(message="Image created", service="worker"), "no line in the server"),
])
def test_logs(one, wrong):
    said = asked.log(Fake(), one)
    assert said is None if wrong is None else wrong in said


def test_a_log_field_must_also_be_in_the_server():
    fake = Fake()
    del fake.rows[0][2]["image_id"]
    assert "lack" in asked.log(fake, entry(message="Image created", fields={"image_id": "string"}))


@pytest.mark.parametrize("one, wrong", [
    ({"name": "parse", "kind": "internal", "parent": "POST /x", "attributes": ["n", "host.name"]}, None),
    ({"name": "POST*", "kind": "SERVER", "parent": None, "attributes": {"trace.id": "string"}}, None),
    ({"name": "parse", "attributes": {"n": {"is": 5}}}, None),
    ({"name": "parsed"}, "no such span"),
    ({"name": "parse", "kind": "client"}, "its kind is internal"),
    ({"name": "parse", "parent": None}, "its parent is POST /x"),
    ({"name": "POST /x", "parent": "parse"}, "its parent is None"),
    ({"name": "parse", "attributes": ["m"]}, "the attribute m is missing"),
    ({"name": "parse", "attributes": {"n": "string"}}, "not of type string"),
])
def test_spans(one, wrong):
    said = asked.span(Fake(), {"service": "api", **one})
    assert said is None if wrong is None else wrong in said


def test_panels_need_data_and_rules_need_to_be_evaluated():
    fake = Fake()
    assert asked.panel(fake, ("A", "prometheus", "jobs_total")) is None
    assert "only NaN" in asked.panel(fake, ("A", "prometheus", "up"))
    assert "no data" in asked.panel(fake, ("A", "prometheus", "nothing"))
    assert asked.rule(fake, ("A", "nothing")) is None
    with pytest.raises(demos.Failed):
        asked.rule(fake, ("A", "!"))


def test_a_value_in_place_of_no_data_hides_nothing(server):
    fake = Fake()
    fake.get = lambda path, **query: get_json(server.http + path + "?" + urllib.parse.urlencode(query))
    expr = 'sum(rate(%s_total{job="x",status=~"5.."}[1m])) or vector(0)'
    fake.stored.update({expr % "jobs": [{}], expr % "jbos": [{}], '{job="x",__name__="jobs_total"}': [{}]})
    assert asked.panel(fake, ("A", "prometheus", expr % "jobs")) is None
    assert asked.panel(fake, ("A", "prometheus", expr % "jbos")).startswith(
        'no data for {job="x",__name__="jbos_total"} in ')


def test_every_query_of_every_dashboard_is_looked_at(monkeypatch, tmp_path):
    def write(file, panels):
        (tmp_path / file).write_text(json.dumps({"panels": [
            {"title": title, "type": "timeseries", "targets": [{"expr": expr} for expr in queries]}
            for title, queries in panels.items()]}))
    monkeypatch.setattr(asked, "SECONDS", 0)
    write("dashboard.json", {"Jobs": ["jobs_total", "took_seconds_count"]})
    write("dashboard_more.json", {"Jobs": ["jobs_total"], "More": ["jobs_total", "nothing"]})
    fake = Fake()
    fake.folder, fake.label_values = str(tmp_path), None
    fake.check = lambda what, value, seen: (fake.passed if value else fake.failed)(what)
    asked.check_dashboard(fake, {"panels": ["Jobs", "Missing"]})
    assert fake.passes[1:] == ["Jobs", "Jobs", "More"]
    assert [f.split(":")[0].split(" is in")[0] for f in fake.failures] == ["Missing", "More"]


def test_everything_is_asked_again_until_the_time_is_over(monkeypatch):
    monkeypatch.setattr(asked, "SECONDS", 0.5)
    fake, begun = Fake(), time.monotonic()

    def check(_, item):
        return None if item == "soon" and time.monotonic() > begun + 0.2 else "not there"
    asked.settle(fake, "metrics", ["soon", "never"], check, str)
    assert fake.passes == ["soon"] and fake.failures == [
        'never: not there\n    asked: "never"']


def test_paths_against_a_server(server):
    fake = Fake()
    fake.url = lambda program: server.http
    good = entry(path="/api/v1/query?query=1", fields={"status": {"is": "success"}, "data.result": "array"},
                 headers={"Content-Type": {"like": "json"}})
    assert asked.path(fake, good) is None
    assert "not 404" in asked.path(fake, {**good, "status": 404})
    assert "data.nothing is missing" in asked.path(fake, {**good, "fields": {"data.nothing": "string"}})
    assert asked.path(fake, entry(path="/api/v1/nothing", status=404)) is None


def test_variables_of_a_dashboard_are_filled_in():
    board = {"panels": [{"type": "row", "panels": [{"title": "x", "targets": [{"expr": "a"}]}]}],
             "templating": {"list": [
                 {"name": "job", "type": "query", "includeAll": True, "current": {"value": ["$__all"]}},
                 {"name": "route", "type": "query", "query": {"query": "label_values(m{a=\"b\"}, route)"}},
                 {"name": "env", "type": "custom", "query": "prod,dev"}]}}
    fill = grafana.Variables(board, lambda metric, label: [metric + "/" + label])
    assert fill('m{j=~"$job",e="${env:regex}",r="[[route]]"}[$__rate_interval]') == \
        'm{j=~".*",e="prod",r="m{a="b"}/route"}[1m]'
    assert [list(grafana.targets(p)) for p in grafana.panels({"dashboard": board})] == [
        [("prometheus", "a")]]
    with pytest.raises(ValueError):
        fill("m{a=\"$nothing\"}")


def test_rule_files_in_all_their_forms():
    text = ('groups:\n- name: a\n  rules:\n  - alert: One\n    expr: |\n      a /\n        b > 1\n\n'
            '    for: 5m\n    labels: {severity: page}\n  - record: "x:y"\n'
            '    expr: "rate(a{b=\\"c\\"}[5m])"\n  # no rule\n  - alert: Three\n    expr: >-\n      a\n'
            '      or b\n')
    assert rule_files.rules(text) == [
        {"alert": "One", "expr": "a /\nb > 1", "for": "5m"},
        {"record": "x:y", "expr": 'rate(a{b="c"}[5m])'}, {"alert": "Three", "expr": "a or b"}]
    with pytest.raises(ValueError):
        rule_files.rules("- alert: A\n")


def test_a_page_that_is_none_is_refused():
    for bad in ("a{b=c} 1", "a{b=\"c\"} ", "1a 2", "a{b=\"c\" d} 1", "a x"):
        with pytest.raises(ValueError):
            parse(bad)


def test_lines_that_are_not_whole_are_left_out():
    assert json_lines('{"a":1}\nnot json\n{"b":\n[1]\n{"c":2}') == [{"a": 1}]


def test_free_ports_differ_and_a_variable_decides(monkeypatch):
    ports = [port("NO_SUCH_PORT", 8080) for _ in range(50)]
    assert len(set(ports)) == 50 and 8080 not in ports
    monkeypatch.setenv("SOME_PORT", "4711")
    assert port("SOME_PORT", 8080) == 4711


def test_two_processes_find_different_ports():
    """Also when neither uses them yet, and when what used one is away."""
    script = "import ports; print(*[ports.free_port() for _ in range(250)], flush=True); input()"
    processes = [subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, text=True,
                                  stdout=subprocess.PIPE, cwd=os.path.join(EXAMPLES, "common"))
                 for _ in range(3)]
    try:
        found = [port for process in processes for port in process.stdout.readline().split()]
    finally:
        for process in processes:
            process.communicate("\n")
    assert len(found) == len(set(found)) == 3 * 250


def test_a_port_in_use_is_not_free():
    numbers = set()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as taken:
            taken.bind(("127.0.0.1", 0))
            numbers.add(bindable(taken.getsockname()[1]))
    assert numbers == {False}


def test_a_program_that_dies_is_named_with_its_last_words():
    class Dead(System):
        name = "dead"

        def start_all(self):
            self.start("common/standin", {"STANDIN_PORT": taken.getsockname()[1]})
            self.wait_http("http://127.0.0.1:9", 20)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit) as e, Dead(keep=True):
            pass
    first, _, rest = str(e.value).partition(":\n")
    assert "standin ended with" in first and rest


def test_all_programs_are_stopped_and_nothing_is_left():
    class Some(System):
        name = "some"

        def start_all(self):
            self.start_standin()

    with Some(quiet=True, keep=True) as system:
        process, folder = system.process("standin"), system.state.name
        assert process.poll() is None and os.path.isdir(folder)
        assert system.request("GET", "/health", url=system.outside)[0] == 200
        system.control(delay_ms=1)
    assert process.returncode == 0 and not os.path.exists(folder)


def test_tokens_are_three_parts():
    head, body, mac = token("u", "secret", team="t").split(".")
    assert head and body and mac and "=" not in head + body + mac


def test_a_demo_ends_with_what_failed(capsys, monkeypatch):
    monkeypatch.setenv("SONDE_ADDR", "127.0.0.1:1")
    one = demos.Demo(os.path.join(EXAMPLES, "staging"), ["--for", "1"])
    one.system = System()
    assert one.check("one", True) and one.until("two", lambda: 1)
    assert one.end() == 0
    assert capsys.readouterr().out == "demo staging: 2 checks passed\n"
    one.check("three", None, {"seen": 1})
    assert one.until("four", lambda: {}["key"], 0.1) is None
    assert one.end() == 1
    out = capsys.readouterr().out
    assert "three; seen: " + json.dumps({"seen": 1}) in out and "KeyError: 'key'" in out
    assert "demo staging: 2 of 4 checks failed" in out
