# SPDX-License-Identifier: Apache-2.0
"""The staging system as a script sees it: its programs, and a client that places orders."""
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

from system import BUILD, System, port, token as signed  # noqa: E402

SECRET = "staging-example-secret"
STYLES = ["modern", "scandinavian", "industrial", "farmhouse"]
API, WORKER = "real-staging-api", "real-staging-worker"


def token(user, secret=SECRET, seconds=3600):
    return signed(user, secret, seconds)


def bearer(user, secret=SECRET, seconds=3600):
    return {"Authorization": "Bearer " + token(user, secret, seconds)}


class Staging(System):
    """Starts the stand-ins, the worker and the API. In logs they are the services api and worker, in
    traces and metrics API and WORKER."""

    name = "staging"
    load = "orders"
    heap = False  # loads the heap sampler into both programs

    @staticmethod
    def can_sample_heap():
        """Not where a sanitizer stands in front of malloc already."""
        library = os.path.join(BUILD, "libsonde_heap.so")
        if not os.path.exists(library):
            return False
        with open(os.path.join(BUILD, "examples/staging/api"), "rb") as f:
            return b"libasan" not in f.read()

    def prepare(self):
        self.api_port, self.outside_port = port("API_PORT", 8080), port("STANDIN_PORT", 9000)
        self.admin_ports = port("API_ADMIN_PORT", 6060), port("WORKER_ADMIN_PORT", 6061)
        self.url = "http://127.0.0.1:%d" % self.api_port
        self.outside = "http://127.0.0.1:%d" % self.outside_port
        self.admin = ["http://127.0.0.1:%d" % p for p in self.admin_ports]
        self.urls = {"api": self.url, "worker": self.admin[1], "pprof": self.admin[0]}
        self.environment = {
            "PORT": self.api_port, "STANDIN_PORT": self.outside_port, "JWT_SECRET": SECRET,
            "S3_ENDPOINT": self.outside, "REPLICATE_URL": self.outside,
            "SQLITE_PATH": os.path.join(self.state.name, "staging.sqlite")}

    def start_all(self):
        self.start_standin()
        self.start_api()
        self.start_worker()
        self.wait_http(self.url + "/health")
        self.wait_http(self.admin[1] + "/health")

    def start_api(self):
        return self.start_observed("api", self.admin_ports[0])

    def start_worker(self):
        return self.start_observed("worker", self.admin_ports[1])

    def start_observed(self, program, admin_port):
        more = {"SONDE_ADMIN_ADDR": "127.0.0.1:%d" % admin_port}
        if self.heap:
            before = [p for p in [os.environ.get("LD_PRELOAD")] if p]
            more["SONDE_HEAP_SAMPLE_BYTES"] = os.environ.get("SONDE_HEAP_SAMPLE_BYTES", "16384")
            more["LD_PRELOAD"] = ":".join([*before, os.path.join(BUILD, "libsonde_heap.so")])
        return self.start("staging/" + program, {**more, **self.environment})

    # ---- the client ----

    def order(self, user="user_abc123", headers=None, upload=True):
        """Orders one staged image and uploads its original; the API's answer."""
        body = {"project_id": "proj_%d" % random.randint(1, 9), "style": random.choice(STYLES)}
        status, answer_headers, text = self.request("POST", "/v1/images", body,
                                                    {**bearer(user), **(headers or {})})
        if status != 202:
            raise RuntimeError("POST /v1/images: %d %s" % (status, text))
        image = json.loads(text)
        if upload:
            self.request("PUT", "", os.urandom(20000), url=image["upload_url"])
        image["request_id"] = answer_headers.get("X-Request-ID")
        return image

    def image(self, image_id, user="user_abc123"):
        _, _, text = self.request("GET", "/v1/images/" + image_id, headers=bearer(user))
        return json.loads(text)

    def some_traffic(self, number):
        """One step of a steady load: mostly orders, now and then what clients do wrong."""
        image = self.order("user_%03d" % (number % 7))
        if number % 5 == 0:
            self.image(image["image_id"], "user_%03d" % (number % 7))
        if number % 17 == 0:
            self.request("POST", "/v1/images", {"style": "modern"}, bearer("user_abc123", "wrong"))
        if number % 23 == 0:
            self.request("GET", "/v1/images/img_unknown", headers=bearer("user_abc123"))
        return image
