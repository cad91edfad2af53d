# SPDX-License-Identifier: Apache-2.0
"""What the start and demo scripts of the examples share: programs of a system, ports, a client, waiting.

A system is a class with a name, `prepare` (its ports and environment), `start_all` (its programs in
order) and `some_traffic` (one step of a small steady load). `run_up` makes the command `up` of it.
"""
import argparse
import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from ports import bindable, free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SONDE_BUILD") or os.path.join(ROOT, "build")
LAST_BYTES = 3000  # of a dead program's output that are shown


def port(variable, preferred):
    """The port that the variable names, else the preferred one, else a free one. With
    EXAMPLES_FREE_PORTS=1 the preferred one is not tried, so that systems can run beside each other."""
    if os.environ.get(variable):
        return int(os.environ[variable])
    if os.environ.get("EXAMPLES_FREE_PORTS"):
        return free_port()
    return preferred if bindable(preferred) else free_port()


def token(user, secret, seconds=3600, **claims):
    """A JWT (HS256) of that subject, which ends after so many seconds."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = part(json.dumps({"sub": user, "exp": int(time.time()) + seconds, **claims}).encode())
    mac = hmac.new(secret.encode(), head + b"." + body, hashlib.sha256).digest()
    return b".".join((head, body, part(mac))).decode()


def json_lines(text):
    """The JSON objects among lines of text; other lines and a last one that is not whole are left out."""
    found = []
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n") or not line.startswith("{"):
            continue
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


class System:
    """Programs started together; use it in a with statement, which stops what it started.

    quiet hides what the programs write to stdout; keep puts it into files, for lines() and output().
    environment goes to every program and stands above the system's own."""

    name = ""        # of its folder in examples/
    services = {}    # program: its service name, where that is another
    load = "steps"   # what some_traffic makes, for the usage text

    def __init__(self, quiet=False, environment=None, keep=False):
        self.quiet, self.keep, self.programs = quiet, keep, []
        self.state = tempfile.TemporaryDirectory(prefix="%s-" % (self.name or "system"))
        self.recorders = None
        self.url = None      # where requests go
        self.urls = {}       # program: where its /metrics, health and debug paths answer
        self.outside = None  # the stand-ins for what the system calls outside
        self.environment = {}
        self.prepare()
        self.environment.update(environment or {})

    def prepare(self):
        """Sets ports, urls and the environment of the programs."""

    def start_all(self):
        """Starts the programs in order, each after what it needs."""

    def some_traffic(self, number):
        """One step of a steady load."""

    # ---- programs ----

    def start(self, path, environment=None, name=None, arguments=()):
        """Starts build/examples/PATH, under the name of its last part. A program that is started again
        goes on in the same output file."""
        name = name or path.rpartition("/")[2]
        env = dict(self.own_recorders(), **os.environ)
        env.update({k: str(v) for k, v in (environment or self.environment).items()})
        out = err = None
        if self.keep:
            out, err = open(self.file(name, "out"), "ab"), open(self.file(name, "err"), "ab")
        elif self.quiet:
            out = subprocess.DEVNULL
        try:
            process = subprocess.Popen([os.path.join(BUILD, "examples", path), *arguments], env=env,
                                       stdout=out, stderr=err, cwd=self.state.name)
        except FileNotFoundError:
            raise SystemExit("%s is not there: build it first (./run --build, or ninja -C %s)"
                             % (os.path.join(BUILD, "examples", path), BUILD)) from None
        finally:
            for f in (out, err):
                if hasattr(f, "close"):
                    f.close()
        self.programs = [p for p in self.programs if p[0] != name] + [(name, process)]
        return process

    def own_recorders(self):
        """A system that is looked at has recorders of its own: of one that runs beside it, it does not send
        what a killed program left. For a user's `up`, what was not sent waits for the next start."""
        if not (self.keep or os.environ.get("EXAMPLES_FREE_PORTS")):
            return {}
        if not self.recorders:
            memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
            self.recorders = tempfile.TemporaryDirectory(prefix="%s-" % self.name, dir=memory)
        return {"SONDE_RECORDER_DIR": self.recorders.name}

    def start_standin(self, preferred=9000):
        """The stand-ins for what the system calls outside; self.outside is their address."""
        if not self.outside:
            self.environment.setdefault("STANDIN_PORT", port("STANDIN_PORT", preferred))
            self.outside = "http://127.0.0.1:%d" % int(self.environment["STANDIN_PORT"])
        self.start("common/standin", self.environment)
        self.wait_http(self.outside + "/health")

    def control(self, **settings):
        """Makes a stand-in slow, failing or hanging: service=NAME, delay_ms=N, fail=P, hang=P."""
        query = "&".join("%s=%s" % pair for pair in settings.items())
        status, _, body = self.request("POST", "/control?" + query, b"", url=self.outside)
        if status >= 300:
            raise RuntimeError("POST /control?%s: %d %s" % (query, status, body[:200]))

    def process(self, name):
        for known, process in self.programs:
            if known == name:
                return process
        raise KeyError("%s: no program %s was started" % (self.name, name))

    def stop(self, name, seconds=15):
        """Ends one program; its exit code."""
        process = self.process(name)
        self.programs = [p for p in self.programs if p[1] is not process]
        end([process], seconds)
        return process.returncode

    def kill(self, name):
        """The program dies as by a crash; start it again as its successor."""
        process = self.process(name)
        self.programs = [p for p in self.programs if p[1] is not process]
        process.kill()
        process.wait()

    def service(self, program):
        return self.services.get(program, program)

    def file(self, name, kind):
        return os.path.join(self.state.name, "%s.%s" % (name, kind))

    def output(self, name, kind="out"):
        """What a program wrote so far to stdout ("out") or stderr ("err"); needs keep."""
        try:
            with open(self.file(name, kind), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def lines(self, name):
        """The JSON objects that a program wrote to stdout so far."""
        return json_lines(self.output(name))

    def last_words(self, name):
        """What it wrote last to stderr, else to stdout."""
        last = self.output(name, "err") or self.output(name)
        return ":\n" + last[-LAST_BYTES:].rstrip() if last else ""

    def check(self):
        """Nobody died."""
        for name, process in self.programs:
            if process.poll() is not None:
                raise SystemExit("%s ended with %d%s" % (name, process.returncode,
                                                         self.last_words(name)))

    def wait_http(self, url, seconds=20):
        limit = time.monotonic() + seconds
        last = None
        while time.monotonic() < limit:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return
            except (urllib.error.URLError, OSError) as e:
                last = e
                time.sleep(0.02)
        raise SystemExit("%s did not answer within %d s: %s" % (url, seconds, last))

    def __enter__(self):
        try:
            self.start_all()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *_):
        end([process for _, process in reversed(self.programs)])
        bad = ["%s ended with %d%s" % (name, process.returncode, self.last_words(name))
               for name, process in self.programs if process.returncode]
        self.state.cleanup()
        if self.recorders:
            self.recorders.cleanup()
        if kind is None and bad:
            raise RuntimeError("\n".join(bad))

    # ---- the client ----

    def request(self, method, path, body=None, headers=None, url=None, timeout=30):
        """(status, headers, body), also of an error answer. A dict is sent as JSON."""
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        request = urllib.request.Request((self.url if url is None else url) + path, data=body,
                                         method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as e:
            return e.code, dict(e.headers), e.read()

    def request_json(self, method, path, body=None, headers=None, url=None, timeout=30):
        """(status, the answer's JSON)."""
        status, _, text = self.request(method, path, body, headers, url, timeout)
        try:
            return status, json.loads(text)
        except ValueError:
            raise RuntimeError("%s %s: %d, and no JSON: %r" % (method, path, status, text[:200])) from None

    def steady(self, rate, seconds=None):
        """Does some_traffic so many times a second until the time is over; how many times."""
        number, begun = 0, time.monotonic()
        while seconds is None or time.monotonic() < begun + seconds:
            self.check()
            try:
                self.some_traffic(number)
            except (OSError, RuntimeError, ValueError, KeyError) as e:
                say("%s: %s" % (self.name, e))
            number += 1
            time.sleep(max(0, begun + number / rate - time.monotonic()))
        return number


def end(processes, seconds=15):
    """SIGTERM to all, SIGKILL to those that still run after that time."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
    limit = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.1, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            say("%s did not end within %d s and was killed" % (process.args[0], seconds))
            process.kill()
            process.wait()


def stop_on_signals():
    """SIGTERM ends the script as Ctrl-C does."""
    def stop(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, stop)


def say(text):
    print(text, file=sys.stderr, flush=True)


def run_up(system_class, rate=4):
    """The command `up`: the system with a small steady load, until Ctrl-C."""
    parser = argparse.ArgumentParser(
        description="Starts the %s system with a small steady load, until Ctrl-C." % system_class.name)
    parser.add_argument("--rate", type=float, default=rate, metavar="N",
                        help="%s a second (default %g)" % (system_class.load, rate))
    parser.add_argument("--quiet", action="store_true", help="hides the programs' logs")
    args = parser.parse_args()
    if args.rate <= 0:
        parser.error("--rate needs a number above 0")
    stop_on_signals()
    try:
        with system_class(args.quiet) as system:
            say("%s answers at %s" % (system.name, system.url))
            system.steady(args.rate)
    except KeyboardInterrupt:
        return 0
