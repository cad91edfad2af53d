# SPDX-License-Identifier: Apache-2.0
"""The alerts of the debug service in the running system, on PostgreSQL and Redis; see live_alerts.py."""
import glob
import json
import os
import shutil
import signal
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from debug_server import BEARER, HERE, DebugServer
from harness import wait_for
from live_alerts import Fault, every_alert_has_a_fault, fire_and_resolve

STRANGER = {"Authorization": "Bearer wrong"}


class OnPostgres(DebugServer):
    """A test gives it its database. The repositories are copies, which may lose a program."""
    database = None

    def prepare(self):
        super().prepare()
        self.repositories = os.path.join(self.state.name, "repositories")
        shutil.copytree(os.path.join(HERE, "repositories"), self.repositories)
        self.environment["DEBUG_REPOSITORIES"] = self.repositories

    def rename(self, old, new):
        os.rename(*(os.path.join(self.repositories, "samples", name) for name in (old, new)))

    def workers(self, program):
        """Processes of the runner that run that program."""
        found = []
        for path in glob.glob("/proc/%d/task/*/children" % self.process("runner").pid):
            with open(path) as f:
                found += [int(pid) for pid in f.read().split()]
        return [pid for pid in found if program in command_line(pid)]


def command_line(pid):
    try:
        with open("/proc/%d/cmdline" % pid) as f:
            return f.read()
    except OSError:
        return ""


def nothing(_):
    """The fault is what its load does."""


def every(count, step):
    return lambda system, number: None if number % count else step(system)


def sums(system):
    system.order("sum.dbg", [100])


def strangers(system):
    for _ in range(3):
        system.request("GET", "/sessions", None, STRANGER)


class SlowReader:
    """Looks at programs that say too much, one after the other, and reads nothing of it."""

    def __init__(self):
        self.lock, self.session, self.stream = threading.Lock(), None, None

    def look(self, system):
        with self.lock:
            if self.session and not system.session(self.session).get("ended_ms"):
                return
            self.close()
            status, answer = system.order("flood.dbg", [200000])
            if status == 202:
                self.session = answer["session_id"]
                self.stream = system.slow_stream(self.session)

    def close(self):
        if self.stream:
            self.stream.close()
        self.session = self.stream = None

    def end(self, _):
        with self.lock:
            self.close()


def running(system, program):
    """The id of a new session once it runs."""
    def ordered():
        status, answer = system.order(program)
        assert status == 202, answer
        return answer["session_id"]
    session = wait_for("an order to be taken", ordered, 60, 0.2)
    wait_for("the session to run", lambda: system.session(session)["status"] == "running", 60, 0.1)
    return session


class StoppedWorker:
    """A session whose worker gets no time, and somebody who debugs it."""

    def plant(self, system):
        self.session = running(system, "hang.dbg")
        self.worker = wait_for("its worker", lambda: system.workers("hang.dbg"), 60)[0]
        os.kill(self.worker, signal.SIGSTOP)
        self.stream = connect(system.url.replace("http", "ws") + "/sessions/%s/stream" % self.session,
                              additional_headers=BEARER, proxy=None)

    def command(self, _):
        try:
            self.stream.send(json.dumps({"command": "where", "id": "x"}))
        except ConnectionClosed as e:
            raise OSError("the stream is closed") from e

    def repair(self, system):
        os.kill(self.worker, signal.SIGCONT)
        self.stream.close()
        system.request("DELETE", "/sessions/" + self.session, None, BEARER)


def runner_dies(system):
    """With two sessions in its hands."""
    for _ in range(2):
        running(system, "hang.dbg")
    system.kill("runner")


def runner_starts(system):
    system.start("debug-server/runner")
    system.wait_http(system.runner + "/readyz", 60)


READER, STOPPED = SlowReader(), StoppedWorker()
FIRST = [
    Fault("strangers call", nothing, nothing, {"DebugCallersRefused"}, load=every(1, strangers)),
    Fault("programs crash", nothing, nothing, {"DebugWorkersCrash"},
          load=every(2, lambda system: system.order("crash.dbg"))),
    Fault("a program is lost", lambda system: system.rename("sum.dbg", "lost.dbg"),
          lambda system: system.rename("lost.dbg", "sum.dbg"), {"DebugSessionsFail"}),
    Fault("a worker stands still", STOPPED.plant, STOPPED.repair, {"DebugCommandsSlow"},
          load=every(4, STOPPED.command)),
    Fault("a reader is slow", nothing, READER.end, {"DebugStreamsDropMessages"}, load=every(4, READER.look)),
]
FAULTS = [
    *FIRST,
    Fault("the database is gone", lambda system: system.database.down(),
          lambda system: system.database.up(), {"DebugDatabaseErrors"}, after=[f.name for f in FIRST]),
    Fault("the runner dies", runner_dies, runner_starts,
          {"DebugRunnerLost", "DebugQueueGrows", "DebugSessionsNotTaken"}, load=every(1, sums),
          after=("the database is gone",)),
]


def test_every_alert_has_a_fault():
    every_alert_has_a_fault("debug-server", FAULTS)


def test_the_alerts_fire_and_resolve(tmp_path, postgres, redis):
    OnPostgres.database = postgres
    fire_and_resolve(OnPostgres, FAULTS, str(tmp_path), step=every(4, sums), rate=3, threads=3, longest=10,
                     environment={"DATABASE_URL": postgres.url, "REDIS_URL": redis.url,
                                  "RUNNER_THREADS": "16"})
