# SPDX-License-Identifier: Apache-2.0
"""A client of Loki from its registry sends to the loki receiver."""
import os
import subprocess

from foreign import HERE, made_once, run
from harness import Collector, wait_for

SERVER = """
receivers:
  loki:
    protocols:
      http: { endpoint: '127.0.0.1:@loki@' }
exporters:
  sonde: {}
service:
  pipelines:
    logs: { receivers: [loki], exporters: [sonde] }
"""


def python_with_client():
    wanted = os.path.join(HERE, "loki/requirements.txt")

    def make(path):
        run(["/usr/bin/python3", "-m", "venv", path], "python3 -m venv")
        run([path + "/bin/pip", "install", "-q", "-r", wanted], "packages of interop/loki")
    return made_once("loki", [wanted], make) + "/bin/python"


def test_pythons_logging_handler_for_loki():
    python = python_with_client()
    with Collector(SERVER) as server:
        url = "http://127.0.0.1:%d/loki/api/v1/push" % server.port["loki"]
        done = subprocess.run([python, os.path.join(HERE, "loki/send.py"), url, "20"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and not done.stderr, done.stderr
        query = '{application="checkout"}'
        rows = wait_for("the lines", lambda: len(found := server.logs(query)) == 20 and found)
        assert [line for _, line, _ in reversed(rows)] == ["line %d \"quoted\" \u00fc" % n for n in range(20)]
        fields = rows[0][2]
        assert fields["level"] == "warn" and fields["service_name"] == "checkout"
        assert len(server.logs('{kind="odd", logger="shop.cart"}')) == 10
