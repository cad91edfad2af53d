# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

pytest.register_assert_rewrite("judge")

import harness  # noqa: E402


@pytest.fixture
def server():
    with harness.Server() as s:
        yield s
