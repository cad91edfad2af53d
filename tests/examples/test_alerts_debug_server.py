# SPDX-License-Identifier: Apache-2.0
"""The alerts of debug-server in the running system; see live_alerts.py."""
from debug_server import DebugServer
from live_alerts import Fault, fire_and_resolve

def strangers(system, _):
    """Callers without a good token."""
    for _ in range(3):
        system.request("GET", "/sessions", None, {"Authorization": "Bearer wrong"})


def nothing(_):
    """The fault is what its load does."""


FAULTS = [
    Fault("strangers", nothing, nothing, {"DebugCallersRefused"}, load=strangers),
]


def test_the_alerts_fire_and_resolve(tmp_path):
    fire_and_resolve(DebugServer, FAULTS, str(tmp_path))
