# SPDX-License-Identifier: Apache-2.0
"""tests/examples/common_probe.c as a process: the examples' database, queue, HTTP server and client."""
import json
import os
import subprocess
import tempfile

from harness import BUILD, wait_for

PROBE = BUILD + "/examples/common/probe"
QUIET = {"SONDE_LOG_OUTPUT": "stderr", "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none",
         "OTEL_LOGS_EXPORTER": "none"}


class Probe:
    def __init__(self, **environment):
        self.errors = tempfile.TemporaryFile(mode="w+")
        # What another one that was killed had to say is not told by this one.
        self.recorders = tempfile.TemporaryDirectory(prefix="probe-")
        self.process = subprocess.Popen([PROBE], text=True, errors="surrogateescape",
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors,
                                        env={**os.environ, **QUIET, "SONDE_RECORDER_DIR": self.recorders.name,
                                             **environment})
        line = self.process.stdout.readline()
        self.systems = json.loads(line) if line else None

    def tell(self, *words):
        self.process.stdin.write("\t".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def logs(self):
        self.errors.flush()
        self.errors.seek(0)
        return self.errors.read()

    def told(self, text, times=1):
        """Logs are written by a thread of the library, a little later."""
        wait_for("the line '%s'" % text, lambda: self.logs().count(text) >= times, 10)
        return self.logs().count(text) == times

    def kill(self):
        self.process.kill()
        self.process.wait(15)

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            assert self.process.wait(20) == 0, self.logs()


class Probes:
    """Starts probes, and ends what runs."""

    def __init__(self):
        self.all = []

    def __call__(self, **environment):
        self.all.append(Probe(**environment))
        return self.all[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.all:
            one.end()
