# SPDX-License-Identifier: Apache-2.0
"""What the start and demo scripts of the examples share: programs of a system, ports, waiting."""
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SONDE_BUILD") or os.path.join(ROOT, "build")


def port(variable, preferred):
    """The port that the variable names, else the preferred one, else a free one."""
    if os.environ.get(variable):
        return int(os.environ[variable])
    for candidate in (preferred, 0):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", candidate))
                return s.getsockname()[1]
            except OSError:
                continue
    raise OSError("no free port")


class System:
    """Programs started together; use it in a with statement, which stops what it started."""

    def __init__(self, quiet=False):
        self.quiet, self.programs = quiet, []

    def start(self, path, environment, name=None):
        out = subprocess.DEVNULL if self.quiet else None
        env = dict(os.environ, **{k: str(v) for k, v in environment.items()})
        process = subprocess.Popen([os.path.join(BUILD, "examples", path)], env=env, stdout=out)
        self.programs.append((name or path, process))
        return process

    def check(self):
        for name, process in self.programs:
            if process.poll() is not None:
                raise SystemExit("%s ended with %d" % (name, process.returncode))

    def wait_http(self, url, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise SystemExit("%s did not answer within %d s" % (url, seconds))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _, process in reversed(self.programs):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for _, process in reversed(self.programs):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def stop_on_signals():
    """SIGTERM ends the script as Ctrl-C does."""
    def end(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, end)


def say(text):
    print(text, file=sys.stderr, flush=True)
