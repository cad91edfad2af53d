# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL and Redis from Debian's packages, each a server of the test's own; a test is skipped where
they are not installed."""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import free_ports, wait_for


class Postgres:
    """A cluster of its own; PostgreSQL refuses to run as root, so then it runs as its own user."""

    def __init__(self):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not programs:
            raise unittest.SkipTest("PostgreSQL is not installed")
        self.programs, self.port = programs[-1], free_ports(1, base=21000)[0]
        self.dir = tempfile.mkdtemp(prefix="sonde-postgres-")
        self.as_user = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        data = os.path.join(self.dir, "data")
        subprocess.run([*self.as_user, self.programs + "/initdb", "-D", data, "-U", "test", "-A",
                        "trust", "-E", "UTF8", "--no-locale", "--no-sync"], check=True,
                       capture_output=True, cwd="/")
        self.process = subprocess.Popen(
            [*self.as_user, self.programs + "/postgres", "-D", data, "-p", str(self.port), "-c",
             "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        self.url = "postgresql://test@127.0.0.1:%d/postgres" % self.port
        wait_for("PostgreSQL", lambda: subprocess.run(
            [self.programs + "/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        ).returncode == 0, 30, 0.1)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)


class Redis:
    def __init__(self):
        if not shutil.which("redis-server"):
            raise unittest.SkipTest("Redis is not installed")
        self.port = free_ports(1, base=22000)[0]
        self.dir = tempfile.mkdtemp(prefix="sonde-redis-")
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--dir", self.dir], stdout=subprocess.DEVNULL)
        self.url = "redis://127.0.0.1:%d/0" % self.port
        wait_for("Redis", lambda: subprocess.run(
            ["redis-cli", "-p", str(self.port), "ping"], capture_output=True).stdout == b"PONG\n", 30)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)
