# SPDX-License-Identifier: Apache-2.0
"""The alerts of framecast in the running system; see live_alerts.py."""
from framecast import Framecast
from live_alerts import Fault, fire_and_resolve, outside

FAULTS = [
    Fault("the model fails", *outside("anthropic", fail=100), {"AnthropicFailing", "GenerationsFailing"}),
]


def test_the_alerts_fire_and_resolve(tmp_path):
    fire_and_resolve(Framecast, FAULTS, str(tmp_path))
