# SPDX-License-Identifier: Apache-2.0
"""The public functions, read from include/sonde/*.h, and a C program that calls all of them with bad arguments.

A new function is called without anybody adding it; a new type of parameter that this does not know is an
error that names it, so that nothing is left out in silence.
"""
import os
import re
import sys

from harness import ROOT

sys.path.insert(0, os.path.join(ROOT, "tools"))

import reference  # noqa: E402

INCLUDE = os.path.join(ROOT, "include/sonde")
# How a live object of a type is made, for the calls with bad texts.
MAKERS = {
    "sonde_counter": 'sonde_counter_new("made_total", "", SONDE_LABELS("a"))',
    "sonde_gauge": 'sonde_gauge_new("made", "", SONDE_LABELS("a"))',
    "sonde_histogram": 'sonde_histogram_new("made_seconds", "", SONDE_LABELS("a"))',
    "sonde_bound_counter": 'sonde_counter_bind(sonde_counter_new("bound_total", "", SONDE_LABELS()))',
    "sonde_bound_gauge": 'sonde_gauge_bind(sonde_gauge_new("bound", "", SONDE_LABELS()))',
    "sonde_bound_histogram": 'sonde_histogram_bind(sonde_histogram_new("bound_seconds", "", SONDE_LABELS()))',
    "sonde_span": 'sonde_span_start("made", NULL)',
}
# These begin, end or wait by what they are for; bad_use.c has a case for each of them.
ELSEWHERE = {"sonde_start", "sonde_stop"}
NUMBERS = {"int", "unsigned", "bool", "double", "float", "char", "long", "size_t", "int64_t", "uint64_t", "int32_t",
           "uint32_t", "uint16_t", "uint8_t", "ssize_t", "long long", "unsigned long", "time_t", "pid_t"}
# More headers than sonde.h has, by the library they speak to: where that is not installed, they are left out.
FOREIGN = re.compile(r"^\s*#\s*include\s+<(?!sonde/)([\w/.-]+\.h)>", re.M)


class Api:
    """names: functions -> [(type, name)]; callbacks, structs and enums by name."""

    def __init__(self, headers):
        self.functions, self.callbacks, self.structs, self.enums, self.opaque = {}, {}, {}, set(), set()
        self.results = {}
        self.headers = headers
        for header in headers:
            with open(os.path.join(INCLUDE, header), encoding="utf-8") as f:
                self.read(reference.END.sub("", f.read()))

    def read(self, text):
        text = text.split("#ifndef __cplusplus\n\nstatic inline")[0]
        for _, declarations in reference.items(text):
            for declaration in declarations:
                self.add(re.sub(r"/\*.*?\*/", "", declaration, flags=re.S))

    def add(self, declaration):
        flat = " ".join(declaration.split())
        if flat.startswith("typedef enum"):
            self.enums.add(re.search(r"(\w+);$", flat).group(1))
        elif re.match(r"typedef struct[^{;]*\{", flat):
            self.structs[re.search(r"(\w+);$", flat).group(1)] = re.search(r"\{(.*)\}", flat).group(1)
        elif flat.startswith("typedef struct"):
            self.opaque.add(re.search(r"(\w+);$", flat).group(1))
        elif flat.startswith("typedef"):
            match = re.match(r"typedef (.*?)(\w+)\((.*)\);$", flat)
            if match:
                self.callbacks[match.group(2)] = (match.group(1).strip(), match.group(3))
        elif not flat.startswith(("#", "struct", "enum", "extern", "static", "_Static")):
            match = re.match(r"(?:SONDE_INLINE )?([\w\s*]+?)(\w+)\s*\((.*?)\)\s*(?:__attribute__.*)?[;{]", flat)
            if match and match.group(2).startswith("sonde_") and not match.group(2).endswith("_"):
                self.functions[match.group(2)] = parameters(match.group(3))
                self.results[match.group(2)] = match.group(1).strip()


def parameters(text):
    out = []
    for part in filter(None, (p.strip() for p in re.split(r",(?![^()]*\))", text))):
        if part == "void":
            continue
        array = re.search(r"\[\w*\]$", part)
        match = re.match(r"(.*?)(\w+)(?:\[\w*\])?$", part)
        kind = match.group(1).strip() or match.group(2)
        out.append((kind + (" *" if array else ""), match.group(2)))
    return out


def headers_here():
    """All but those that include another library's headers."""
    out = []
    for name in sorted(os.listdir(INCLUDE)):
        with open(os.path.join(INCLUDE, name), encoding="utf-8") as f:
            text = f.read()
        if name in ("metric_cxx.h", "metric_verbs.h"):
            continue
        system = {h for h in FOREIGN.findall(text)
                  if not re.match(r"(std\w+|string|errno|time|sys/\w+|inttypes|limits)\.h$", h)}
        if not system:
            out.append(name)
    return out


class Program:
    """The C text. `how`: "null", "one" (NULL, but numbers are 1), or a text: "huge", "broken", "empty"."""

    def __init__(self, api, how):
        self.api, self.how, self.before = api, how, []

    def number(self):
        return "0" if self.how == "null" else "1"

    def filled(self, struct, depth=0):
        """An initialiser that gives each text of a struct the bad text."""
        members = []
        for member in re.split(r";", self.api.structs[struct]):
            member = member.strip()
            match = re.match(r"const char \*(\w+)$", member)
            if match and match.group(1) not in ("recorder_dir", "spool_dir", "log_output", "admin_addr"):
                members.append(".%s = TEXT" % match.group(1))
            nested = re.match(r"(\w+) (\w+)$", member)
            if nested and nested.group(1) in self.api.structs and depth < 2 and nested.group(1) != "sonde_attr":
                inner = self.filled(nested.group(1), depth + 1)
                if inner != "{ 0 }":
                    members.append(".%s = %s" % (nested.group(2), inner))
        return "{ %s }" % (", ".join(members) or "0")

    def callback(self, name):
        kind, arguments = self.api.callbacks[name]
        result = "" if kind == "void" else "return 0;" if "*" not in kind else \
            "return TEXT;" if "char" in kind else "return 0;"
        unused = "".join("(void)%s; " % n for _, n in parameters(arguments))
        text = "static %s stub_%s(%s)\n{\n    %s%s\n}\n" % (kind, name, arguments, unused, result)
        if text not in self.before:
            self.before.append(text)
        return "stub_" + name

    def pointer(self, function, base, kind, following):
        const = "const" in kind
        ends = re.search(r"_(free|end|stop|close|done|release|leave)$|_end_", function)
        if base in self.api.callbacks:
            return self.callback(base)
        if kind.count("*") > 1 and base == "char":
            return "((const char *[]){ TEXT, NULL, NULL })"
        if base == "char" and const:
            return "TEXT"
        if base in ("char", "void", "uint8_t"):
            return "OUT" if not const and base != "void" else "(void *)TEXT"
        if base == "sonde_attr":
            return "ATTRS"
        if base in self.api.structs:
            return "&(%s)%s" % (base, self.filled(base))
        if base in MAKERS:
            return "NULL" if ends else MAKERS[base]
        if base in NUMBERS or base in self.api.enums:
            return "(%s[8]){ 0 }" % base
        if base in self.api.opaque:
            return "NULL"
        raise AssertionError("%s: tests/public_api.py does not know the type %r" % (function, kind))

    def argument(self, function, at, args):
        kind, name = args[at]
        following = args[at + 1][1] if at + 1 < len(args) else ""
        base = re.sub(r"\b(const|struct)\b|[*]", " ", kind).split()
        base = " ".join(base)
        is_text = self.how not in ("null", "one")
        if "*" in kind or base in self.api.callbacks:
            return self.pointer(function, base, kind, following) if is_text else "NULL"
        if base in NUMBERS or base in self.api.enums:
            if re.match(r"(size|len|n|bytes|length)$|.*(_size|_len)$", name) and is_text and at:
                before = args[at - 1][0]
                if "char" in before or "void" in before or "uint8_t" in before:
                    return "TEXT_LEN" if "const" in before else "sizeof(OUT)"
            return self.number()
        if base == "sonde_str":
            return "(sonde_str){ TEXT, TEXT_LEN }" if is_text else "(sonde_str){ 0 }"
        if base in self.api.structs:
            return "(%s)%s" % (base, self.filled(base) if is_text else "{ 0 }")
        raise AssertionError("%s: tests/public_api.py does not know the type %r" % (function, kind))

    def release(self, function):
        """What frees a function's result: free, or the only function of that type that is named so."""
        result = self.api.results[function]
        if result == "char *":
            return "free"
        frees = [name for name, args in self.api.functions.items()
                 if name.endswith("_free") and len(args) == 1 and args[0][0] == result]
        return "(%s)" % frees[0] if frees else "(void)"

    def calls(self):
        for function, args in self.api.functions.items():
            if function in ELSEWHERE:
                continue
            # Names that are macros, too (verbs by type), are called as functions.
            yield function, "%s((%s)(%s));" % (self.release(function), function, ", ".join(
                self.argument(function, i, args) for i in range(len(args)) if args[i][0] != "..."))

    def text(self):
        calls = "\n".join('    say("%s");\n    %s' % (name, call) for name, call in self.calls())
        includes = "\n".join("#include <sonde/%s>" % h for h in ["sonde.h"] + self.api.headers)
        is_text = self.how not in ("null", "one")
        options = self.filled("sonde_options") if is_text else "{ 0 }"
        return HEAD % includes + "\n".join(self.before) + CALLS % (calls, options) + TAIL


HEAD = """/* Made by tests/public_api.py. */
%s
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static char *TEXT, OUT[4096];
static size_t TEXT_LEN;
static sonde_attr ATTRS[1];
static int quiet;

/* The last name said is that of the function that did it. */
static void say(const char *name)
{
    if (!quiet)
        fprintf(stderr, "%%s\\n", name);
}
"""
CALLS = """
static void call_all(void)
{
%s
}

static sonde_options bad_options(void)
{
    return (sonde_options)%s;
}
"""
TAIL = r"""
static void *in_thread(void *unused)
{
    call_all();
    return unused;
}

static void in_child(void)
{
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        call_all();
        exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "the child of fork ended with %d\n", status);
        abort();
    }
}

static void make_text(const char *how)
{
    if (strcmp(how, "huge") == 0) {
        TEXT_LEN = 10u << 20;
        TEXT = malloc(TEXT_LEN + 1);
        memset(TEXT, 'x', TEXT_LEN);
        TEXT[TEXT_LEN] = 0;
    } else {
        TEXT = strdup(strcmp(how, "broken") == 0 ? "\xff\xc3(\xed\xa0\x80\xf5\x80\x80\x80\x01\"\\\xe2\x82" : "");
        TEXT_LEN = strlen(TEXT);
    }
    ATTRS[0] = sonde_kv_str(TEXT, TEXT);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc < 5)
        return 2;
    make_text(argv[1]);
    sonde_options options = bad_options();
    options.recorder_dir = argv[2];
    options.log_output = argv[3];
    options.log_level = SONDE_DEBUG;
    call_all(); /* before the start */
    for (int round = 0; round < 2; round++) {
        sonde_start(&options);
        call_all();
        SONDE_SPAN ("around", sonde_kv(TEXT, TEXT)) {
            SONDE_CONTEXT (sonde_kv(TEXT, TEXT)) {
                call_all();
            }
        }
        if (pthread_create(&thread, NULL, in_thread, NULL) != 0)
            return 2;
        pthread_join(thread, NULL);
        if (strcmp(argv[4], "fork") == 0)
            in_child();
        sonde_stop();
        call_all(); /* after the stop */
    }
    for (int i = 0; i < 100; i++)
        sonde_http_end(200);
    free(TEXT);
    puts("done");
    return 0;
}
"""


def program(how):
    return Program(Api(headers_here()), how).text()
