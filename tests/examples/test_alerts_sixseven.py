# SPDX-License-Identifier: Apache-2.0
"""The alerts of sixseven in the running system; see live_alerts.py."""
import json
import socket
import threading
import time

from live_alerts import Fault, every_alert_has_a_fault, fire_and_resolve, outside
from sixseven import Sixseven

BODY = json.dumps({"command": "draw a cat on a roof"}).encode()


class SlowUplinks:
    """Clients whose body comes SECONDS after the head of their request."""
    SECONDS = 6

    def __init__(self):
        self.lock, self.waiting = threading.Lock(), []

    def send(self, system, _):
        """One more of them; those whose time has come send the rest and read the answer."""
        s = socket.create_connection(("127.0.0.1", system.port), timeout=30)
        s.sendall(b"POST /command HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json"
                  b"\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        with self.lock:
            self.waiting.append((time.monotonic() + self.SECONDS, s))
            while self.waiting[0][0] < time.monotonic():
                with self.waiting.pop(0)[1] as ready:
                    ready.sendall(BODY)
                    ready.recv(4096)

    def end(self, _):
        with self.lock:
            while self.waiting:
                self.waiting.pop()[1].close()


def cancel_all(system):
    for state in ("running", "pending"):
        for job in system.request_json("GET", "/jobs?limit=100&status=" + state)[1]["jobs"]:
            system.request("DELETE", "/jobs/" + job["job_id"])


def research_goes_on(system):
    system.control(service="yutori", delay_ms=0)
    cancel_all(system)


UPLINKS = SlowUplinks()
FAULTS = [
    Fault("pictures fail", *outside("freepik", fail=100), {"HighErrorRate", "ExternalAPIFailures"}),
    Fault("research takes long", lambda system: system.control(service="yutori", delay_ms=20000),
          research_goes_on, {"StuckJobs"}),
    Fault("uplinks are slow", lambda _: None, UPLINKS.end, {"SlowAPIResponse"}, load=UPLINKS.send),
]


def test_every_alert_has_a_fault():
    every_alert_has_a_fault("sixseven", FAULTS)


def test_the_alerts_fire_and_resolve(tmp_path):
    # As many threads as jobs: those that take long do not keep the others waiting.
    fire_and_resolve(Sixseven, FAULTS, str(tmp_path), environment={"JOB_THREADS": "64"})
