# SPDX-License-Identifier: Apache-2.0
"""The images: no container engine is at hand, so what can be said of config/Dockerfile without one is said
here: that each program finds its libraries, that what is copied exists, and that the health check works."""
import glob
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import BUILD, ROOT  # noqa: E402

with open(ROOT + "/config/Dockerfile") as f:
    # Continued lines are one; comments are none.
    LINES = re.sub(r"\\\n", " ", "".join(line for line in f if not line.startswith("#"))).splitlines()
SANITIZERS = ("libasan", "libubsan", "libtsan")


def stage(name):
    """The lines of a stage, from its FROM to the next."""
    names = [re.match(r"FROM .* AS (\S+)$", line) for line in LINES]
    first = next(i for i, m in enumerate(names) if m and m[1] == name)
    rest = next((i for i, m in enumerate(names) if m and i > first), len(LINES))
    return LINES[first:rest]


def installed(name):
    words = " ".join(line for line in stage(name) if "apt-get install" in line).split("&&")
    words = next(w for w in words if "apt-get install" in w).split()
    return {w for w in words if not w.startswith("-")} - {"apt-get", "install"}


def packages_of(programs):
    """Debian's packages of the libraries that the programs name, but for the C library's own."""
    needed = subprocess.run(["objdump", "-p", *programs], capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r"NEEDED +(\S+)", needed))
    found = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout
    paths = {os.path.realpath(path) for name, path in re.findall(r"(\S+) => (/\S+)", found)
             if name in names and not name.startswith(("libsonde",) + SANITIZERS)}
    owners = subprocess.run(["dpkg", "-S", *[path.removeprefix("/usr") for path in paths], *paths],
                            capture_output=True, text=True).stdout
    return {line.split(":")[0] for line in owners.splitlines()} - {"libc6", "libgcc-s1"}


@pytest.mark.skipif(not shutil.which("dpkg") or not shutil.which("objdump"), reason="needs Debian's tools")
@pytest.mark.parametrize("name", ["server", "program"])
def test_an_image_has_the_libraries_of_its_programs(name):
    programs = [p for p in glob.glob(BUILD + "/examples/*/*") if os.access(p, os.X_OK) and os.path.isfile(p)]
    programs = [BUILD + "/sonde"] if name == "server" else programs + [BUILD + "/libsonde.so"]
    if not all(os.path.exists(p) for p in programs):
        pytest.skip("not all is built")
    missing = packages_of(programs) - installed(name)
    assert not missing
    assert len(installed(name)) >= 10


def test_what_is_copied_from_the_repository_exists():
    sources = [line.split()[-2] for line in LINES if line.startswith("COPY") and "--from" not in line]
    assert "config/healthy" in sources
    for source in sources:
        assert os.path.exists(os.path.join(ROOT, source)), source


def test_images_run_as_no_root_with_a_health_check_and_volumes():
    for name in ("server", "program"):
        lines = "\n".join(stage(name))
        assert re.search(r"^USER 10001$", lines, re.M) and "HEALTHCHECK" in lines and "VOLUME" in lines
        assert re.search(r'^ENTRYPOINT \["', lines, re.M), "signals reach the program only without a shell"


def test_each_program_that_a_compose_file_builds_exists():
    found = 0
    for path in glob.glob(ROOT + "/config/*/compose*.yaml"):
        with open(path) as f:
            text = f.read()
        for system, program in re.findall(r"SYSTEM: ([\w-]+), PROGRAM: ([\w-]+)", text):
            with open("%s/examples/%s" % (ROOT, "CMakeLists.txt" if system == "common" else
                                          system + "/programs.cmake")) as f:
                assert "sonde_example(%s %s " % (system, program) in f.read(), path
            found += 1
        for target in re.findall(r"target: (\S+)", text):
            assert stage(target), path
    assert found


@pytest.mark.parametrize("status,healthy", [(200, True), (503, False), (None, False)])
def test_the_health_check_believes_only_a_200(status, healthy):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    if status is None:
        server.server_close()
    else:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    end = subprocess.run([ROOT + "/config/healthy"], timeout=20, stderr=subprocess.DEVNULL,
                         env={**os.environ, "HEALTH": "%d/healthz" % server.server_address[1]})
    if status is not None:
        server.shutdown()
        server.server_close()
    assert (end.returncode == 0) == healthy
