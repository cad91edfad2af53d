# SPDX-License-Identifier: Apache-2.0
"""The alerts of personaworlds in the running system; see live_alerts.py."""
import random

from live_alerts import Fault, every_alert_has_a_fault, fire_and_resolve, outside
from personaworlds import TOPICS, PersonaWorlds


def preview(system, _):
    """Asked of the model while the client waits: what users see of a slow or failing model."""
    system.people()
    system.ask("POST", "/personas/%s/preview" % random.choice(system.personas),
               {"topic": random.choice(TOPICS)})


FAULTS = [
    Fault("the model is slow and fails", *outside("anthropic", fail=100, delay_ms=800),
          {"HighApiLatency", "ErrorRateSpike", "WorkerFailures", "RetryStorm"}, load=preview),
    Fault("the worker dies", lambda system: system.kill("worker"), lambda system: system.start_worker(),
          {"QueueBacklog"}, after_end=("the model is slow and fails",)),
]

# More threads than the worker needs: also on a machine that is busy the queue does not grow by itself.
RUN = {"rate": 2, "threads": 4, "environment": {"WORKER_THREADS": "6"}}


def test_every_alert_has_a_fault():
    every_alert_has_a_fault("personaworlds", FAULTS)


def test_the_alerts_fire_and_resolve(tmp_path):
    fire_and_resolve(PersonaWorlds, FAULTS, str(tmp_path), **RUN)
