# SPDX-License-Identifier: Apache-2.0
"""C and C++ programs of the tests, compiled against the libsonde of the build, with its sanitizers."""
import fcntl
import os
import re
import shutil
import subprocess

from harness import BUILD, ROOT

# Nothing of the caller's settings; what the sanitizers find ends the program with another exit code.
ENVIRONMENT = {k: v for k, v in os.environ.items()
               if not k.startswith(("OTEL_", "SONDE_")) and not k.lower().endswith("_proxy")
               and k not in ("LOG_LEVEL", "STATE_DIRECTORY")}
ENVIRONMENT.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1")
ENVIRONMENT.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
ENVIRONMENT.setdefault("TSAN_OPTIONS", "halt_on_error=1:die_after_fork=0:second_deadlock_stack=1")


def library_build(name, *options):
    """A release build of the library alone, in a folder of the build; made once, then kept up to date. Several
    processes may ask for it. gcc's address sanitizer cannot fork while another thread allocates, so that
    programs that fork use this one."""
    build = os.path.join(BUILD, "library-" + name)
    os.makedirs(build, exist_ok=True)
    if shutil.which("ccache"):
        options += ("-DCMAKE_C_COMPILER_LAUNCHER=ccache",)
    with open(build + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                         "-DSONDE_SERVER=OFF", "-DSONDE_EXAMPLES=OFF", "-DSONDE_SANITIZE=", *options],
                        ["cmake", "--build", build]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return build


def sanitizers(build=BUILD):
    with open(os.path.join(build, "CMakeCache.txt")) as f:
        found = re.search(r"^SONDE_SANITIZE:\w+=(\S+)$", f.read(), re.M)
    return found.group(1) if found else ""


def compile_program(source, program, *options, build=BUILD, compiler=None):
    """The program's path; `source` is C, or C++ when it ends in .cc."""
    cxx = str(source).endswith(".cc")
    command = (compiler or ("g++ -std=c++17" if cxx else "gcc -std=gnu11")).split()
    used = sanitizers(build)
    if used:
        command += ["-fsanitize=" + used, "-fno-sanitize-recover=all"]
    command += ["-O1", "-g", "-pthread", "-I", os.path.join(ROOT, "include"), str(source), *options,
                "-L", build, "-lsonde", "-Wl,-rpath," + build, "-ldl", "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-6000:]
    return str(program)
