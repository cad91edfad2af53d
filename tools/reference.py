#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/library.md out of the comments in include/sonde/*.h, and docs/reference/collector.md
out of the option tables of the collector's components, which a built `sonde` prints.

Usage: tools/reference.py [--check]           the library; --check: writes nothing; 1 when not up to date
       tools/reference.py --collector SONDE   the collector's components; tests/e2e/test_check_config.py checks it
       tools/reference.py --promql SONDE      PromQL's functions; tests/e2e/test_query_command.py checks it
       tools/reference.py --templates SONDE   what templates can use; tests/e2e/test_rule_tests.py checks it

A header's first comment becomes the text of its chapter. After it, each comment goes with the declarations
that follow without an empty line between. Names that end in an underscore, and everything after the line
"what the macros use", are not for programs and left out.
"""
import functools
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs/reference/library.md")
COLLECTOR_PAGE = os.path.join(ROOT, "docs/reference/collector.md")
PROMQL_PAGE = os.path.join(ROOT, "docs/reference/promql.md")
TEMPLATE_PAGE = os.path.join(ROOT, "docs/reference/templates.md")
# In the order of the chapters. metric_verbs.h is a part of metric.h that only C sees.
HEADERS = [["start"], ["log"], ["kv"], ["context"], ["baggage"], ["span"], ["metric", "metric_verbs"], ["http"], ["http_client"],
           ["propagate"], ["db"], ["job"], ["error"], ["health"], ["debug"], ["redact"], ["microhttpd"], ["curl"],
           ["libpq"], ["hiredis"], ["sqlite3"]]
END = re.compile(r'^/\* ---- what the macros use.*|^} /\* extern "C" \*/.*|^/\* The bound forms in the.*',
                 re.S | re.M)
# A macro's comment: how it is called, then what it does.
CALL = re.compile(r"/\* (((?:sonde|SONDE)_\w+)\((?:[^()]|\([^()]*\))*\)(?: \{ … \})?)[:.]?(.*)", re.S)
HEAD = """# Reference of libsonde

Made by `tools/reference.py` from the headers in `include/sonde/`; `#include <sonde/sonde.h>` has them all. How to use
them, by task: [../library.md](../library.md).
"""


def prose(comment):
    """A comment as Markdown: names in backticks, indented lines as code."""
    out, in_code = [], False
    for line in re.sub(r"^/\*|\*/$", "", comment).split("\n"):
        line = re.sub(r"^\s*\* ?", "", line) if out else line.strip()
        is_code = line.startswith("    ") or (in_code and not line.strip())
        if is_code != in_code:
            out.append("```c" if is_code else "```")
        in_code = is_code
        if is_code:
            line = line[4:]
        else:
            line = re.sub(r"(?<![\w`])((?:sonde|SONDE|OTEL)_\w+(?:\((?:[^()]|\([^()]*\))*\))?|<sonde/\w+\.h>)", r"`\1`",
                          line.strip())
        out.append(line.rstrip())
    if in_code:
        out.append("```")
    text = re.sub(r"\n+```c\n", "\n\n```c\n", "\n".join(out))
    return re.sub(r"\n+```(\n+|$)", "\n```\n\n", text).strip()


def is_public(name):
    return name.lower().startswith("sonde_") and not name.endswith("_")


def signature(declaration, comment):
    """How a declaration is shown; empty for what is not for programs."""
    macro = re.match(r"#\s*define (\w+)(\([^)]*\))?\s*(.*)", declaration)
    if macro:
        name, arguments, value = macro.groups()
        if not is_public(name) or not (arguments or value[:1].isdigit()):
            return ""
        return name + (arguments or " = " + value)
    if declaration.startswith(("typedef", "struct", "enum")):
        name = re.search(r"(\w+)(?:\([^()]*\))?;$", declaration).group(1)
        if "not for\nprograms" in comment or "not for programs" in comment:
            return re.sub(r"\{.*\}", "{ … }", declaration, flags=re.S)
        return declaration if is_public(name) else ""
    name = re.search(r"(\w+)\s*\(", declaration)
    if not name or not is_public(name.group(1)):
        return ""
    return re.sub(r"^SONDE_INLINE |\n\{.*", "", declaration, flags=re.S).rstrip(";") + ";"


def items(text):
    """(comment, [declaration]) in order; a comment and what follows it without an empty line."""
    token = re.compile(r"(?P<comment>/\*.*?\*/)|(?P<define>#\s*define (?:[^\n]*\\\n)*[^\n]*)|"
                       r"(?P<other>#[^\n]*)|(?P<gap>\n[ \t]*\n)|"
                       r"(?P<inline>^(?:SONDE_INLINE|static inline)[^;{]*\n\{.*?^\})|"
                       r"(?P<struct>^typedef (?:struct|enum)[^;{]*\{.*?^\}[^;]*;)|(?P<code>^\w[^;{]*;)",
                       re.S | re.M)
    found = []
    for match in token.finditer(text):
        kind, piece = match.lastgroup, match.group(0)
        if kind == "comment":
            found.append((piece, []))
        elif kind == "gap":
            found.append(("", []))
        elif kind != "other" and found:
            found[-1][1].append(piece)
    return found


def chapter(names):
    out = []
    for name in names:
        with open(os.path.join(ROOT, "include/sonde/%s.h" % name), encoding="utf-8") as f:
            text = END.sub("", f.read())
        licence, rest = text.split("\n", 1)
        assert "SPDX" in licence
        parts = items(rest)
        if name == names[0]:
            out.append("## <sonde/%s.h>\n\n%s" % (name, prose(parts[0][0])))
        for comment, declarations in parts[1:]:
            section = re.match(r"/\* ---- (.*?) ----(?:\n \*)?(.*)", comment, re.S)
            if section:
                out.append("### " + section.group(1)[0].upper() + section.group(1)[1:])
                comment = "/*" + section.group(2)
            shown = [s for s in (signature(d, comment) for d in declarations) if s]
            call = CALL.match(comment)
            if call and (not shown or len(shown) == 1 and shown[0].startswith(call.group(2) + "(")):
                # A comment that begins with the call says more than "(...)".
                shown, comment = [" ".join(call.group(1).split())], "/*" + call.group(3)
            if shown:
                out.append("```c\n%s\n```" % "\n".join(shown))
            if shown or section:
                about = prose(comment)
                out.append(about[:1].upper() + about[1:])
    return "\n\n".join(filter(None, out)).replace("## <", "## `<").replace(".h>\n", ".h>`\n", 1)


def page():
    return HEAD + "\n" + "\n\n".join(chapter(names) for names in HEADERS) + "\n"


def is_current():
    if not os.path.exists(PAGE):
        return False
    with open(PAGE, encoding="utf-8") as f:
        return f.read() == page()


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if is_current() else "docs/reference/library.md is not up to date; run tools/reference.py")
    path, text = PAGE, page
    for option, printed, command in (("--collector", COLLECTOR_PAGE, ["check", "config", "--reference"]),
                                     ("--promql", PROMQL_PAGE, ["query", "promql", "--reference"]),
                                     ("--templates", TEMPLATE_PAGE, ["test", "rules", "--templates"])):
        if option in sys.argv:
            path, program = printed, sys.argv[sys.argv.index(option) + 1]
            text = functools.partial(subprocess.check_output, [program, *command], encoding="utf-8")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    written = text()
    with open(path, "w", encoding="utf-8") as out_file:
        out_file.write(written)
