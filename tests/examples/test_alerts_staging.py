# SPDX-License-Identifier: Apache-2.0
"""The alerts of staging in the running system; see live_alerts.py."""
from staging import Staging
from live_alerts import Fault, fire_and_resolve, outside

FAULTS = [
    Fault("the model fails", *outside("replicate", fail=100), {"KpiJobSuccessRate"}),
]


def test_the_alerts_fire_and_resolve(tmp_path):
    fire_and_resolve(Staging, FAULTS, str(tmp_path))
