# SPDX-License-Identifier: Apache-2.0
"""PersonaWorlds as a script sees it: its programs, and people who make personas post in worlds."""
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

from system import System, port, token  # noqa: E402

SECRET = "personaworlds-example-secret"
PERSONAS = [("Mira", "a lighthouse keeper who collects storms"), ("Otto", "a retired clockmaker"),
            ("Juno", "a botanist on a generation ship"), ("Basil", "a cat with opinions")]
WORLDS = ["Harbour", "Clocktown", "Ark", "Garden"]
TOPICS = ["the tide", "a lost key", "rain at night", "what the moss said"]


class PersonaWorlds(System):
    """Starts the model's stand-in, the API and the worker."""

    name = "personaworlds"
    load = "posts"

    def prepare(self):
        api, worker = port("API_PORT", 8080), port("WORKER_OBSERVABILITY_PORT", 9091)
        self.url = "http://127.0.0.1:%d" % api
        self.urls = {"api": self.url, "worker": "http://127.0.0.1:%d" % worker}
        standin = port("STANDIN_PORT", 9000)
        self.outside = "http://127.0.0.1:%d" % standin
        self.environment = {
            "PORT": api, "WORKER_OBSERVABILITY_PORT": worker, "STANDIN_PORT": standin,
            "ANTHROPIC_URL": self.outside, "JWT_SECRET": SECRET,
            "SQLITE_PATH": os.path.join(self.state.name, "personaworlds.sqlite"),
            "SONDE_RECORDER_DIR": os.path.join(self.state.name, "recorder")}
        self.personas, self.worlds = [], []

    def start_all(self):
        self.start_standin()
        self.start_api()
        self.start_worker()

    def start_api(self, **environment):
        self.start("personaworlds/api", {**self.environment, **environment})
        self.wait_http(self.url + "/healthz")

    def start_worker(self, **environment):
        self.start("personaworlds/worker", {**self.environment, **environment})
        self.wait_http(self.urls["worker"] + "/healthz")

    # ---- the people ----

    def ask(self, method, path, body=None, user="ada", headers=None, timeout=30):
        """(status, headers, the answer's JSON)."""
        headers = {"Authorization": "Bearer " + token(user, SECRET), **(headers or {})}
        status, answered, text = self.request(method, path, body, headers, timeout=timeout)
        return status, answered, json.loads(text)

    def need(self, status, *arguments, **more):
        have, _, answer = self.ask(*arguments, **more)
        if have != status:
            raise RuntimeError("%s: %d, not %d: %s" % (arguments[:2], have, status, answer))
        return answer

    def make_persona(self, name="Mira", bio="a lighthouse keeper", user="ada"):
        return self.need(201, "POST", "/personas", {"name": name, "bio": bio}, user)["persona_id"]

    def make_world(self, name="Harbour", user="ada"):
        return self.need(201, "POST", "/worlds", {"name": name}, user)["world_id"]

    def people(self):
        """Personas and worlds to go on with."""
        if not self.personas:
            self.personas = [self.make_persona(*p) for p in PERSONAS]
            self.worlds = [self.make_world(name) for name in WORLDS]

    def post(self, topic="the tide", user="ada", headers=None, timeout=30):
        """Asks for one post; (status, request id, answer)."""
        self.people()
        status, answered, answer = self.ask(
            "POST", "/worlds/%s/posts" % random.choice(self.worlds),
            {"persona_id": random.choice(self.personas), "topic": topic}, user, headers, timeout)
        return status, answered.get("X-Request-ID"), answer

    def post_status(self, post_id):
        return self.need(200, "GET", "/posts/" + post_id)["status"]

    def some_traffic(self, number):
        """One step of a steady load: a post, and now and then what else people do."""
        user = "user_%03d" % (number % 7)
        _, _, answer = self.post(random.choice(TOPICS), user)
        if number % 3 == 0:
            self.ask("GET", "/posts/" + answer["post_id"])
        if number % 5 == 0:
            self.ask("GET", "/personas/" + random.choice(self.personas))
        if number % 7 == 0:
            self.ask("POST", "/personas/%s/preview" % random.choice(self.personas),
                     {"topic": random.choice(TOPICS)}, user)
        if number % 11 == 0:
            self.post("a scam that is spam", user)
        if number % 17 == 0:
            self.ask("GET", "/personas/persona_unknown")
        if number % 23 == 0:
            self.ask("POST", "/worlds", {"title": "no name"}, user)
