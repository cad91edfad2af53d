# SPDX-License-Identifier: Apache-2.0
"""The README of each system: its checklist names a test, the demo or a group of the list for every row, and
those exist; what its commands and links name is there."""
import ast
import glob
import json
import os
import re

import pytest

from conftest import EXAMPLES, SYSTEMS
from harness import ROOT

TESTS = os.path.join(ROOT, "tests")
CODE = re.compile(r"`([^`]+)`")
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
# What a command of a README writes or has only after a build, or on the reader's machine.
MADE = re.compile(r"^(?:\.?/?build(?:-\w+)?/|/tmp/|/var/|/etc/|/path/|\.\./|~|\./data)")


def readme(system):
    with open(os.path.join(EXAMPLES, system, "README.md")) as f:
        return f.read()


def asked(system):
    with open(os.path.join(EXAMPLES, system, "asked.json")) as f:
        return json.load(f)


def known_tests():
    """{test function: {its files}}"""
    found = {}
    for path in glob.glob(TESTS + "/**/test_*.py", recursive=True):
        with open(path) as f:
            tree = ast.parse(f.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault(node.name, set()).add(os.path.relpath(path, TESTS))
    for path in glob.glob(TESTS + "/unit/**/test_*.c", recursive=True):
        with open(path) as f:
            for name in re.findall(r"^(?:static )?void (\w+)\(void \*\*", f.read(), re.M):
                found.setdefault(name, set()).add(os.path.relpath(path, TESTS))
    return found


def rows(system):
    """The cells of each row of the checklist, without its head."""
    parts = re.split(r"^## Checklist\s*$", readme(system), flags=re.M)
    assert len(parts) == 2, "the README ends with one part named Checklist"
    lines = [line for line in parts[1].splitlines() if line.startswith("|")]
    cells = [[c.strip() for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]
    found = []
    for i, row in enumerate(cells):
        head = i + 1 < len(cells) and all(re.fullmatch(r":?-+:?", c) for c in cells[i + 1])
        if not head and not all(re.fullmatch(r":?-+:?", c) for c in row):
            found.append(row)
    return found


SHOWN = re.compile(r"\bdemo\b|asked\.json(?:: ?`?(\w+))?"
                   r"|(?<![\w/])((?:[\w/]+/)?test_\w+\.(?:py|c))(?:::(\w+))?|\b(test_\w+)")


def resolve(cell, known, groups):
    """What is wrong with the last cell of a row: nothing in it, or names in it that do not exist. Words of
    explanation may stand beside the names."""
    files = {f for fs in known.values() for f in fs}
    found = list(SHOWN.finditer(cell))
    for match in found:
        group, file, test, alone = match.groups()
        test = test or alone
        there = {f for f in files if file and f.endswith(file.removeprefix("tests/"))}
        if group and group not in groups:
            yield "asked.json has no group %s" % group
        if file and not there:
            yield "no test file %s" % file
        elif test and test not in known and "/%s." % test not in "/".join(files):
            yield "no test is named %s" % test
        elif file and test and not there & known.get(test, set()):
            yield "%s is not in %s but in %s" % (test, file, sorted(known[test]))
    if not found:
        yield "%r names neither demo, a test nor asked.json" % cell


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_row_is_shown_by_something(system):
    known, groups, wrong = known_tests(), set(asked(system)), []
    checklist = rows(system)
    assert len(checklist) >= 20, "%d rows" % len(checklist)
    for row in checklist:
        assert len(row) == 3, "asked | where | shown by: %s" % row
        assert row[0] and row[1], row
        wrong += ["%s: %s" % (row[0], why) for why in resolve(row[2], known, groups)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("system", SYSTEMS)
def test_where_names_what_is_there(system):
    """The files that the middle column names exist, seen from the folder, the root, or config/."""
    folder, wrong = os.path.join(EXAMPLES, system), []
    for row in rows(system):
        for name in CODE.findall(row[1]):
            if re.fullmatch(r"[\w./*-]+\.(?:c|h|py|json|ya?ml|md|cmake|sql|conf|env)|[\w./-]+/", name):
                places = [folder, ROOT, EXAMPLES, EXAMPLES + "/common", ROOT + "/include", ROOT + "/docs",
                          ROOT + "/config/" + system, ROOT + "/config"]
                if not any(glob.glob(os.path.join(place, name)) for place in places):
                    wrong.append("%s: %s" % (row[0], name))
    assert not wrong, "these are nowhere:\n" + "\n".join(wrong)


@pytest.mark.parametrize("system", SYSTEMS)
def test_links_lead_somewhere(system):
    for target in re.findall(r"\]\(([^)\s#]+)", readme(system)):
        if "://" not in target:
            assert os.path.exists(os.path.join(EXAMPLES, system, target)), target


SHELL = ("bash", "sh", "console", "shell")


def shell_blocks(text):
    """Blocks of commands: by their language, or by how they begin."""
    return [body for language, body in FENCE.findall(text) if language in SHELL or not language
            and re.match(r"(?:\$ )?(?:\w+=\S+ )*(?:\./|build/|examples/|curl |sonde |docker |cmake )", body)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_commands_name_files_that_exist(system):
    """Whatever in a shell block looks like a file of the repo is one."""
    wrong, shell = [], shell_blocks(readme(system))
    assert shell, "no block shows how to run it"
    for body in shell:
        for word in re.findall(r"(?<![\w$/.:={@-])\.?/?(?:[\w.-]+/)+[\w.*-]*", re.sub(r"\s#.*", "", body)):
            first = word.removeprefix("./").split("/")[0]
            of_the_repo = first == "examples" or first and os.path.exists(os.path.join(ROOT, first))
            if of_the_repo and not MADE.match(word) and not glob.glob(os.path.join(ROOT, word)):
                wrong.append(word)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("system", SYSTEMS)
def test_it_begins_with_a_picture_and_two_commands(system):
    """Before its first part with a heading of its own: what one sees, and how to run it."""
    text = readme(system)
    assert re.match(r"# \S", text)
    blocks = FENCE.findall(text)
    assert any(re.search(r"\d ?ms|└|├|^\{", body, re.M) for _, body in blocks[:3]), "no picture"
    start = next(body for body in shell_blocks(text) if "examples/%s/" % system in body)
    commands = [line for line in start.splitlines() if line.strip() and not line.startswith("#")]
    assert 1 <= len(commands) <= 3, start


@pytest.mark.parametrize("system", SYSTEMS)
def test_settings_of_the_list_are_explained(system):
    text = readme(system)
    for entry in asked(system).get("settings", []):
        name = entry if isinstance(entry, str) else entry.get("name") or entry.get("variable")
        assert name in text, name


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_cannot_be_says_what_stands_in_its_place(system):
    for entry in asked(system).get("not_in_c", []):
        assert entry["asked"] and entry["instead"], entry


def test_a_wrong_name_is_noticed():
    known = known_tests()
    for good in ("demo", "`demo`, group trace", "asked.json", "asked.json: metrics", "`test_checklists.py`",
                 "`test_checklists.py::test_a_wrong_name_is_noticed`: so", "`test_a_wrong_name_is_noticed`",
                 "tests/examples/test_checklists.py::test_a_wrong_name_is_noticed", "unit/lib/test_job.c"):
        assert list(resolve(good, known, {"metrics"})) == [], good
    for bad in ("test_no_such_thing", "test_demos.py::test_a_wrong_name_is_noticed", "nothing", "", "—",
                "asked.json: nothing", "`test_nothing.py`", "demo, `test_nothing`"):
        assert len(list(resolve(bad, known, {"metrics"}))) == 1, bad
