# SPDX-License-Identifier: Apache-2.0
"""`sonde test rules`: promtool's verdicts over Prometheus's own test files (where its Go module is) and over
ours; options, output, exit codes; the reference of templates."""
import glob
import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from harness import ROOT, SONDE

TESTDATA = sorted(glob.glob(os.path.expanduser(
    "~/go/pkg/mod/github.com/prometheus/prometheus@v0.316.0/cmd/promtool/testdata")))
# File, options, whether it passes in Prometheus 3.
VERDICTS = [
    ("unittest.yml", [], True),
    ("bad-input-series.yml", [], False),
    ("bad-promql.yml", [], False),
    ("bad-rules-syntax-test.yml", [], False),
    ("bad-rules-error-test.yml", [], False),
    ("failing.yml", [], False),
    ("at-modifier-test.yml", [], True),
    ("negative-offset-test.yml", [], True),
    ("experimental-functions-test.yml", [], False),
    ("experimental-functions-test.yml", ["--enable-feature", "promql-experimental-functions,native-histograms"], True),
    ("no-test-group-interval.yml", [], True),
    ("start-time-test.yml", [], True),
    ("rules_run.yml", [], False),
    ("rules_run_no_fuzzy.yml", [], False),
]
RULES = """
groups:
  - name: g
    rules:
      - alert: Down
        expr: up == 0
        for: 2m
        labels: {severity: '{{ if eq $labels.job "api" }}critical{{ else }}info{{ end }}'}
        annotations: {summary: "{{ $labels.job }} of {{ $externalLabels.region }} is down: {{ $value }}"}
      - record: job:up:sum
        expr: sum by (job) (up)
"""
TESTS = """
rule_files: [rules.yaml]
tests:
  - name: fires
    interval: 1m
    external_labels: {region: eu}
    input_series: [{series: 'up{job="api"}', values: '1 0x10'}]
    alert_rule_test:
      - {eval_time: 2m, alertname: Down}
      - eval_time: 3m
        alertname: Down
        exp_alerts: [{exp_labels: {job: api, severity: critical}, exp_annotations: {summary: SUMMARY}}]
    promql_expr_test:
      - {expr: job:up:sum, eval_time: 1m, exp_samples: [{labels: 'job:up:sum{job="api"}', value: 0}]}
      - {expr: 'ALERTS{alertstate="firing"}', eval_time: 2m}
      - expr: h
        eval_time: 0
  - name: other
    input_series: [{series: h, values: '{{schema:1 count:3 sum:5 buckets:[1 2]}}+{{schema:1 count:1 buckets:[1]}}x3'}]
    promql_expr_test:
      - expr: sum(h)
        eval_time: 1m
        exp_samples: [{labels: '{}', histogram: '{{schema:1 count:4 sum:5 counter_reset_hint:not_reset buckets:[2 2]}}'}]
"""


def run(*arguments):
    done = subprocess.run([SONDE, "test", "rules", *arguments], capture_output=True, text=True, timeout=120)
    assert "AddressSanitizer" not in done.stderr and "runtime error:" not in done.stderr, done.stderr
    return done


def write(folder, summary="api of eu is down: 0", tests=TESTS):
    (folder / "rules.yaml").write_text(RULES)
    path = folder / "tests.yaml"
    path.write_text(tests.replace("SUMMARY", '"%s"' % summary))
    return str(path)


@pytest.mark.skipif(not TESTDATA, reason="Prometheus's Go module (v0.316.0) is not in ~/go")
@pytest.mark.parametrize("name,options,passes", VERDICTS, ids=lambda v: v if isinstance(v, str) else None)
def test_prometheus_own_test_files_have_its_verdict(name, options, passes):
    path = os.path.join(TESTDATA[-1], name)
    if not os.path.exists(path):
        pytest.skip("this version of Prometheus has no " + name)
    done = run(*options, path)
    assert done.returncode == (0 if passes else 3), done.stdout + done.stderr


def test_what_is_got_and_wanted_is_told(tmp_path):
    done = run(write(tmp_path, summary="something else"))
    assert done.returncode == 3
    assert "    name: fires,\n    alertname: Down, time: 3m, \n        exp:[\n            0:" in done.stderr
    assert 'Annotations:{summary="something else"}' in done.stderr
    assert 'Annotations:{summary="api of eu is down: 0"}' in done.stderr
    assert 'Labels:{alertname="Down", job="api", severity="critical"}' in done.stderr


def test_tests_are_chosen_by_name_and_told_as_json_and_junit(tmp_path):
    path = write(tmp_path, summary="something else")
    done = run("--run", "^oth", path)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stderr
    junit = str(tmp_path / "junit.xml")
    done = run("--json", "--junit", junit, path)
    assert done.returncode == 3
    (suite,) = json.loads(done.stdout)
    assert [(t["name"], t["passed"]) for t in suite["tests"]] == [("fires", False), ("other", True)]
    root = ElementTree.parse(junit).getroot()
    assert [c.get("name") for c in root.iter("testcase")] == ["fires", "other"]
    assert len(list(root.iter("failure"))) == len(suite["tests"][0]["failures"]) == 1


@pytest.mark.parametrize("change,said", [
    (("eval_time: 2m", "eval_tim: 2m"), "field eval_tim is not known here"),
    (("interval: 1m", "interval: soon"), 'not a valid duration string: "soon"'),
    (("'1 0x10'", "'1 0x'"), "a number of repetitions"),
    (("sum:5 buckets", "sum:5 bucket"), "the description of a histogram"),
    (("[rules.yaml]", "[nothing.yaml]"), "WARNING: no file match pattern"),
    (("rule_files:", "group_eval_order: [a, a]\nrule_files:"), "group name repeated in evaluation order: a"),
    (("expr: sum(h)", "expr: sum(h"), "parse error"),
])
def test_what_is_wrong_is_told_with_its_place(tmp_path, change, said):
    assert change[0] in TESTS
    done = run(write(tmp_path, tests=TESTS.replace(*change)))
    assert done.returncode == 3 and said in done.stderr, done.stderr


def test_wrong_usage():
    assert run().returncode == 2 and run("--nothing").returncode == 2
    assert run("--run", "(", "x").returncode == 2
    assert run("--enable-feature", "native-histograms,nothing", "x").returncode == 2
    assert run("/nowhere/tests.yaml").returncode == 1


def test_the_reference_of_templates_is_up_to_date():
    with open(os.path.join(ROOT, "docs/reference/templates.md"), encoding="utf-8") as f:
        assert f.read() == run("--templates").stdout, "run tools/reference.py --templates BUILD/sonde"
