# SPDX-License-Identifier: Apache-2.0
"""The staging system as a script sees it: its programs, and a client that places orders."""
import base64
import hashlib
import hmac
import json
import os
import random
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

from system import System, port  # noqa: E402

SECRET = "staging-example-secret"
STYLES = ["modern", "scandinavian", "industrial", "farmhouse"]


def token(user, secret=SECRET, seconds=3600):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = part(json.dumps({"sub": user, "exp": int(time.time()) + seconds}).encode())
    mac = hmac.new(secret.encode(), head + b"." + body, hashlib.sha256).digest()
    return b".".join((head, body, part(mac))).decode()


class Staging(System):
    """Starts the stand-ins, the worker and the API."""

    def __init__(self, quiet=False, environment=None):
        super().__init__(quiet)
        self.state = tempfile.TemporaryDirectory(prefix="staging-")
        self.api_port, self.outside_port = port("API_PORT", 8080), port("STANDIN_PORT", 9000)
        self.admin_ports = port("API_ADMIN_PORT", 6060), port("WORKER_ADMIN_PORT", 6061)
        self.url = "http://127.0.0.1:%d" % self.api_port
        self.outside = "http://127.0.0.1:%d" % self.outside_port
        self.environment = {
            "PORT": self.api_port, "STANDIN_PORT": self.outside_port, "JWT_SECRET": SECRET,
            "S3_ENDPOINT": self.outside, "REPLICATE_URL": self.outside,
            "SQLITE_PATH": os.path.join(self.state.name, "staging.sqlite"), **(environment or {})}

    def __enter__(self):
        try:
            self.start_all()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def start_all(self):
        self.start("common/standin", self.environment)
        self.wait_http(self.outside + "/health")
        self.start_api()
        self.start("staging/worker", {**self.environment,
                                      "SONDE_ADMIN_ADDR": "127.0.0.1:%d" % self.admin_ports[1]})
        self.wait_http(self.url + "/health")

    def start_api(self):
        return self.start("staging/api", {**self.environment,
                                          "SONDE_ADMIN_ADDR": "127.0.0.1:%d" % self.admin_ports[0]})

    def __exit__(self, *what):
        super().__exit__(*what)
        self.state.cleanup()

    # ---- the client ----

    def request(self, method, path, body=None, headers=None, url=None):
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request((url or self.url) + path, data=data, method=method,
                                         headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as e:
            return e.code, dict(e.headers), e.read()

    def order(self, user="user_abc123", headers=None):
        """Orders one staged image and uploads its original; the API's answer."""
        body = {"project_id": "proj_%d" % random.randint(1, 9), "style": random.choice(STYLES)}
        status, answer_headers, text = self.request(
            "POST", "/v1/images", body,
            {"Authorization": "Bearer " + token(user), "Content-Type": "application/json",
             **(headers or {})})
        if status != 202:
            raise RuntimeError("POST /v1/images: %d %s" % (status, text))
        image = json.loads(text)
        self.request("PUT", "", os.urandom(20000), url=image["upload_url"])
        image["request_id"] = answer_headers.get("X-Request-ID")
        return image

    def image(self, image_id, user="user_abc123"):
        _, _, text = self.request("GET", "/v1/images/" + image_id,
                                  headers={"Authorization": "Bearer " + token(user)})
        return json.loads(text)

    def some_traffic(self, number):
        """One step of a steady load: mostly orders, now and then what clients do wrong."""
        image = self.order("user_%03d" % (number % 7))
        if number % 5 == 0:
            self.image(image["image_id"], "user_%03d" % (number % 7))
        if number % 17 == 0:
            self.request("POST", "/v1/images", {"style": "modern"},
                         {"Authorization": "Bearer " + token("user_abc123", "wrong")})
        if number % 23 == 0:
            self.request("GET", "/v1/images/img_unknown",
                         headers={"Authorization": "Bearer " + token("user_abc123")})
        return image
