# SPDX-License-Identifier: Apache-2.0
"""The alerts of sixseven in the running system; see live_alerts.py."""
from sixseven import Sixseven
from live_alerts import Fault, fire_and_resolve, outside

FAULTS = [
    Fault("pictures fail", *outside("freepik", fail=100), {"HighErrorRate", "ExternalAPIFailures"}),
]


def test_the_alerts_fire_and_resolve(tmp_path):
    fire_and_resolve(Sixseven, FAULTS, str(tmp_path))
