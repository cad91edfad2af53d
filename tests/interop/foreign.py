# SPDX-License-Identifier: Apache-2.0
"""Toolchains and package environments of the interop tests. What is made for them lives in .cache/ and is
made once for each version of what it is made from; workers of the test run wait for each other. Where a
toolchain or its registry is absent, the tests are skipped by name."""
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading

from harness import ROOT

HERE = os.path.join(ROOT, "tests/interop")
CACHE = os.path.join(ROOT, ".cache")


def made_once(name, sources, make):
    """.cache/interop-NAME-HASH, filled by make(path) when there is none for these sources yet."""
    digest = hashlib.sha256()
    for source in sources:
        with open(source, "rb") as f:
            digest.update(f.read())
    path = os.path.join(CACHE, "interop-%s-%s" % (name, digest.hexdigest()[:12]))
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "interop-%s.lock" % name), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path + "/done"):
            for old in os.listdir(CACHE):
                if old.startswith("interop-%s-" % name):
                    shutil.rmtree(os.path.join(CACHE, old))
            os.makedirs(path)
            make(path)
            open(path + "/done", "w").close()
    return path


def run(command, what, seconds=600, **more):
    """Skips when the registry has not what is asked for, or cannot be reached."""
    import pytest  # here, since benchmarks use the rest of this file without it
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **more)
    except (subprocess.TimeoutExpired, FileNotFoundError) as e:
        pytest.skip("%s: %s" % (what, e))
    if done.returncode:
        pytest.skip("%s: %s" % (what, (done.stderr or done.stdout).strip()[-400:]))
    return done.stdout


def old_python():
    """A Python with OpenTelemetry's exporters for Jaeger and Zipkin."""
    wanted = os.path.join(HERE, "python/requirements.txt")

    def make(path):
        run(["/usr/bin/python3", "-m", "venv", path], "python3 -m venv")
        run([path + "/bin/pip", "install", "-q", "-r", wanted], "packages of interop/python")
    return made_once("python", [wanted], make) + "/bin/python"


def go_program():
    """The program in interop/go."""
    folder = os.path.join(HERE, "go")
    env = dict(os.environ, GOMODCACHE=CACHE + "/go/mod", GOCACHE=CACHE + "/go/build", GOFLAGS="-modcacherw",
               GOTOOLCHAIN="local")

    def make(path):
        run(["go", "build", "-trimpath", "-ldflags=-s -w", "-o", path + "/send", "."], "go build", cwd=folder,
            env=env)
    return made_once("go", [folder + "/" + name for name in ("main.go", "go.mod", "go.sum")], make) + "/send"


def java_command():
    """How the program in interop/java is started."""
    folder = os.path.join(HERE, "java")

    def make(path):
        run(["mvn", "-q", "-B", "-ntp", "-Dmaven.repo.local=%s/maven" % CACHE, "-DincludeScope=runtime",
             "dependency:copy-dependencies", "-DoutputDirectory=%s/jars" % path], "mvn", cwd=folder)
        run(["javac", "-encoding", "UTF-8", "-d", path, "-cp", path + "/jars/*", folder + "/Send.java"],
            "javac")
    path = made_once("java", [folder + "/pom.xml", folder + "/Send.java"], make)
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", "%s:%s/jars/*" % (path, path),
            "Send"]


def rust_program():
    """The program in interop/rust. It is built from a copy, since cargo notes beside the sources where each
    package came from."""
    folder = os.path.join(HERE, "rust")

    def make(path):
        shutil.copytree(folder + "/src", path + "/src")
        shutil.copy(folder + "/Cargo.toml", path)
        run(["cargo", "build", "-q", "--target-dir", CACHE + "/rust"], "cargo build", seconds=1500, cwd=path)
        shutil.copy(CACHE + "/rust/debug/send", path + "/send")
    return made_once("rust", [folder + "/Cargo.toml", folder + "/src/main.rs"], make) + "/send"


class SpanCollector:
    """span_collector.py as a process: .jaeger and .zipkin are its ports, .requests what came."""

    def __init__(self, *args, prefix=()):
        self.command = [*prefix, old_python(), os.path.join(HERE, "span_collector.py"), *args]
        self.requests = []

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        ports = json.loads(self.process.stdout.readline())
        self.jaeger, self.zipkin = ports["jaeger"], ports["zipkin"]
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        return self

    def read(self):
        for line in self.process.stdout:
            self.requests.append(json.loads(line))

    def spans(self):
        return [span for request in self.requests for span in request["spans"]]

    def __exit__(self, *_):
        self.process.kill()
        self.thread.join()
        self.process.wait()
