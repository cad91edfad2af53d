# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import harness  # noqa: E402

# Systems run beside each other; none takes the port that a user would expect.
os.environ["EXAMPLES_FREE_PORTS"] = "1"


@pytest.fixture
def server():
    with harness.Server() as s:
        yield s
