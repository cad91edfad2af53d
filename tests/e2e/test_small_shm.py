# SPDX-License-Identifier: Apache-2.0
"""A tmpfs of 1 MiB for the recorder: the example runs, says once that recovery is off or reduced, and
gets no SIGBUS. Needs a mount namespace (unshare -m)."""
import os
import subprocess
import sys

import pytest

from harness import BUILD, ROOT

SCRIPT = """
set -e
mount -t tmpfs -o size=1m tmpfs "$SHM"
exec %s - <<'END'
import os, sys
sys.path.insert(0, os.path.join(%r, "examples/staging"))
from staging import Staging
with Staging(environment={"SONDE_RECORDER_DIR": os.environ["SHM"]}) as system:
    for n in range(40):
        system.order("user_%%03d" %% (n %% 7))
    system.check()
END
"""


def test_the_example_runs_on_a_tmpfs_of_one_mebibyte(tmp_path):
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip("no mount namespace here: " + probe.stderr.strip())
    env = dict(os.environ, SHM=str(tmp_path), SONDE_BUILD=BUILD)
    done = subprocess.run(["unshare", "-m", "bash", "-c", SCRIPT % (sys.executable, ROOT)], env=env,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "SIGBUS" not in done.stderr and "AddressSanitizer" not in done.stderr, done.stderr[-4000:]
    said = [line for line in done.stderr.splitlines() if "recorder" in line or "crash" in line]
    # Two programs use libsonde, the API and the worker; each says it once.
    assert len(said) == 2, done.stderr[-4000:]
    assert done.stdout.count("Image created successfully") == 40
