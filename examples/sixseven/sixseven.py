# SPDX-License-Identifier: Apache-2.0
"""The sixseven system as a script sees it: its backend, and a client that gives commands."""
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

from system import System, port  # noqa: E402

QUESTIONS = ["research quantum computing", "find out who built the first orrery",
             "compare three kinds of heat pump", "summarize what is known of octopus sleep"]
PICTURES = ["draw a cat on a roof", "paint a harbour at dawn", "design a logo with a seven"]
ENDED = ("succeeded", "failed", "cancelled")


class Sixseven(System):
    """Starts the stand-ins and the backend."""

    name = "sixseven"
    services = {"backend": "sixseven"}
    load = "commands"

    def prepare(self):
        self.port, outside = port("API_PORT", 8000), port("STANDIN_PORT", 9000)
        self.url = "http://127.0.0.1:%d" % self.port
        self.outside = "http://127.0.0.1:%d" % outside
        self.urls = {"backend": self.url}
        self.environment = {
            "PORT": self.port, "STANDIN_PORT": outside, "YUTORI_POLL_MS": 100,
            "YUTORI_URL": self.outside + "/v1/research/tasks",
            "FREEPIK_URL": self.outside + "/v1/ai/text-to-image",
            "SQLITE_PATH": os.path.join(self.state.name, "sixseven.sqlite"),
            "SONDE_RECORDER_DIR": os.path.join(self.state.name, "recorder")}

    def start_all(self):
        self.start_standin()
        self.start_backend()

    def start_backend(self):
        process = self.start("sixseven/backend")
        self.wait_http(self.url + "/health")
        return process

    # ---- the client ----

    def command(self, text, session="abc-123", headers=None, **more):
        """Gives a command; (status, headers, the answer)."""
        body = {"command": text, **({"session_id": session} if session else {}), **more}
        status, answer_headers, answer = self.request("POST", "/command", body, headers)
        return status, answer_headers, json.loads(answer)

    def accepted(self, text, **more):
        """The id of the job that the command became."""
        status, _, answer = self.command(text, **more)
        if status != 202:
            raise RuntimeError("POST /command: %d %s" % (status, answer))
        return answer["job_id"]

    def job(self, job_id):
        return self.request_json("GET", "/jobs/" + job_id)[1]

    def ended(self, job_id, seconds=30):
        """The job once it has ended."""
        limit = time.monotonic() + seconds
        while True:
            job = self.job(job_id)
            if job.get("status") in ENDED:
                return job
            if time.monotonic() > limit:
                raise RuntimeError("the job did not end within %g s: %s" % (seconds, job))
            time.sleep(0.02)

    def active(self):
        """The gauge of active jobs on the metrics page, all types together."""
        text = self.request("GET", "/metrics")[2].decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines()
                   if line.startswith("sixseven_active_jobs{"))

    def some_traffic(self, number):
        """One step of a steady load: research and pictures, now and then what goes wrong."""
        session = "session-%d" % (number % 7)
        if number % 3 == 2:
            job_id = self.accepted(random.choice(PICTURES), session=session,
                                   options={"async": number % 2 == 0})
        else:
            job_id = self.accepted(random.choice(QUESTIONS), session=session)
        if number % 4 == 0:
            self.job(job_id)
        if number % 10 == 0:
            self.request("GET", "/jobs")
        if number % 13 == 12:
            self.request("DELETE", "/jobs/" + job_id)
        if number % 17 == 16:
            self.command("hello")
            self.accepted("edit the sky", session=session)
        return job_id
