# SPDX-License-Identifier: Apache-2.0
"""The collector file of the staging system runs as it is: traces arrive at Jaeger, metrics are scraped by
Debian's Prometheus, logs arrive at Loki."""
import os
import shutil
import subprocess
import sys

import pytest

from foreign import HERE, old_python

NAMESPACES = ["unshare", "-r", "-m", "-n"]


@pytest.fixture(scope="module")
def namespaces():
    if subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode:
        pytest.skip("unshare -r -m -n is not permitted here")
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")


def test_the_staging_file_runs_unchanged(namespaces):
    old_python()  # made out here: there is no network inside
    done = subprocess.run([*NAMESPACES, sys.executable, os.path.join(HERE, "staging_world.py")],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-8000:]
    assert "all arrived" in done.stdout
