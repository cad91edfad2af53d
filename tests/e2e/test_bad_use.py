# SPDX-License-Identifier: Apache-2.0
"""Bad use is safe: bad_use.c misuses the library, one case a process, under the build's sanitizers.

The process never blocks, crashes or leaks; and what was recorded is what came out plus what the library
says that it dropped. What processes leave behind is what `sonde recover` prints.
"""
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest

from harness import BUILD, FULL, SONDE, Lateness, free_ports
from native import ENVIRONMENT, compile_program, library_build

HERE = os.path.dirname(os.path.abspath(__file__))
TSAN_BUILD = os.environ.get("SONDE_TSAN_BUILD")
FORKS = 1000 if FULL else 100


class Case:
    """One run; what it printed, wrote and left."""

    def __init__(self, program, tmp_path, name, *argument, seconds=60, before=(), env=None, lines=None, code=0):
        self.recorders, self.path = tmp_path / "recorders", tmp_path / "lines"
        self.build = os.path.dirname(program.library)
        environment = {**ENVIRONMENT, "OTEL_TRACES_EXPORTER": "console", **(env or {})}
        started = time.monotonic()
        done = subprocess.run([*before, program.path, name, str(self.recorders), lines or "file:%s" % self.path,
                               *map(str, argument)],
                              capture_output=True, text=True, timeout=seconds, env=environment, cwd=tmp_path)
        self.seconds = time.monotonic() - started
        self.stdout, self.stderr = done.stdout, done.stderr
        assert done.returncode == code, "exit code %d\n%s" % (done.returncode, done.stderr[-8000:])
        assert "runtime error" not in done.stderr and "WARNING: ThreadSanitizer" not in done.stderr
        self.said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if lines is None:
            rows = [json.loads(line) for line in self.path.read_bytes().decode().splitlines()]
            self.logs = [r for r in rows if "message" in r]
            self.spans = [r for r in rows if "message" not in r]

    @property
    def report(self):
        return self.said[-1]

    def named(self, event):
        return [r for r in self.logs if r["message"] == event]

    def numbered(self):
        numbers = [r["n"] for r in self.named("numbered")]
        assert len(numbers) == len(set(numbers)), "a record came out twice"
        return set(numbers)

    def check_counts(self):
        """Attempted = delivered + counted as dropped, for logs and spans."""
        said, logs = self.report, self.numbered()
        steps = [r for r in self.spans if r["name"] == "step"]
        assert len(logs) + said["dropped_logs"] == said["logs"], said
        assert len(steps) + said["dropped_spans"] == said["spans"], said
        return said

    def recovered(self):
        done = subprocess.run([SONDE, "recover", self.recorders, "-o", "json"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


class Program:
    def __init__(self, where, build):
        self.library = os.path.join(build, "libsonde.so")
        self.path = compile_program(os.path.join(HERE, "bad_use.c"), where / "bad_use", "-Wall", "-Werror",
                                    build=build)
        self.plugin = compile_program(os.path.join(HERE, "bad_plugin.c"), where / "plugin.so", "-shared", "-fPIC",
                                      build=build)


@pytest.fixture(scope="module", params=["build", "tsan"])
def threaded(request, tmp_path_factory):
    """For the cases with threads: the library of the build, and one with the thread sanitizer."""
    build = BUILD if request.param == "build" else TSAN_BUILD
    if not build:
        pytest.skip("the thread sanitizer's build is made by ./test full")
    return Program(tmp_path_factory.mktemp(request.param), build)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("program"), BUILD)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Without sanitizers, for what forks or has little memory."""
    return Program(tmp_path_factory.mktemp("plain"), library_build("plain"))


def test_calls_before_the_start_and_after_the_stop_are_counted(program, tmp_path):
    case = Case(program, tmp_path, "early")
    assert case.report["dropped_logs"] == 1000 and case.report["dropped_spans"] == 1000, case.report
    assert case.numbered() == {1000}


def test_starting_and_stopping_twice(program, tmp_path):
    case = Case(program, tmp_path, "twice")
    assert len(case.numbered()) == case.report["logs"] == 30
    assert len([s for s in case.spans if s["name"] == "step"]) == 30
    assert os.listdir(case.recorders) == []


def test_signal_handlers_that_record_inside_of_calls_that_record(threaded, tmp_path):
    said = Case(threaded, tmp_path, "signal_storm").check_counts()
    assert said["logs"] > 80000 + 200, "too few signals to prove anything: %s" % said


def test_threads_that_die_and_handlers_of_exit(threaded, tmp_path):
    case = Case(threaded, tmp_path, "dying_threads")
    said = case.check_counts()
    # A thread's own call, and those of its keys' destructors.
    assert said["logs"] >= 8 * 16 * 4, said
    assert "late exit ran" in case.stdout


def test_two_thousand_threads_at_once(threaded, tmp_path):
    said = Case(threaded, tmp_path, "threads_2000", seconds=120).check_counts()
    assert said["logs"] == 10000 and said["dropped_logs"] == 0, said
    # A thread that wants the table of open spans to grow while another is at it goes without.
    assert said["dropped_spans"] < 1000, said


def test_a_raw_clone_has_a_recorder_of_its_own(plain, tmp_path):
    case = Case(plain, tmp_path, "raw_clone")
    case.check_counts()
    left = case.recovered()
    assert [r["message"] for r in left + case.logs if r.get("message") == "in_child"] == ["in_child"]
    names = [r["name"] for r in left if r["type"] == "span"] + [r["name"] for r in case.spans]
    assert names.count("child_span") == 1


def test_forks_while_other_threads_record(plain, tmp_path):
    case = Case(plain, tmp_path, "fork_storm", FORKS, seconds=300)
    case.check_counts()
    left = case.recovered()
    children = [r["child"] for r in case.named("in_child")] + [r["child"] for r in left
                                                              if r.get("message") == "in_child"]
    assert sorted(children) == list(range(FORKS))
    spans = [s for s in case.spans + [r for r in left if r["type"] == "span"] if s["name"] == "child_span"]
    assert len(spans) == FORKS


def test_a_full_ring_drops_and_counts(threaded, tmp_path):
    said = Case(threaded, tmp_path, "full_ring").check_counts()
    assert said["dropped_logs"] > 0, "the ring was never full: %s" % said
    assert said["dropped_metrics"] == 0, said


def unshared(script):
    """What stands before a command to run it in a mount namespace of its own, after `script`, for which $3 is
    the recorder directory."""
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip("no mount namespace here: " + probe.stderr.strip())
    return ["unshare", "-m", "sh", "-ec", 'mkdir -p "$3"\n%s\nexec "$@"' % script, "sh"]


@pytest.mark.parametrize("what, script", [
    ("tiny", 'mount -t tmpfs -o size=320k tmpfs "$3"'),
    ("full", 'mount -t tmpfs -o size=1m tmpfs "$3"; dd if=/dev/zero of="$3/filler" bs=4k count=250 2>/dev/null || true'),
    ("full to the last byte", 'mount -t tmpfs -o size=64k tmpfs "$3"; cat /dev/zero >"$3/filler" 2>/dev/null || true'),
    ("read-only", 'mount -t tmpfs -o ro tmpfs "$3"'),
    ("a file", 'rmdir "$3"; touch "$3"'),
])
def test_a_recorder_directory_that_has_no_room(program, tmp_path, what, script):
    case = Case(program, tmp_path, "work", before=unshared(script))
    said = case.check_counts()
    assert len(re.findall("^sonde: ", case.stderr, re.M)) == 1, case.stderr
    if what == "a file" or "full" in what or what == "read-only":
        assert "will not survive a crash" in case.stderr, case.stderr
    assert said["logs"] == 20000


def test_the_directory_is_removed_while_it_runs(plain, tmp_path):
    case = Case(plain, tmp_path, "directory_removed")
    case.check_counts()
    assert len(case.named("in_child")) == 1


def test_no_file_descriptor_is_left_for_the_start(program, tmp_path):
    case = Case(program, tmp_path, "few_files", lines="stderr")
    assert "will not survive a crash" in case.stderr
    assert case.stderr.count('"message":"numbered"') + case.report["dropped_logs"] == case.report["logs"] == 100


def test_file_descriptors_run_out_later(program, tmp_path):
    case = Case(program, tmp_path, "files_run_out", before=["prlimit", "--nofile=64"])
    case.check_counts()


def test_address_space_runs_out(plain, tmp_path):
    """What cannot be drained for want of memory stays in the recorder; the start with memory hands it on."""
    with Lateness() as late:
        case = Case(plain, tmp_path, "little_memory")
    assert len(case.numbered()) >= 20001, case.stderr
    assert case.seconds < 30 + late() / 1000


def test_a_plugin_is_unloaded_after_it_recorded(program, tmp_path):
    case = Case(program, tmp_path, "plugin", program.plugin)
    case.check_counts()
    rounds = case.named("from_the_plugin")
    assert [r["round"] for r in rounds] == list(range(20))
    assert all(r["plugin.text"] == "copied" and r["level"] == "warn" for r in rounds)
    assert len([s for s in case.spans if s["name"] == "plugin_span"]) == 20


def test_under_a_strict_seccomp_filter(program, tmp_path):
    said = Case(program, tmp_path, "seccomp").check_counts()
    assert said["logs"] == 40000


class Hanging(threading.Thread):
    """Takes connections and never answers; or closes them at once."""

    def __init__(self, closes):
        super().__init__(daemon=True)
        self.closes = closes
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.socket.getsockname()[1]
        self.held = []
        self.start()

    def run(self):
        try:
            while True:
                taken = self.socket.accept()[0]
                if self.closes:
                    taken.close()
                else:
                    self.held.append(taken)
        except OSError:
            pass


@pytest.mark.parametrize("receiver", ["absent", "hanging", "closing", "no name"])
def test_the_exit_waits_for_no_receiver_longer_than_the_limit(program, tmp_path, receiver):
    hanging = Hanging(receiver == "closing")
    url = {"absent": "http://127.0.0.1:%d" % free_ports(1)[0], "hanging": hanging.url,
           "no name": "http://there-is-no-such-host.invalid:4318", "closing": hanging.url}[receiver]
    with Lateness() as late:
        case = Case(program, tmp_path, "receiver", url, env={"OTEL_TRACES_EXPORTER": "otlp"})
    hanging.socket.close()
    said, busy = case.said[-1], late() / 1000
    assert said["stop_s"] <= 1.0 + 0.6 + busy, (said, busy)  # options.stop_timeout_ms, and some work
    assert said["calls_s"] < 1.0 + busy, (said, busy)
    assert len(case.numbered()) == said["logs"], "the lines do not wait for the receiver"
    left = case.recovered()
    assert {r["n"] for r in left if r.get("message") == "numbered"} == set(range(said["logs"]))
