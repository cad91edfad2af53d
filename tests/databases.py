# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL and Redis from Debian's packages, each a server of the test's own; a test is skipped where
they are not installed. down() and up() are a fault: the server goes, and comes back on the same port with
its data; freeze() and thaw() leave it there without an answer."""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import free_ports, wait_for


class Database:
    """What both have: a process that can go and come back. A subclass has command() and ready()."""

    def __init__(self, name):
        self.name, self.port = name, free_ports(1)[0]
        self.dir = tempfile.mkdtemp(prefix="sonde-%s-" % name)
        self.process = None

    def up(self):
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, cwd="/")

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError("%s ended with %d" % (self.name, self.process.returncode))
            return self.ready()
        wait_for(self.name, ready, 30, 0.02)

    def down(self, how=signal.SIGINT):
        """Ends the server, its connections at once; SIGKILL and SIGQUIT are a crash."""
        self.thaw()
        self.process.send_signal(how)
        self.process.wait(30)

    def everyone(self):
        """The server's processes: PostgreSQL has one for each connection."""
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return [self.process.pid] + [int(pid) for pid in f.read().split()]

    def freeze(self):
        """Connections stay open and are taken, but nothing answers."""
        for pid in self.everyone():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        if self.process.poll() is None:
            for pid in reversed(self.everyone()):
                os.kill(pid, signal.SIGCONT)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.down()
        shutil.rmtree(self.dir, ignore_errors=True)


class Postgres(Database):
    """A cluster of its own; PostgreSQL refuses to run as root, so then it runs as its own user."""

    def __init__(self):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not programs:
            raise unittest.SkipTest("PostgreSQL is not installed")
        super().__init__("postgres")
        self.programs, self.data = programs[-1], os.path.join(self.dir, "data")
        self.as_user, self.databases = [], 0
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        try:
            subprocess.run([*self.as_user, self.programs + "/initdb", "-D", self.data, "-U", "test",
                            "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"], check=True,
                           capture_output=True, cwd="/")
            self.up()
        except BaseException:
            self.stop()
            raise
        self.url = "postgresql://test@127.0.0.1:%d/postgres" % self.port

    def command(self):
        return [*self.as_user, self.programs + "/postgres", "-D", self.data, "-p", str(self.port), "-c",
                "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]

    def ready(self):
        return subprocess.run([self.programs + "/pg_isready", "-q", "-h", "127.0.0.1", "-p",
                               str(self.port)]).returncode == 0

    def sql(self, text, database="postgres"):
        """The rows as psql writes them, unaligned."""
        return subprocess.run([self.programs + "/psql", "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p",
                               str(self.port), "-U", "test", "-v", "ON_ERROR_STOP=1", "-c", text,
                               database], check=True, capture_output=True, text=True, cwd="/").stdout

    def hold(self, table):
        """A stranger's transaction that has the table for itself, in the database of url; let_go ends it."""
        session = subprocess.Popen([self.programs + "/psql", "-X", "-q", self.url], stdin=subprocess.PIPE,
                                   cwd="/")
        session.stdin.write(b"BEGIN; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE;\n" % table.encode())
        session.stdin.flush()
        return session

    @staticmethod
    def let_go(session):
        """The end of its input ends psql, and that of the connection the transaction."""
        session.stdin.close()
        session.wait(30)

    def fresh(self):
        """An empty database for the next test; url names it."""
        self.databases += 1
        name = "test_%d" % self.databases
        self.sql("CREATE DATABASE " + name)
        self.url = "postgresql://test@127.0.0.1:%d/%s" % (self.port, name)
        return self


class Redis(Database):
    def __init__(self):
        if not shutil.which("redis-server"):
            raise unittest.SkipTest("Redis is not installed")
        super().__init__("redis")
        self.url = "redis://127.0.0.1:%d/0" % self.port
        try:
            self.up()
        except BaseException:
            self.stop()
            raise

    def command(self):
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "yes", "--appendfsync", "no", "--dir", self.dir]

    def cli(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True,
                              text=True).stdout

    def ready(self):
        return self.cli("ping") == "PONG\n"

    def fresh(self):
        self.cli("flushall")
        return self
