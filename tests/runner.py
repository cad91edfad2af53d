#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the test suites and adds up their results; called by ./test.

A suite is a row of SUITES: a function that runs it and returns (passed, failed, skipped) lists of
names, and whether it belongs to `full` only.
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build-dev")
CACHE = os.path.join(ROOT, ".cache")
WEB = os.path.join(ROOT, "web")


class Results:
    def __init__(self):
        self.passed, self.failed, self.skipped = [], [], []

    def add_junit(self, path, suite):
        if not os.path.exists(path):
            self.failed.append(suite + ": no result was written")
            return
        for case in xml.parse(path).getroot().iter("testcase"):
            name = "%s: %s" % (suite, case.get("name"))
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
            elif skip is not None or case.get("status") in ("notrun", "disabled"):
                reason = skip.get("message") if skip is not None else ""
                self.skipped.append(name + (": " + reason if reason else ""))
            else:
                self.passed.append(name)

    def add_tap(self, text, suite):
        """Lines "ok NAME", "not ok NAME", "skip NAME: why"."""
        for line in text.splitlines():
            match = re.match(r"(ok|not ok|skip)\s+(?:\d+\s+)?(?:-\s+)?(.*)", line)
            if match:
                kind = {"ok": self.passed, "not ok": self.failed, "skip": self.skipped}
                kind[match.group(1)].append("%s: %s" % (suite, match.group(2)))


def environment():
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.setdefault("TSAN_OPTIONS", "die_after_fork=0")
    env.update(SONDE_BUILD=BUILD, SONDE_ROOT=ROOT)
    env.pop("SONDE_FUZZ_SECONDS", None)  # the seeds are replayed as they are
    return env


def venv():
    """A Python environment with what tests/requirements.txt names; made once for each version of it."""
    wanted = os.path.join(ROOT, "tests/requirements.txt")
    with open(wanted, "rb") as f:
        key = hashlib.sha256(f.read()).hexdigest()[:12]
    path = os.path.join(CACHE, "venv-" + key)
    if not os.path.exists(os.path.join(path, "done")):
        for old in glob.glob(os.path.join(CACHE, "venv-*")):
            shutil.rmtree(old)
        print("making a Python environment for the tests", flush=True)
        subprocess.run(["/usr/bin/python3", "-m", "venv", path], check=True)
        subprocess.run([path + "/bin/pip", "install", "-q", "-r", wanted], check=True)
        open(os.path.join(path, "done"), "w").close()
    return path + "/bin/python"


def run_ctest(results, pattern, suite, name=None, build_dir=BUILD):
    out = os.path.join(build_dir, suite + ".xml")
    if os.path.exists(out):
        os.remove(out)
    args = ["ctest", "--test-dir", build_dir, "-j", str(os.cpu_count()), "--output-junit", out,
            "--output-on-failure", "--no-tests=error", "-R", pattern if name is None else name]
    done = subprocess.run(args, capture_output=True, text=True, env=environment())
    if done.returncode:
        print(done.stdout[-12000:] + done.stderr[-4000:])
    results.add_junit(out, suite)


def run_pytest(results, folder, suite, name=None, full=False, workers=None):
    out = os.path.join(BUILD, suite + ".xml")
    if os.path.exists(out):
        os.remove(out)
    args = [venv(), "-m", "pytest", "-q", "-x" if os.environ.get("SONDE_FAIL_FAST") else "-q",
            "-p", "no:cacheprovider", "--junitxml", out, "-n", str(workers or os.cpu_count()),
            "--dist", "loadfile", folder]
    if name:
        args += ["-k", " or ".join(sorted({name, name.replace("-", "_")}))]
    env = dict(environment(), SONDE_FULL="1" if full else "")
    done = subprocess.run(args, env=env, cwd=os.path.join(ROOT, "tests"), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode not in (0, 5):
        print(done.stdout[-20000:])
    if done.returncode != 5:
        results.add_junit(out, suite)


def suite_unit(results, name, full):
    run_ctest(results, "^unit_", "unit", name)


def run_fuzzers(results, *args):
    """Shows each target as it ends where fuzzing was asked for by name; else only what fails."""
    asked = "fuzz" in sys.argv[1:]
    with subprocess.Popen([os.path.join(ROOT, "tests/fuzz/run"), *args], text=True, env=environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            results.add_tap(line, "fuzz")
            if asked or not re.match("ok|skip", line):
                print(line, end="", flush=True)
    if process.returncode and not any(line.startswith("fuzz: ") for line in results.failed):
        results.failed.append("fuzz: tests/fuzz/run ended with %d" % process.returncode)


def suite_fuzz(results, name, full):
    """The seeds as they are, then a few seconds of inputs made of them; in full, minutes of libFuzzer."""
    run_ctest(results, "^replay_", "fuzz", name)
    seconds = os.environ.get("SONDE_FUZZ_SECONDS", "5")
    if not full:  # the same inputs each time: a change is judged by what it changed
        os.environ.setdefault("SONDE_FUZZ_SEED", "1")
    if name is None and seconds != "0":
        run_fuzzers(results, "--replay", seconds)
    if full:
        run_fuzzers(results, "60")


def suite_e2e(results, name, full):
    run_pytest(results, "e2e", "e2e", name, full)


def suite_interop(results, name, full):
    run_pytest(results, "interop", "interop", name, full)


def suite_examples(results, name, full):
    """A system is several programs, which wait more than they work: two tests at once also on one core."""
    run_pytest(results, "examples", "examples", name, full, max(2, os.cpu_count()))


def suite_web(results, name, full):
    out = os.path.join(BUILD, "vitest.xml")
    done = subprocess.run(["npx", "--no-install", "vitest", "run", "--reporter=junit",
                           "--outputFile=" + out], cwd=WEB, text=True, capture_output=True)
    if done.returncode:
        print(done.stdout[-6000:] + done.stderr[-6000:])
    results.add_junit(out, "web")
    run_pytest(results, "web", "browser", name, full)


def suite_fresh(results, name, full):
    done = subprocess.run([os.path.join(ROOT, "tests/fresh/run")], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        print(done.stdout[-12000:])
    results.add_tap(done.stdout, "fresh")


def suite_tsan(results, name, full):
    """The library's and the network layer's unit tests under the thread sanitizer. end-to-end tests with threads
    use its library, too (SONDE_TSAN_BUILD)."""
    build_dir = os.path.join(ROOT, "build-tsan")
    targets = ["unit_%s_%s" % (layer, os.path.basename(path)[5:-2]) for layer in ("lib", "net")
               for path in sorted(glob.glob(os.path.join(ROOT, "tests/unit", layer, "test_*.c")))]
    done = subprocess.run([os.path.join(ROOT, "tools/build"), "tsan", "sonde_shared", *targets])
    if done.returncode:
        results.failed.append("tsan: the build failed")
        return
    os.environ["SONDE_TSAN_BUILD"] = build_dir
    run_ctest(results, "^unit_(lib|net)_", "tsan", name, build_dir)


# name, function, only in `full`
SUITES = [
    ("unit", suite_unit, False),
    ("fuzz", suite_fuzz, False),
    ("tsan", suite_tsan, True),
    ("e2e", suite_e2e, False),
    ("interop", suite_interop, False),
    ("examples", suite_examples, False),
    ("web", suite_web, False),
    ("fresh", suite_fresh, True),
]


def build():
    targets = ["all", "unit_tests"]
    done = subprocess.run([os.path.join(ROOT, "tools/build"), "dev", *targets])
    if done.returncode:
        print("0 passed, 1 failed")
        sys.exit(1)


def main():
    names = [a for a in sys.argv[1:] if a != "full"]
    full = "full" in sys.argv[1:]
    known = [row[0] for row in SUITES]
    if "--list" in names:
        print("suites: " + " ".join(known))
        return 0
    build()
    results = Results()
    chosen = [n for n in names if n in known]
    others = [n for n in names if n not in known]
    for suite, function, only_full in SUITES:
        if names and suite not in chosen and not others:
            continue
        if only_full and not full and suite not in chosen:
            continue
        started = time.monotonic()
        before = len(results.failed)
        for other in others or [None]:
            if other and suite in ("fresh",):
                continue
            function(results, other, full)
        print("%-8s %s in %.0f s" % (suite, "failed" if len(results.failed) > before else "done",
                                     time.monotonic() - started), flush=True)
    for line in results.skipped:
        print("skipped " + line)
    for line in results.failed:
        print("FAILED  " + line)
    text = "%d passed, %d failed" % (len(results.passed), len(results.failed))
    if results.skipped:
        text += ", %d skipped" % len(results.skipped)
    if not results.passed and not results.failed:
        print("test: nothing is named %s" % " ".join(names), file=sys.stderr)
        return 2
    print(text)
    return 1 if results.failed else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="sonde-tests-") as where:
        os.environ["SONDE_TEST_TMP"] = where
        sys.exit(main())
