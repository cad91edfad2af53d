# SPDX-License-Identifier: Apache-2.0
"""Random PromQL over random data, always the same in these tests: the server answers as Prometheus's engine does
on the same samples, and where the language is older, as Debian's Prometheus does. More of it, and the
reasons that a difference may have: ./bench promql-diff."""
import shutil
import subprocess

import pytest

import promql_diff


@pytest.fixture(scope="module")
def program():
    if not shutil.which("go"):
        pytest.skip("go is not installed")
    try:
        return promql_diff.build()
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        pytest.skip("Prometheus's engine cannot be built: %s" % (getattr(e, "stderr", None) or e)[-300:])


def check(counts, text, expressions):
    assert counts["failed"] == 0, text
    assert counts["passed"] + sum(counts["explained"].values()) == expressions
    assert counts["passed"] > expressions * 0.9, counts
    assert counts["empty"] < counts["compared"] * 0.15, counts
    assert counts["errors"] < counts["compared"] * 0.05, counts


def test_answers_are_those_of_the_engine(program):
    check(*promql_diff.compare(program, 500, seed=3), 500)


def test_answers_are_those_of_the_engine_that_removes_names_late(program):
    check(*promql_diff.compare(program, 200, seed=4, delayed=True), 200)


def test_answers_are_those_of_an_old_prometheus(program):
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")
    with promql_diff.OldPrometheus() as old:
        check(*promql_diff.compare(program, 100, seed=5, old=old), 100)
