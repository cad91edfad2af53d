# SPDX-License-Identifier: Apache-2.0
"""What the tests of the five systems share: a server, PostgreSQL and Redis of their own, free ports."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import harness  # noqa: E402
from databases import Postgres, Redis  # noqa: E402

# Systems run beside each other; none takes the port that a user would expect.
os.environ["EXAMPLES_FREE_PORTS"] = "1"
EXAMPLES = os.path.join(harness.ROOT, "examples")
SYSTEMS = ["framecast", "staging", "personaworlds", "sixseven", "debug-server"]
FAST_EXPORT = {"OTEL_METRIC_EXPORT_INTERVAL": "500", "OTEL_BSP_SCHEDULE_DELAY": "100",
               "OTEL_BLRP_SCHEDULE_DELAY": "100"}

sys.path[:0] = [os.path.join(EXAMPLES, "common")] + [os.path.join(EXAMPLES, s) for s in SYSTEMS]


@pytest.fixture
def server():
    """A server with an empty store; kill() and start() are its fault, on the same ports and data."""
    with harness.Server() as s:
        yield s


@pytest.fixture
def fast_export(server):
    """The environment of a system that reports to the server at once."""
    return dict(FAST_EXPORT, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)


@pytest.fixture(scope="session")
def one_postgres():
    database = Postgres()
    yield database
    database.stop()


@pytest.fixture(scope="session")
def one_redis():
    database = Redis()
    yield database
    database.stop()


@pytest.fixture
def postgres(one_postgres):
    """PostgreSQL with an empty database; a test may stop it, for the next one it is there again."""
    yield started(one_postgres).fresh()
    started(one_postgres)


@pytest.fixture
def redis(one_redis):
    yield started(one_redis).fresh()
    started(one_redis)


def started(database):
    if database.process.poll() is not None:
        database.up()
    database.thaw()
    return database
