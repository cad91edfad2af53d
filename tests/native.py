# SPDX-License-Identifier: Apache-2.0
"""C and C++ programs of the tests, compiled against the libsonde of the build, with its sanitizers."""
import os
import re
import subprocess

from harness import BUILD, ROOT

# Nothing of the caller's settings; what the sanitizers find ends the program with another exit code.
ENVIRONMENT = {k: v for k, v in os.environ.items()
               if not k.startswith(("OTEL_", "SONDE_")) and not k.lower().endswith("_proxy")
               and k not in ("LOG_LEVEL", "STATE_DIRECTORY")}
ENVIRONMENT.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1")
ENVIRONMENT.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
ENVIRONMENT.setdefault("TSAN_OPTIONS", "halt_on_error=1:die_after_fork=0:second_deadlock_stack=1")


def sanitizers(build=BUILD):
    with open(os.path.join(build, "CMakeCache.txt")) as f:
        found = re.search(r"^SONDE_SANITIZE:\w+=(.+)$", f.read(), re.M)
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
