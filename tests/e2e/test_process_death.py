# SPDX-License-Identifier: Apache-2.0
"""If the call returned, it survives the process.

The staging API runs under load and marks the number of each log line in a shared page once the call
has returned (examples/staging/numbered.h). It is killed with SIGKILL, again and again, each time in
the same recorder directory. After each death every marked number is in the server or in what
`sonde recover` prints, and what is in both has the same record id. The next start hands on what was
left: at the end the server has every number exactly once. `./test full` kills 100 times, `./test` 24.
"""
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from harness import BUILD, FULL, ROOT, SONDE, Server, wait_for

sys.path.insert(0, os.path.join(ROOT, "examples/staging"))

from staging import Staging  # noqa: E402

KILLS = 100 if FULL else 24
CLIENTS = 4


def recover(directory):
    done = subprocess.run([SONDE, "recover", directory, "-o", "json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def numbers_in_server(server):
    """{number: [record id of each copy]}"""
    out = {}
    for _, _, fields in server.logs('{service="api"} |= "Order numbered"'):
        out.setdefault(int(fields["n"]), []).append(fields["sonde_record_id"])
    return out


class Load(threading.Thread):
    def __init__(self, system, stop):
        super().__init__(daemon=True)
        self.system, self.stop, self.number = system, stop, 0
        self.since = None  # when the request began that is not answered yet

    def run(self):
        while not self.stop.is_set():
            try:
                self.since = time.monotonic()
                self.system.order("user_%03d" % (self.number % 7))
                self.since = None
                self.number += 1
            except (OSError, RuntimeError):
                self.since = None
                if self.stop.wait(0.01):
                    return


def test_what_returned_survives_kill_9(server):
    recorders = tempfile.mkdtemp(prefix="sonde-recorders-")
    page = os.path.join(recorders, "page")
    directory = os.path.join(recorders, "r")
    random.seed(time.time())
    open_at_death, doubled, recovered_total = 0, 0, 0
    stop = threading.Event()
    environment = {"SONDE_RECORDER_DIR": directory, "NUMBERED_PAGE": page,
                   "OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp, "OTEL_METRIC_EXPORT_INTERVAL": "200",
                   "OTEL_BLRP_SCHEDULE_DELAY": "50", "SONDE_LOG_OUTPUT": "none"}

    def published():
        if not os.path.exists(page):
            return set()
        with open(page, "rb") as f:
            return {n for n, marked in enumerate(f.read()) if marked}

    try:
        with Staging(quiet=True, environment=environment) as system:
            api = next(p for name, p in system.programs if name == "api")
            load = [Load(system, stop) for _ in range(CLIENTS)]
            for thread in load:
                thread.start()
            for kill in range(KILLS):
                before = len(published())
                wait_for("orders", lambda: len(published()) > before + random.randint(1, 40), 60, 0.005)
                if kill % 3 == 0:  # die in the middle of work: the database makes everyone wait
                    with sqlite3.connect(system.environment["SQLITE_PATH"], isolation_level=None) as db:
                        db.execute("PRAGMA busy_timeout=5000")
                        db.execute("BEGIN IMMEDIATE")
                        wait_for("a request that waits", lambda: any(
                            t.since and time.monotonic() - t.since > 0.05 for t in load))
                        api.kill()
                        api.wait()
                        db.execute("ROLLBACK")
                else:
                    api.kill()
                    api.wait()
                marked = published()
                rows = recover(directory)
                left = {r["n"]: r["sonde.record.id"] for r in rows
                        if r["type"] == "log" and r["message"] == "Order numbered"}
                have = numbers_in_server(server)
                missing = marked - left.keys() - have.keys()
                assert not missing, "kill %d: %d of %d lost: %s" % (
                    kill, len(missing), len(marked), sorted(missing)[:10])
                for n in left.keys() & have.keys():
                    doubled += 1
                    assert have[n] == [left[n]], (n, have[n], left[n])
                recovered_total += len(left)
                open_at_death += sum(r["type"] == "span" and "died" in r.get("status_message", "")
                                     for r in rows)
                values = [r["value"] for r in rows
                          if r["type"] == "metric" and r["name"] == "orders_numbered_total"]
                in_this_life = len(marked) - before
                assert values and in_this_life - CLIENTS <= values[-1] or in_this_life <= CLIENTS, (
                    values, in_this_life)
                assert not [r for r in rows if r["type"] == "dropped"], "the rate must drop nothing"
                system.programs = [p for p in system.programs if p[1] is not api]
                api = system.start_api()
                system.wait_http(system.url + "/health")
            stop.set()
            for thread in load:
                thread.join()
        marked = published()
        have = wait_for("all numbers in the server", lambda: (
            lambda h: h if marked <= h.keys() else None)(numbers_in_server(server)), 60, 0.5)
        twice = {n: ids for n, ids in have.items() if len(ids) > 1}
        assert not twice, "stored twice: %s" % list(twice.items())[:5]
        assert open_at_death >= KILLS // 3, "only %d spans were open at the deaths" % open_at_death
        failed = server.traces("real-staging-api", limit=1500, tags=json.dumps({"error": "true"}))
        died = [s for t in failed for s in t["spans"]
                if any("died" in str(tag["value"]) for tag in s["tags"]
                       if tag["key"] == "otel.status_description")]
        assert died, "no span in the server says that its process died"
        print("%d kills, %d numbers, %d recovered, %d in both, %d spans open at death"
              % (KILLS, len(marked), recovered_total, doubled, open_at_death))
    finally:
        stop.set()
        shutil.rmtree(recorders, ignore_errors=True)
