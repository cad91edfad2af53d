#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over the product's sources, two at a time; remembers the files that passed.

Usage: tidy.py BUILD_DIR. A file counts as unchanged while its text, every header of the repo and
.clang-tidy are the same as when it passed.
"""
import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys


def digest(paths):
    total = hashlib.sha256()
    for path in sorted(paths):
        with open(path, "rb") as f:
            total.update(f.read())
    return total.hexdigest()


def main():
    build = sys.argv[1]
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", "*.h"],
                            capture_output=True, text=True, check=True).stdout.split()
    headers = digest([p for p in listed if os.path.exists(p)] + [".clang-tidy"])
    with open(os.path.join(build, "compile_commands.json")) as f:
        files = sorted({os.path.relpath(e["file"]) for e in json.load(f)})
    files = [f for f in files if f.split("/")[0] in ("base", "codec", "lib", "src", "examples")]
    memory_path = os.path.join(build, "tidy.json")
    memory = {}
    if os.path.exists(memory_path):
        with open(memory_path) as f:
            memory = json.load(f)

    def run(path):
        key = headers + digest([path])
        if memory.get(path) == key:
            return path, key, ""
        done = subprocess.run(["clang-tidy", "-p", build, "--quiet",
                               "--extra-arg=-Wno-unknown-warning-option",
                               "--extra-arg=-Wno-error", path],
                              capture_output=True, text=True)
        return path, key if done.returncode == 0 else None, done.stdout

    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, key, output in pool.map(run, files):
            if key:
                memory[path] = key
            else:
                memory.pop(path, None)
                bad += 1
                print(output.strip())
    with open(memory_path, "w") as f:
        json.dump(memory, f)
    print("clang-tidy: %d files, %d with problems" % (len(files), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
