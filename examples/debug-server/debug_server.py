# SPDX-License-Identifier: Apache-2.0
"""The debug service as a script sees it: its programs, and a client that orders and debugs sessions."""
import base64
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))

from system import BUILD, System, port  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
API_TOKEN, RUNNER_TOKEN = "debug-example-api-token", "debug-example-runner-token"
BEARER = {"Authorization": "Bearer " + API_TOKEN}
# A whole debugging session, line by line, of sum.dbg.
STEPS = ["where", "set_breakpoint 9", "continue", "variables", "step", "evaluate sum + n",
         "clear_breakpoint 9", "pause", "no_such_command", "continue"]
# (program, arguments, order, how it ends, why)
STORIES = [
    ("sum.dbg", ["100"], {}, "succeeded", None),
    ("fail.dbg", [], {}, "failed", "exit_status"),
    ("crash.dbg", [], {}, "failed", "crashed"),
    ("hang.dbg", [], {"timeout_seconds": 1}, "failed", "timeout"),
    ("flood.dbg", ["200000"], {}, "failed", "output_limit"),
    ("none.dbg", [], {}, "failed", "start_failed"),
]


class Stream:
    """A WebSocket client that reads when it is told to, and not before: a slow reader."""

    def __init__(self, port, path, token=API_TOKEN):
        self.socket, self.bytes = socket.socket(), b""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nAuthorization: Bearer "
                             "%s\r\n\r\n" % (path, base64.b64encode(os.urandom(16)).decode(), token)).encode())
        while b"\r\n\r\n" not in self.bytes:
            self.more()
        self.head, _, self.bytes = self.bytes.partition(b"\r\n\r\n")

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.bytes += data

    def take(self, count):
        while len(self.bytes) < count:
            self.more()
        taken, self.bytes = self.bytes[:count], self.bytes[count:]
        return taken

    def messages(self):
        """All that comes until the server closes; the close frame's code is the last."""
        found = []
        while True:
            first, length = self.take(2)
            if length > 125:
                length = int.from_bytes(self.take(2 if length == 126 else 8), "big")
            payload = self.take(length)
            if first & 15 == 8:
                return found, int.from_bytes(payload[:2], "big")
            if first & 15 == 1:
                found.append(json.loads(payload))

    def close(self):
        self.socket.close()


class DebugServer(System):
    """Starts the server and the runner; the client is a command."""

    name = "debug-server"
    services = {"server": "debug-server", "runner": "debug-runner", "client": "debug-client"}
    load = "sessions"

    def prepare(self):
        ports = port("PORT", 8000), port("RUNNER_PORT", 8001)
        self.url, self.runner = ["http://127.0.0.1:%d" % p for p in ports]
        self.urls = {"server": self.url, "runner": self.runner}
        self.environment = {
            "PORT": ports[0], "RUNNER_PORT": ports[1], "DEBUG_SERVER_URL": self.url,
            "DEBUG_API_TOKEN": API_TOKEN, "DEBUG_RUNNER_TOKEN": RUNNER_TOKEN,
            "DEBUG_REPOSITORIES": os.path.join(HERE, "repositories"),
            "SQLITE_PATH": os.path.join(self.state.name, "debug-server.sqlite")}

    def start_all(self):
        self.start("debug-server/server")
        self.wait_http(self.url + "/healthz")
        self.start("debug-server/runner")
        self.wait_http(self.runner + "/readyz")

    # ---- the client ----

    def order(self, program, arguments=(), headers=None, **more):
        """(status, answer) of one order."""
        body = {"repository": "samples", "command": [program, *map(str, arguments)], **more}
        status, _, text = self.request("POST", "/sessions", body, {**BEARER, **(headers or {})})
        return status, json.loads(text)

    def session(self, session_id):
        return json.loads(self.request("GET", "/sessions/" + session_id, None, BEARER)[2])

    def ended(self, session_id, seconds=30):
        """The session once it has ended."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            found = self.session(session_id)
            if found.get("ended_ms"):
                return found
            time.sleep(0.02)
        raise ValueError("%s did not end within %d s: %s" % (session_id, seconds, found))

    def run(self, program, *arguments, **more):
        """Orders a session and waits for its end."""
        status, answer = self.order(program, arguments, **more)
        if status != 202:
            raise ValueError("%d %s" % (status, answer))
        return self.ended(answer["session_id"])

    def client(self, *arguments, commands="", environment=None, seconds=60):
        """The program `client`, done: its stdout has what it shows, its stderr its logs."""
        return subprocess.run(
            [os.path.join(BUILD, "examples/debug-server/client"), *map(str, arguments)], text=True,
            env=dict(os.environ, **{k: str(v) for k, v in {**self.environment,
                                                           **(environment or {})}.items()}),
            input=commands, capture_output=True, timeout=seconds)

    def debug(self, *commands, program="sum.dbg", arguments=(5,)):
        """What the client showed, and the trace of the session."""
        done = self.client("debug", "samples", program, *arguments, commands="\n".join(commands) + "\n")
        said = done.stderr.rpartition("trace ")[2].split()
        return done.stdout.splitlines(), said[0] if said else None

    def slow_stream(self, session_id):
        return Stream(self.environment["PORT"], "/sessions/%s/stream" % session_id)

    def load_sessions(self, sessions, parallel, rounds=2000):
        done = self.client("--no-telemetry", "load", "--sessions", sessions, "--parallel", parallel,
                           "--rounds", rounds, seconds=600)
        return json.loads(done.stdout)

    def some_traffic(self, number):
        """One step of a steady load: mostly what succeeds, now and then what does not."""
        if number % 8 == 3:
            self.debug(*STEPS)
        elif number % 8 == 6:
            program, arguments, more, _, _ = STORIES[number // 8 % len(STORIES)]
            self.order(program, arguments, **more)
        else:
            self.order("sum.dbg", [100 + number])
        if number % 17 == 0:
            self.request("GET", "/sessions", None, {"Authorization": "Bearer wrong"})
