# SPDX-License-Identifier: Apache-2.0
"""The alert and recording rules of each system, judged by promtool: they are valid, their
tests pass, and each alert fires in one and stays silent in another that has its series."""
import os
import re
import subprocess
import sys

import pytest
import yaml

from conftest import EXAMPLES, SYSTEMS

sys.path.insert(0, os.path.join(EXAMPLES, "common"))

import rule_files  # noqa: E402


def file(system, name):
    return os.path.join(EXAMPLES, system, name)


def load(path):
    with open(path) as f:
        return yaml.safe_load(f)


def rules_of(document):
    return [rule for group in document["groups"] for rule in group["rules"]]


def judge(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("system", SYSTEMS)
def test_rules_are_valid_and_pass_their_tests(system):
    for verb, name in (("check", "alerts.yaml"), ("test", "alerts_test.yaml")):
        code, text = judge("promtool", verb, "rules", file(system, name))
        assert code == 0, text


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_alert_fires_and_does_not_fire(system):
    alerts = {r["alert"] for r in rules_of(load(file(system, "alerts.yaml"))) if "alert" in r}
    fires, silent = set(), set()
    for test in load(file(system, "alerts_test.yaml"))["tests"]:
        assert test.get("input_series"), "a test without series shows nothing: %s" % test
        for one in test.get("alert_rule_test", []):
            (fires if one.get("exp_alerts") else silent).add(one["alertname"])
    assert alerts and fires == alerts and silent >= alerts


SETS = re.compile(r"\b(?:and|or|unless)\b")
LIMIT = re.compile(r"\s*[<>]=?\s*[-+\d.e]+\s*$")


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_tests_notice_a_wrong_alert(system, tmp_path):
    """Where an alert stays silent, its value is there and within the threshold: without the comparison at
    the end it would fire."""
    tests = load(file(system, "alerts_test.yaml"))
    for number, rule in enumerate(rules_of(load(file(system, "alerts.yaml")))):
        if "alert" not in rule or not LIMIT.search(rule["expr"]) or SETS.search(rule["expr"]):
            continue
        document = load(file(system, "alerts.yaml"))
        changed = rules_of(document)[number]
        changed["expr"] = LIMIT.sub("", rule["expr"])
        its = [{**test, "alert_rule_test": own, "promql_expr_test": []} for test in tests["tests"]
               if (own := [one for one in test.get("alert_rule_test", [])
                           if one["alertname"] == rule["alert"]])]
        (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(document))
        (tmp_path / "alerts_test.yaml").write_text(yaml.safe_dump({**tests, "tests": its}))
        code, text = judge("promtool", "test", "rules", str(tmp_path / "alerts_test.yaml"))
        assert code != 0 and "alertname" in text, "%s is silent for want of data: %s" % (rule["alert"], text)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_demo_reads_the_file_as_yaml_does(system):
    path = file(system, "alerts.yaml")
    with open(path) as f:
        read = rule_files.rules(f.read())
    wanted = rules_of(load(path))
    assert [r.get("alert") for r in read] == [r.get("alert") for r in wanted]
    assert [" ".join(r["expr"].split()) for r in read] == [" ".join(r["expr"].split()) for r in wanted]
    assert [r.get("for") for r in read] == [r.get("for") for r in wanted]


@pytest.mark.parametrize("system", SYSTEMS)
def test_alerts_have_a_summary(system):
    for rule in rules_of(load(file(system, "alerts.yaml"))):
        if "alert" in rule:
            assert rule.get("annotations", {}).get("summary"), rule["alert"]
