# SPDX-License-Identifier: Apache-2.0
"""Runs interop/promql_diff: random PromQL over random data, the server's answers beside Prometheus's. Used by
the tests and by `./bench promql-diff`."""
import json
import os
import shutil
import subprocess
import tempfile

import foreign
from harness import Server, free_ports, get, wait_for

FOLDER = os.path.join(foreign.HERE, "promql_diff")
FEATURES = ("promql-experimental-functions,promql-duration-expr,promql-extended-range-selectors,"
            "promql-binop-fill-modifiers")
DELAYED = "promql-delayed-name-removal"


def build():
    """The path of the Go program. Raises OSError or CalledProcessError when it cannot be made."""
    def make(path):
        subprocess.run(["go", "build", "-o", path + "/promql_diff", "."], cwd=FOLDER, check=True, timeout=600,
                       capture_output=True, text=True,
                       env={**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"})
    sources = sorted(os.path.join(FOLDER, name) for name in os.listdir(FOLDER))
    return foreign.made_once("promql_diff", sources, make) + "/promql_diff"


class OldPrometheus:
    """Debian's Prometheus, empty, that takes remote write."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="prometheus-")
        config = self.folder + "/prometheus.yml"
        with open(config, "w") as f:
            f.write("global: {}\n")
        port, = free_ports(1)
        self.url = "http://127.0.0.1:%d" % port
        self.process = subprocess.Popen(
            ["prometheus", "--config.file=" + config, "--storage.tsdb.path=" + self.folder + "/data",
             "--storage.tsdb.retention.time=100y", "--web.listen-address=127.0.0.1:%d" % port,
             "--web.enable-remote-write-receiver", "--log.level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("prometheus", lambda: get(self.url + "/-/ready"), 30)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def compare(program, count, seed, delayed=False, old=None, complete=False, seconds=300, **server):
    """(the counts, the text of all differences). complete: it is one, too, when a part of the language did
    not occur, or when 15 % of the answers are empty."""
    features = FEATURES + ("," + DELAYED if delayed else "")
    with Server(args=["--retention", "0", "--enable-feature", features], **server) as s:
        command = [program, "-sonde", s.http, "-count", str(count), "-seed", str(seed)]
        command += ["-delayed-name-removal"] if delayed else []
        command += ["-prometheus", old.url] if old else []
        command += ["-complete"] if complete else []
        with tempfile.TemporaryDirectory(prefix="promql-diff-") as folder:  # of its storage
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds,
                                  env={**os.environ, "TMPDIR": folder})
    if done.returncode not in (0, 1) or not done.stdout.rstrip().endswith("}"):
        raise AssertionError(done.stderr[-3000:])
    text, _, last = done.stdout.rstrip("\n").rpartition("\n")
    return json.loads(last), text
