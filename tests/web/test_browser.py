# SPDX-License-Identifier: Apache-2.0
"""The web UI in Debian's Chromium, against a real server that the staging example reports to: what
browser.mjs does there is listed in its head."""
import os
import subprocess
import sys
import threading

from harness import ROOT, wait_for

sys.path.insert(0, os.path.join(ROOT, "examples/staging"))

from staging import Staging  # noqa: E402


def test_the_ui_shows_what_the_apis_answer(server):
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp, "OTEL_METRIC_EXPORT_INTERVAL": "1000",
                   "OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BLRP_SCHEDULE_DELAY": "200",
                   "SONDE_LOG_OUTPUT": "none"}
    with Staging(quiet=True, environment=environment) as system:
        stop = threading.Event()

        def load():
            number = 0
            while not stop.wait(0.2):
                try:
                    system.some_traffic(number)
                except (OSError, RuntimeError):
                    continue
                number += 1

        thread = threading.Thread(target=load)
        thread.start()
        try:
            wait_for("finished jobs", lambda: len(server.traces("real-staging-worker")) >= 10, 60, 0.2)
            # A chart of the last hour has a point every 15 s or so: some must fall on data.
            wait_for("metrics of half a minute", lambda: server.promql(
                "sum(http_requests_total offset 30s)"), 90, 0.5)
            done = subprocess.run(
                ["node", os.path.join(ROOT, "tests/web/browser.mjs"), server.http, "--api",
                 "real-staging-api", "--worker", "real-staging-worker"], capture_output=True, text=True,
                timeout=420, cwd=os.path.join(ROOT, "web"))
        finally:
            stop.set()
            thread.join()
        print(done.stdout)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-4000:]
