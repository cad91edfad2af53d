# SPDX-License-Identifier: Apache-2.0
"""The benchmark of overhead runs, and its arithmetic holds; nothing about times, which a busy machine
bends."""
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from harness import BUILD, FULL, ROOT

PROGRAM = os.path.join(ROOT, "benchmarks", "overhead")


@pytest.fixture
def module(monkeypatch):
    monkeypatch.setattr(sys, "path", [os.path.dirname(PROGRAM), *sys.path])
    loader = importlib.machinery.SourceFileLoader("overhead", PROGRAM)
    found = importlib.util.module_from_spec(importlib.util.spec_from_loader("overhead", loader))
    loader.exec_module(found)
    return found


def test_an_interval_of_a_median_is_that_of_the_binomial_distribution(module):
    low, high, sure = module.median_interval(list(range(1, 11)))
    assert (low, high) == (2, 9) and abs(sure - 0.978515625) < 1e-9
    assert module.median_interval([5, 7])[:2] == (5, 7)
    low, high, sure = module.median_interval(list(range(1, 26)))
    assert (low, high) == (8, 18) and sure >= 0.95


def test_a_ratio_is_taken_within_each_round(module):
    rounds = [{"on": {"us": 103.0 * n}, "off": {"us": 100.0 * n}} for n in (1, 5, 2)]
    found = module.ratio(rounds, "on", "off")
    assert abs(found["percent"] - 3) < 1e-9 and abs(found["high"] - found["low"]) < 1e-9


@pytest.mark.parametrize("only", ["api", pytest.param("runner", marks=pytest.mark.skipif(
    not FULL, reason="as the API, and longer: ./test full"))])
def test_overhead_is_measured_and_nothing_is_lost_meanwhile(only):
    """The benchmark itself fails where a span or a log record did not arrive."""
    units = {"api": 40, "runner": 6}[only]
    done = subprocess.run(
        [PROGRAM, "--build", BUILD, "--pairs", "1", "--requests", str(units), "--only", only, "--sqlite",
         "--json"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)[only]
    assert report["spans"] > 3 and report["lines"] >= 1
    assert set(report["sides"]) == {"on", "served", "logs", "off"}
    assert all(side["us"] > 0 and side["mib"] > 0 for side in report["sides"].values())
