# SPDX-License-Identifier: Apache-2.0
"""libsonde as its users get it: a release build, installed, and moved elsewhere.

The program of README.md is built from the installed files by find_package and by pkg-config, against
the shared and the static library, in C11 and C++17, and prints what README.md says. The libraries
give out no name but sonde_*, and are hardened. With neither export nor admin port, libc is enough.
The snippets of docs/library.md compile.
"""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import BUILD, ROOT, SONDE
from native import ENVIRONMENT, library_build

WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# The C library, whose parts these are, and the loader.
LIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def run(*args, **kwargs):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=1200, **kwargs)
    assert done.returncode == 0, "%s\n%s%s" % (args, done.stdout[-6000:], done.stderr[-6000:])
    return done.stdout


def readelf(*args):
    return run("readelf", "-W", *args)


class Package:
    def __init__(self, where, build):
        self.where, self.prefix, self.build = where, where / "moved/here", build
        run("cmake", "--install", build, "--prefix", where / "first")
        self.prefix.parent.mkdir()
        (where / "first").rename(self.prefix)
        self.pkg_config_dir = next(self.prefix.rglob("sonde.pc")).parent
        self.lib = self.pkg_config_dir.parent
        self.shared, self.static = self.lib / "libsonde.so", self.lib / "libsonde.a"
        self.c, self.cxx = where / "shop.c", where / "shop.cc"
        self.c.write_text(snippets("README.md", "c")[0])
        for name in ("shop.cc", "CMakeLists.txt"):
            shutil.copy(os.path.join(ROOT, "tests/packaging", name), where)

    def pkg_config(self, *args):
        env = dict(os.environ, PKG_CONFIG_PATH=str(self.pkg_config_dir))
        return run("pkg-config", *args, "sonde", env=env).split()

    def compile(self, name, compiler, source, libs):
        """By pkg-config; only what is installed is in reach."""
        program = self.where / name
        run(*compiler.split(), *WARNINGS, source, *self.pkg_config("--cflags"), *libs, "-o", program)
        return program

    def compile_static(self, name):
        libs = ["-l:libsonde.a" if flag == "-lsonde" else flag
                for flag in self.pkg_config("--static", "--libs")]
        return self.compile(name, "cc -std=gnu11", self.c, libs)


def snippets(document, language):
    with open(os.path.join(ROOT, document)) as f:
        return re.findall(r"```%s\n(.*?)```" % language, f.read(), re.S)


def needed(path):
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", readelf("-d", path)))


def check_line(program, lib=None):
    """The program prints one JSON line, as README.md has it."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("OTEL_", "SONDE_", "LD_")) and k not in ("LOG_LEVEL", "STATE_DIRECTORY")}
    env["SONDE_RECORDER_DIR"] = str(program.parent / "recorders")
    if lib:
        env["LD_LIBRARY_PATH"] = str(lib)
    done = subprocess.run([str(program)], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and done.stderr == "", done
    line, = done.stdout.splitlines()
    got = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6,9}Z", got.pop("timestamp"))
    assert re.fullmatch(r"[0-9a-f]{32}", got.pop("trace_id"))
    assert re.fullmatch(r"[0-9a-f]{16}", got.pop("span_id"))
    assert got == {"level": "info", "service": "shop-api", "message": "order_placed", "order_id": 42,
                   "total": 99.5}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    where = tmp_path_factory.mktemp("package")
    yield Package(where, library_build("plain"))
    shutil.rmtree(where)


@pytest.fixture(scope="module")
def minimal(tmp_path_factory):
    where = tmp_path_factory.mktemp("minimal")
    yield Package(where, library_build("minimal", "-DSONDE_EXPORT=OFF", "-DSONDE_ADMIN=OFF"))
    shutil.rmtree(where)


@pytest.mark.parametrize("compiler", ["cc -std=c11", "cc -std=gnu17", "c++ -std=c++17", "c++ -std=c++20"])
def test_pkg_config_builds_the_program_of_the_readme(package, compiler):
    source = package.cxx if "++" in compiler else package.c
    program = package.compile("by_pkg_config", compiler, source, package.pkg_config("--libs"))
    assert "libsonde.so.0" in needed(program)
    check_line(program, package.lib)


def test_pkg_config_static_builds_it_without_the_shared_library(package):
    program = package.compile_static("by_pkg_config_static")
    assert not [name for name in needed(program) if "sonde" in name]
    check_line(program)


def test_find_package_builds_it_shared_static_and_as_cxx(package):
    build = package.where / "user-build"
    run("cmake", "-S", package.where, "-B", build, "-G", "Ninja", "-DCMAKE_PREFIX_PATH=%s" % package.prefix,
        "-DCMAKE_C_FLAGS=" + " ".join(WARNINGS), "-DCMAKE_CXX_FLAGS=" + " ".join(WARNINGS))
    run("cmake", "--build", build)
    for name in ("shop_c", "shop_cxx", "shop_static"):
        assert ("libsonde.so.0" in needed(build / name)) == (name != "shop_static")
        check_line(build / name)


def test_fetch_content_takes_it_into_a_users_build(package, tmp_path):
    shutil.copy(os.path.join(ROOT, "tests/packaging/fetch/CMakeLists.txt"), tmp_path)
    shutil.copy(package.c, tmp_path)
    options = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", "-G", "Ninja", "-DSONDE_SOURCE=" + ROOT,
        "-DCMAKE_BUILD_TYPE=Release", "-DSONDE_EXPORT=OFF", "-DSONDE_ADMIN=OFF", *options)
    run("cmake", "--build", tmp_path / "build", "--target", "shop")
    check_line(tmp_path / "build" / "shop")


def test_the_library_is_small(package, tmp_path):
    """600 kB without symbols (docs/benchmarks.md says of what); and a program with logs, spans, metrics and a thread that drains takes 3 MB, the
    recorder's pages included (proportional set size)."""
    run("strip", "-o", tmp_path / "stripped.so", package.shared)
    size = os.path.getsize(tmp_path / "stripped.so")
    source = tmp_path / "rest.c"
    source.write_text(REST)
    program = package.compile("rest", "cc -std=gnu11", source, package.pkg_config("--libs"))
    env = dict(ENVIRONMENT, LD_LIBRARY_PATH=str(package.lib), SONDE_RECORDER_DIR=str(tmp_path / "recorders"))
    kib = int(run(program, env=env).split()[-1])
    print("libsonde.so, stripped: %d bytes; at rest: %d KiB" % (size, kib))
    assert size <= 600000
    assert kib <= 3 * 1024


REST = r"""
#include <sonde/sonde.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long pss(void)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "Pss:", 4) == 0)
            kib = strtol(line + 4, NULL, 10);
    fclose(f);
    return kib;
}

int main(void)
{
    long before = pss();
    sonde_start(&(sonde_options){ .service = "rest", .log_output = "none" });
    sonde_counter *c = sonde_counter_new("c_total", "", SONDE_LABELS());
    SONDE_SPAN ("one") {
        sonde_info("hello", sonde_kv("n", 1));
        sonde_counter_add(c, 1);
    }
    sonde_flush(5000);
    printf("%ld\n", pss() - before);
    sonde_stop();
    return 0;
}
"""


def test_only_names_of_ours_leave_the_libraries_and_the_reference_has_them(package, minimal):
    with open(os.path.join(ROOT, "docs/reference/library.md")) as f:
        reference = f.read()
    for built in (package, minimal):
        for symbols in (run("nm", "-D", "--defined-only", built.shared),
                        run("nm", "-g", "--defined-only", built.static)):
            names = [line.split()[2].split("@")[0] for line in symbols.splitlines()
                     if len(line.split()) == 3 and line.split()[1] != "A"]
            assert "sonde_start" in names
            assert [name for name in names if not name.startswith("sonde_")] == []
            assert [name for name in names if not name.endswith("_") and name + "(" not in reference] == []


def hardening(path):
    """What of the usual hardening a file lacks."""
    headers, dynamic = readelf("-h", "-l", path), readelf("-d", path)
    stack = re.search(r"GNU_STACK\s+(?:0x\w+\s+){5}(\S+)", headers)
    has = {
        "position independent": re.search(r"Type:\s+DYN", headers),
        "RELRO": "GNU_RELRO" in headers,
        "bound at start": "BIND_NOW" in dynamic or re.search(r"FLAGS_1.*NOW", dynamic),
        "stack not executable": stack and stack.group(1) == "RW",
        "no text relocation": "TEXTREL" not in dynamic,
        "no search path": "RPATH" not in dynamic and "RUNPATH" not in dynamic,
        "stack protector": "__stack_chk_fail" in readelf("--dyn-syms", path),
    }
    return [what for what, there in has.items() if not there]


def test_the_library_is_hardened(package):
    assert hardening(package.shared) == []
    assert re.search(r"__\w+_chk@", readelf("--dyn-syms", package.shared)), "FORTIFY is off"
    headers = readelf("-S", package.shared)
    assert ".init_array" in headers and ".ctors" not in headers


def test_programs_of_the_build_are_position_independent_and_hardened():
    path = os.path.join(BUILD, "sonde")
    assert hardening(path) == []
    assert re.search(r"FLAGS_1.*\bPIE\b", readelf("-d", path))


def test_without_export_and_admin_port_libc_is_enough(minimal):
    assert needed(minimal.shared) <= LIBC
    program = minimal.compile("small", "cc -std=c11", minimal.c, minimal.pkg_config("--libs"))
    check_line(program, minimal.lib)
    static = minimal.compile_static("small_static")
    assert needed(static) <= LIBC
    check_line(static)
    flags = minimal.pkg_config("--static", "--libs")
    assert not {"-lcurl", "-lz", "-lmicrohttpd"} & set(flags), flags


def check_survivor(program, lib=None):
    """What a program recorded before it killed itself is there."""
    recorders = program.parent / (program.name + "-recorders")
    env = dict(ENVIRONMENT, SONDE_RECORDER_DIR=str(recorders), **({"LD_LIBRARY_PATH": str(lib)} if lib else {}))
    done = subprocess.run([str(program)], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == -signal.SIGKILL, done
    rows = [json.loads(line) for line in run(SONDE, "recover", recorders, "-o", "json").splitlines()]
    log, = [r for r in rows if r["type"] == "log"]
    assert log["message"] == "failed" and log["request_id"] == "r-1" and log["detail"] == "row 7"
    assert log["error"] == "ENOENT: No such file or directory"
    spans = {r["name"]: r for r in rows if r["type"] == "span"}
    assert spans.keys() == {"inner", "outer"} and "died" in spans["outer"]["status_message"]
    assert log["span_id"] == spans["inner"]["span_id"] and log["trace_id"] == spans["outer"]["trace_id"]
    metrics = {r["name"]: r for r in rows if r["type"] == "metric"}
    assert metrics["orders_total"]["value"] == 3 and metrics["orders_total"]["attributes"] == {"currency": "EUR"}
    assert metrics["sizes"]["count"] == 1 and metrics["sizes"]["sum"] == 7.5


SURVIVOR = os.path.join(ROOT, "tests/packaging/survivor.c")


def test_what_the_minimal_library_recorded_is_recovered(minimal):
    libs = minimal.pkg_config("--libs")
    check_survivor(minimal.compile("survivor", "cc -std=gnu11", SURVIVOR, libs), minimal.lib)


def test_the_minimal_library_builds_and_works_with_musl(tmp_path):
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is not installed (musl-tools)")
    build = library_build("musl", "-DSONDE_EXPORT=OFF", "-DSONDE_ADMIN=OFF", "-DCMAKE_C_COMPILER=musl-gcc",
                          "-DSONDE_WERROR=ON")
    assert needed(os.path.join(build, "libsonde.so")) <= {"libc.so", "libgcc_s.so.1"}
    compiler = ["musl-gcc", "-std=gnu11", *WARNINGS, "-I", os.path.join(ROOT, "include"), SURVIVOR]
    run(*compiler, "-L", build, "-lsonde", "-o", tmp_path / "shared")
    check_survivor(tmp_path / "shared", build)
    run(*compiler, "-static", os.path.join(build, "libsonde.a"), "-o", tmp_path / "static")
    assert needed(tmp_path / "static") == set()
    check_survivor(tmp_path / "static")


def test_the_snippets_of_the_guide_compile(package):
    c, cxx = snippets("docs/library.md", "c"), snippets("docs/library.md", "cpp")
    parts = [text for text in c if "int main" not in text]
    programs = [("c11", "c", text) for text in c if "int main" in text]
    programs += [("c++17", "c++", text) for text in cxx]
    programs.append(("c11", "c", '#include "guide.h"\n' + "\n".join(parts)))
    assert len(parts) > 10 and len(programs) > 2
    for standard, language, text in programs:
        run("cc", "-std=" + standard, *WARNINGS, "-fsyntax-only", "-I", os.path.join(ROOT, "tests/packaging"),
            *package.pkg_config("--cflags"), "-x", language, "-", input=text)
