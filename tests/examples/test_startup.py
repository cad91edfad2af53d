# SPDX-License-Identifier: Apache-2.0
"""Programs that cannot start: each says why without showing a password, ends with 1, and leaves no memory
and no thread behind (which a build with sanitizers sees)."""
import os
import socket
import subprocess

import pytest

from harness import BUILD
from system import free_port

PROGRAMS = ["framecast/api", "framecast/pod", "staging/api", "personaworlds/api"]
WITH_QUEUE = ["framecast/api", "staging/api", "staging/worker", "personaworlds/api", "personaworlds/worker"]
SECRET = "planted-password"


def start_in_vain(program, where, **environment):
    """What it said before it ended."""
    ports = {name: str(free_port()) for name in ("PORT", "WORKER_OBSERVABILITY_PORT")}
    done = subprocess.run(
        [os.path.join(BUILD, "examples", program)], capture_output=True, text=True, timeout=60, cwd=where,
        env={**os.environ, "SONDE_RECORDER_DIR": str(where), "SONDE_ADMIN_ADDR": "127.0.0.1:0",
             "STARTUP_WAIT_S": "0", "SQLITE_PATH": str(where / "file.sqlite"), **ports, **environment})
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Sanitizer" not in said, (done.returncode, said)
    assert SECRET not in said
    return said


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_port_is_taken(program, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "127.0.0.1:%d" % port in start_in_vain(program, tmp_path, PORT=str(port))


@pytest.mark.parametrize("program", WITH_QUEUE)
def test_the_database_or_the_queue_is_away(program, tmp_path):
    nobody = free_port()
    for variable, url in (("DATABASE_URL", "postgresql://user:%s@127.0.0.1:%d/x"),
                          ("REDIS_URL", "redis://:%s@127.0.0.1:%d/0")):
        said = start_in_vain(program, tmp_path, **{variable: url % (SECRET, nobody)})
        assert '"level":"fatal"' in said and "Connection refused" in said, said
    assert "REDIS_URL must look like" in start_in_vain(program, tmp_path, REDIS_URL="nonsense")
