# SPDX-License-Identifier: Apache-2.0
"""The framecast system as a script sees it: its programs, and a client that asks for generations."""
import json
import os
import secrets
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

from system import System, port, run_up  # noqa: E402,F401

ADA = {"X-User-Id": "usr_123", "X-Team-Id": "tm_456"}
PROMPTS = ["a red kite over the sea", "rain on a tin roof", "a clock made of ice"]
ENDED = ("completed", "failed", "canceled")


def traceparent():
    """(trace id, span id, the headers of a client that traces)."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, {"traceparent": "00-%s-%s-01" % (trace, span)}


def send_client_span(otlp, name, trace, span, begun, ended):
    """Reports the client's own span, as a client with any OpenTelemetry SDK would: OTLP in JSON."""
    def texts(**values):
        return [{"key": k, "value": {"stringValue": v}} for k, v in values.items()]
    body = {"resourceSpans": [{
        "resource": {"attributes": [*texts(**{"service.name": "framecast-client"})]},
        "scopeSpans": [{"scope": {"name": "framecast.py"}, "spans": [
            {"traceId": trace, "spanId": span, "name": name, "kind": 3,
             "startTimeUnixNano": str(int(begun * 1e9)), "endTimeUnixNano": str(int(ended * 1e9)),
             "attributes": texts(**{"server.address": "127.0.0.1"})}]}]}]}
    request = urllib.request.Request(otlp + "/v1/traces", data=json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


class Framecast(System):
    """Starts the stand-ins, a pod and the API."""

    name = "framecast"
    services = {"api": "framecast-api", "pod": "framecast-pod"}
    load = "generations"

    def prepare(self):
        api, pod, outside = port("API_PORT", 8080), port("POD_PORT", 8090), port("STANDIN_PORT", 9000)
        self.url, self.pod = "http://127.0.0.1:%d" % api, "http://127.0.0.1:%d" % pod
        self.outside = "http://127.0.0.1:%d" % outside
        self.urls = {"api": self.url, "pod": self.pod}
        self.ports = {"api": api, "pod": pod}
        self.environment = {
            "STANDIN_PORT": outside, "S3_ENDPOINT": self.outside, "S3_BUCKET": "framecast",
            "ANTHROPIC_URL": self.outside, "POD_URL": self.pod, "PUBLIC_URL": self.url,
            "SQLITE_PATH": os.path.join(self.state.name, "framecast.sqlite")}

    def start_all(self):
        self.start_standin()
        self.start_pod()
        self.start_api()

    def start_api(self, **more):
        return self.start_program("api", more)

    def start_pod(self, **more):
        return self.start_program("pod", more)

    def start_program(self, program, more):
        process = self.start("framecast/" + program,
                             {**self.environment, **more, "PORT": self.ports[program]})
        self.wait_http(self.urls[program] + "/health")
        return process

    # ---- the client ----

    def create(self, prompt=PROMPTS[0], who=None, headers=None):
        """Asks for a generation; (status, headers, answer)."""
        status, answer, text = self.request("POST", "/v1/generations", {"prompt": prompt},
                                            {**(ADA if who is None else who), **(headers or {})})
        return status, answer, json.loads(text)

    def created(self, **more):
        """The id of a new generation."""
        status, _, answer = self.create(**more)
        if status != 202:
            raise RuntimeError("POST /v1/generations: %d %s" % (status, answer))
        return answer["generation_id"]

    def generation(self, generation_id, who=None):
        return self.request_json("GET", "/v1/generations/" + generation_id,
                                 headers=ADA if who is None else who)[1]

    def cancel(self, generation_id, who=None, headers=None):
        """(status, answer)"""
        return self.request_json("POST", "/v1/generations/%s/cancel" % generation_id, b"",
                                 {**(ADA if who is None else who), **(headers or {})})

    def ended(self, generation_id, seconds=20):
        """The generation once it has ended."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            found = self.generation(generation_id)
            if found.get("status") in ENDED:
                return found
            time.sleep(0.05)
        raise RuntimeError("%s has not ended within %d s: %s" % (generation_id, seconds, found))

    def control_pod(self, step_ms=10, fail_node=""):
        """How long a step of the workflow takes, and which node fails."""
        self.request("POST", "/control?step_ms=%d&fail_node=%s" % (step_ms, fail_node), b"", url=self.pod)

    def pod_status(self):
        return self.request_json("GET", "/debug/status", url=self.pod)[1]

    def some_traffic(self, number):
        """One step of a steady load: mostly generations, now and then what clients do wrong."""
        who = ADA if number % 3 else {"X-User-Id": "usr_%03d" % (number % 7)}
        generation = self.created(prompt=PROMPTS[number % len(PROMPTS)], who=who)
        if number % 5 == 0:
            self.generation(generation, who)
        if number % 11 == 4:
            self.cancel(generation, who)
        if number % 17 == 6:
            self.create(prompt="", who=who)
        if number % 23 == 8:
            self.create(who={})
        return generation
