# SPDX-License-Identifier: Apache-2.0
"""The alert and recording rules of each system, judged by promtool: they are valid, their
tests pass, and the tests notice when an alert always fires or never does."""
import copy
import os
import shutil
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


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_tests_notice_a_wrong_alert(system, tmp_path):
    """Each alert once as one that always fires, once as one that never does."""
    document = load(file(system, "alerts.yaml"))
    shutil.copy(file(system, "alerts_test.yaml"), tmp_path)
    for number, rule in enumerate(rules_of(document)):
        if "alert" not in rule:
            continue
        for expr in ("vector(1)", "vector(0) > 1"):
            changed = copy.deepcopy(document)
            other = rules_of(changed)[number]
            other["expr"] = expr
            other.pop("for", None)
            (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(changed))
            code, text = judge("promtool", "test", "rules", str(tmp_path / "alerts_test.yaml"))
            assert code != 0, "%s as %s passes: %s" % (rule["alert"], expr, text)


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
