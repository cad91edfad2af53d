# SPDX-License-Identifier: Apache-2.0
"""The unit tests of the systems' alerts: `sonde test rules` judges them as promtool does. That each alert
fires and resolves in the running system, test_alerts_SYSTEM.py shows."""
import os
import subprocess

import pytest
import yaml

from conftest import EXAMPLES, SYSTEMS
from harness import SONDE


def verdict(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "AddressSanitizer" not in done.stderr and "runtime error:" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def both(path):
    """(sonde passed it, promtool passed it, what they said)"""
    code, said = verdict(SONDE, "test", "rules", path)
    assert code in (0, 3), said
    other, theirs = verdict("promtool", "test", "rules", path)
    return code == 0, other == 0, "sonde:\n%s\npromtool:\n%s" % (said, theirs)


@pytest.mark.parametrize("name", SYSTEMS)
def test_sonde_and_promtool_have_the_same_verdict(name, tmp_path):
    ours, theirs, said = both(os.path.join(EXAMPLES, name, "alerts_test.yaml"))
    assert ours and theirs, said
    with open(os.path.join(EXAMPLES, name, "alerts.yaml")) as f:
        document = yaml.safe_load(f)
    with open(os.path.join(EXAMPLES, name, "alerts_test.yaml")) as f:
        (tmp_path / "alerts_test.yaml").write_text(f.read())
    alerts = [rule for group in document["groups"] for rule in group["rules"] if "alert" in rule]
    for rule in alerts[::max(1, len(alerts) // 2)]:
        kept = rule["expr"]
        rule["expr"] = "vector(1)"
        (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(document))
        rule["expr"] = kept
        ours, theirs, said = both(str(tmp_path / "alerts_test.yaml"))
        assert not ours and not theirs, said
