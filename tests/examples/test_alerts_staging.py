# SPDX-License-Identifier: Apache-2.0
"""The alerts of staging in the running system, with PostgreSQL and Redis; see live_alerts.py."""
import os
import shutil
import subprocess
import threading

import pytest

from harness import asan_library
from live_alerts import Fault, every_alert_has_a_fault, fire_and_resolve, outside
from staging import Staging

# Preloaded into the API. While the file $HOARD is there it keeps 2 GiB, as a cache without a bound would; as
# it never writes them, the machine need not have them.
HOARDER = r"""
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static void *kept[4];
static void *run(void *file)
{
    for (;; usleep(50000))
        for (int i = 0; i < 4; i++)
            if (access(file, F_OK) == 0) {
                if (!kept[i])
                    kept[i] = malloc(1u << 29);
            } else {
                free(kept[i]);
                kept[i] = NULL;
            }
    return NULL;
}
__attribute__((constructor)) static void start(void)
{
    static pthread_t thread;
    char *file = getenv("HOARD");
    if (file)
        pthread_create(&thread, NULL, run, file);
}
"""
BACKLOG = 1100


class Orders:
    """As many as make a backlog, from all threads of the load."""

    def __init__(self):
        self.lock, self.placed = threading.Lock(), 0

    def __call__(self, system, _):
        for _ in range(10):
            if self.placed < BACKLOG:
                system.order()
                with self.lock:
                    self.placed += 1


def model_away():
    """The worker that waits for it is replaced by one that does not: its jobs go back into the queue."""
    plant, repair = outside("replicate", delay_ms=600000)

    def repaired(system):
        repair(system)
        system.stop("worker")
        system.start_worker()
    return plant, repaired


class Hoarding(Staging):
    """Its API can be made to hoard memory."""

    def prepare(self):
        super().prepare()
        self.hoard = os.path.join(self.state.name, "hoard")
        source, self.library = self.hoard + ".c", self.hoard + ".so"
        with open(source, "w") as f:
            f.write(HOARDER)
        subprocess.run(["gcc", "-shared", "-fPIC", "-pthread", "-o", self.library, source], check=True)

    def start_api(self):
        usual = self.environment
        preload = ":".join(p for p in (asan_library(), self.library) if p)
        self.environment = {**usual, "LD_PRELOAD": preload, "HOARD": self.hoard}
        super().start_api()
        self.environment = usual

    def hoards(self, yes):
        if yes:
            open(self.hoard, "w").close()
        else:
            os.remove(self.hoard)


def held_table(postgres):
    """(plant, repair): somebody's forgotten transaction has the table that each request reads."""
    sessions = []
    return (lambda _: sessions.append(postgres.hold("users")),
            lambda _: postgres.let_go(sessions.pop()))


def faults(postgres):
    """The model stays away for as long as the others come and go."""
    return [
        Fault("the model is away", *model_away(), {"KpiJobSuccessRate", "KpiJobProcessingTime"}),
        Fault("orders come all the same", lambda _: None, lambda _: None, {"JobQueueBackup"}, load=Orders()),
        Fault("memory is hoarded", lambda s: s.hoards(True), lambda s: s.hoards(False), {"HighMemoryUsage"}),
        Fault("a table is held", *held_table(postgres),
              {"HighErrorRate", "DBPoolExhausted", "SlowAPIResponses", "KpiApiLatency", "KpiApiErrorRate",
               "KpiDatabaseQueryTime"}, after=("orders come all the same",)),
    ]


def test_every_alert_has_a_fault():
    every_alert_has_a_fault("staging", faults(None))


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_the_alerts_fire_and_resolve(tmp_path, postgres, redis):
    """Each job is given up half a minute after the model took it, and has failed then."""
    environment = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "WORKER_THREADS": "16",
                   "MODEL_TRIES": "1", "INFERENCE_TIMEOUT_MS": "30500"}
    fire_and_resolve(Hoarding, faults(postgres), str(tmp_path), rate=1, threads=8, environment=environment)
