#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules that a machine can enforce: formatting, banned calls, sizes, layers, copies.

Called by ./check. Prints one line a problem, "file:line: what is wrong", and exits 1 when there is any.
"""
import collections
import os
import re
import subprocess
import sys

import reference

FILE_LINES, FUNCTION_LINES, COLUMNS, PUBLIC_HEADER_LINES = 800, 70, 100, 400
COPIED_LINES = 14

# folder -> what it may include, besides itself and the system's headers
LAYERS = {
    "include/sonde": [],
    "base": [],
    "codec": ["base"],
    "lib": ["base", "codec", "include/sonde"],
    "src/net": ["base"],
    "src/store": ["base", "codec"],
    "src/settings": ["base", "codec", "src/net"],
    "src/pipeline": ["base", "codec", "src/net", "src/settings", "src/store"],
    "src/query": ["base", "codec", "src/store"],
    "src/rules": ["base", "codec", "src/net", "src/settings", "src/store", "src/query"],
    "src/api": ["base", "codec", "src/net", "src/settings", "src/store", "src/pipeline",
                "src/query", "src/rules"],
    "src/cmd": ["base", "codec", "lib", "include/sonde", "src/net", "src/settings", "src/store",
                "src/pipeline", "src/query", "src/rules", "src/api", "src"],
    "src": [],
    "examples": ["include/sonde", "examples"],
}

BANNED = {
    "strcpy": "str_copy_c", "strcat": "buf_str", "sprintf": "snprintf or buf_fmt",
    "vsprintf": "vsnprintf", "strtok": "str_cut", "strtok_r": "str_cut", "atoi": "str_to_i64",
    "atol": "str_to_i64", "atoll": "str_to_i64", "atof": "str_to_f64", "gets": "getline",
    "strncpy": "str_copy_c", "strncat": "buf_str", "alloca": "an arena", "setlocale": "nothing",
    "system": "posix_spawn", "tmpnam": "mkstemp", "mktemp": "mkstemp", "rand": "random_next",
    "srand": "random_init",
}
FLOAT_LOOP = re.compile(r"\bfor \((?:const )?(?:float|double)\b")
BANNED_CALL = re.compile(r"(?<![\w.>\"])(" + "|".join(BANNED) + r")\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')
problems = []


def problem(path, line, text):
    problems.append("%s:%d: %s" % (path, line, text))


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
                         capture_output=True, text=True, check=True).stdout
    return [p for p in out.splitlines() if os.path.exists(p)]


def layer_of(path):
    best = ""
    for folder in LAYERS:
        if path.startswith(folder + "/") and len(folder) > len(best):
            best = folder
    return best


def resolve(name, path):
    """The file of the repo that an include names, or None for the system's."""
    for root in ("", "src/", "include/", os.path.dirname(path) + "/"):
        candidate = os.path.normpath(root + name)
        if os.path.exists(candidate):
            return candidate
    return None


def check_layers(path, lines):
    layer = layer_of(path)
    if not layer:
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        target = resolve(match.group(1), path) if match else None
        if not target:
            continue
        above = layer_of(target)
        if above and above != layer and above not in LAYERS[layer]:
            problem(path, number, "%s must not include %s (layer %s)" % (layer, target, above))


def without_comments(text):
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def check_text(path, lines, code):
    if "SPDX-License-Identifier: Apache-2.0" not in lines[0]:
        problem(path, 1, "the first line must name the licence (SPDX-License-Identifier: Apache-2.0)")
    if len(lines) > FILE_LINES:
        problem(path, len(lines), "%d lines; the cap is %d" % (len(lines), FILE_LINES))
    if path.startswith("include/") and len(lines) > PUBLIC_HEADER_LINES:
        problem(path, len(lines), "a public header has at most %d lines" % PUBLIC_HEADER_LINES)
    for number, line in enumerate(lines, 1):
        if len(line.rstrip("\n")) > COLUMNS:
            problem(path, number, "%d columns; the cap is %d" % (len(line.rstrip()), COLUMNS))
    for number, line in enumerate(code.split("\n"), 1):
        if FLOAT_LOOP.search(line) and not path.startswith("tests/"):
            problem(path, number, "a loop is counted by a floating-point number; count by an integer")
        match = BANNED_CALL.search(line)
        if match and not (path.startswith("tests/") and match.group(1) == "system"):
            name = match.group(1)
            problem(path, number, "%s is banned; use %s" % (name, BANNED[name]))


def check_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start:
            if number - start - 1 > FUNCTION_LINES:
                problem(path, start, "a function of %d lines; the cap is %d"
                        % (number - start - 1, FUNCTION_LINES))
            start = None


def check_copies(files):
    """Runs of the same lines in two places: one piece of code should serve both."""
    windows = collections.defaultdict(list)
    for path, code in files.items():
        kept = [(n, re.sub(r"\s+", " ", t).strip()) for n, t in enumerate(code.split("\n"), 1)]
        kept = [(n, t) for n, t in kept if len(t) > 3 and not t.startswith("#include")]
        for i in range(len(kept) - COPIED_LINES + 1):
            key = "\n".join(t for _, t in kept[i:i + COPIED_LINES])
            windows[key].append((path, kept[i][0]))
    told = set()
    for places in windows.values():
        first, second = places[0], places[-1]
        apart = first[0] != second[0] or second[1] - first[1] >= COPIED_LINES
        if len(places) > 1 and apart and (first[0], second[0]) not in told:
            told.add((first[0], second[0]))
            problem(*first, "the same %d lines as %s:%d" % (COPIED_LINES, *second))


def check_format(paths):
    for at in range(0, len(paths), 40):
        done = subprocess.run(["clang-format", "--dry-run", "-Werror", *paths[at:at + 40]],
                              capture_output=True, text=True)
        for line in done.stderr.splitlines():
            match = re.match(r"(\S+?):(\d+):\d+: error: code should be clang-formatted", line)
            if match:
                problem(match.group(1), int(match.group(2)), "not formatted; run ./check --fix")


def check_reference():
    if not reference.is_current():
        problem("docs/reference/library.md", 1, "not what the headers say; run tools/reference.py")


def check_named_tests():
    """Tests that docs/otel-compliance.md names in the last column of its tables exist."""
    sources = ""
    for path in tracked("tests/*.c", "tests/*.cc", "tests/*.py"):
        with open(path, encoding="utf-8", errors="replace") as f:
            sources += f.read()
    known = set(re.findall(r"\b(?:def|static void) (\w+)\(", sources))
    with open("docs/otel-compliance.md", encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            cells = line.strip().strip("|").split("|")
            if not line.startswith("|") or cells[-1].strip() in ("tests", "---"):
                continue
            if len(cells) != 4 or cells[1].strip() not in ("yes", "no", "partly", "by design"):
                problem("docs/otel-compliance.md", number, "a row is: feature, yes|no|partly|by design, how, tests")
            for name in re.findall(r"`(\w+)`", cells[-1]):
                if name not in known:
                    problem("docs/otel-compliance.md", number, "there is no test %s" % name)


def main():
    paths = [p for p in tracked("*.c", "*.h") if not p.startswith("web/")]
    if "--fix" in sys.argv:
        subprocess.run(["clang-format", "-i", *paths], check=True)
    sources = {}
    for path in paths:
        text = open(path, encoding="utf-8").read()
        lines, code = text.split("\n"), without_comments(text)
        check_text(path, lines, code)
        check_layers(path, lines)
        check_functions(path, lines)
        if not path.startswith("tests/"):
            sources[path] = code
    check_copies(sources)
    check_format(paths)
    check_reference()
    check_named_tests()
    for line in sorted(problems):
        print(line)
    print("check: %d files, %d problems" % (len(paths), len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
