# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry's own SDKs for Node and Python send traces, metrics and logs over gRPC, HTTP/protobuf
and HTTP/JSON; what they sent is read back equal."""
import fcntl
import os
import subprocess
import sys

import pytest

from foreign import HERE
from judge import check_sdk

NODE = os.path.join(HERE, "node")


@pytest.fixture(scope="session")
def node_modules():
    """Installed once; workers of the test run wait for each other."""
    with open(os.path.join(NODE, ".npmrc")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = os.path.join(NODE, "node_modules/.package-lock.json")
        wanted = os.path.join(NODE, "package-lock.json")
        if not os.path.exists(done) or os.path.getmtime(done) < os.path.getmtime(wanted):
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=NODE,
                           check=True, capture_output=True)


@pytest.mark.parametrize("protocol", ["grpc", "protobuf", "json"])
def test_node(server, node_modules, protocol):
    check_sdk(["node", os.path.join(NODE, "send.mjs")], protocol, server)


@pytest.mark.parametrize("protocol", ["grpc", "protobuf"])
def test_python(server, protocol):
    check_sdk([sys.executable, os.path.join(HERE, "send_python.py")], protocol, server)
