# SPDX-License-Identifier: Apache-2.0
"""libmicrohttpd, libcurl, libpq, hiredis and SQLite through sonde/*.h, against the real servers: one
trace across them, the attributes of the conventions, errors recorded, no value in any text. The
headers compile as C11 and C++17."""
import json
import os
import re
import subprocess

import pytest

from databases import Postgres, Redis
from harness import ROOT
from native import ENVIRONMENT, compile_program

LIBRARIES = ["libmicrohttpd", "libcurl", "libpq", "hiredis", "sqlite3"]
HEADERS = {"microhttpd": "libmicrohttpd", "curl": "libcurl", "libpq": "libpq", "hiredis": "hiredis",
           "sqlite3": "sqlite3"}


def pkg_config(*arguments):
    done = subprocess.run(["pkg-config", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not installed: " + done.stderr.strip())
    return done.stdout.split()


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_program(os.path.join(ROOT, "tests/e2e/instrumented.c"),
                           tmp_path_factory.mktemp("instrumented") / "instrumented", "-Wall",
                           "-Wextra", "-Werror", *pkg_config("--cflags", "--libs", *LIBRARIES))


def run(program, tmp_path, *arguments, **environment):
    """The spans, in the order of their ends, each with its attributes; and what was printed."""
    out = tmp_path / "out.log"
    env = dict(ENVIRONMENT, OTEL_TRACES_EXPORTER="console", SONDE_LOG_OUTPUT="file:%s" % out,
               SONDE_RECORDER_DIR=str(tmp_path), **environment)
    done = subprocess.run([program, *arguments], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-4000:]
    text = out.read_text()
    assert "s3cret" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    return [x for x in lines if "span_id" in x and "kind" in x], done.stdout


def attributes(span):
    return span.get("attributes", span)


def has(span, **expected):
    found = attributes(span)
    for key, value in expected.items():
        assert found.get(key.replace("__", ".")) == value, (key, found)


def named(spans, name, kind=None):
    return [s for s in spans if s["name"] == name and kind in (None, s["kind"])]


def test_a_server_and_a_client_share_a_trace(program, tmp_path):
    spans, printed = run(program, tmp_path, "web")
    assert printed == "req-7\n"
    root, = named(spans, "client")
    get = [s for s in named(spans, "GET", "client") if s["trace_id"] == root["trace_id"]]
    assert len(get) == 1 and get[0]["parent_span_id"] == root["span_id"]
    server, = named(spans, "GET /orders/{id}", "server")
    assert server["trace_id"] == root["trace_id"]
    assert server["parent_span_id"] == get[0]["span_id"]
    has(server, http__request__method="GET", http__route="/orders/{id}", url__path="/orders/7",
        url__scheme="http", http__response__status_code=200, server__address="127.0.0.1",
        client__address="127.0.0.1", network__protocol__version="1.1", request_id="req-7")
    port = attributes(server)["server.port"]
    has(get[0], http__request__method="GET", http__response__status_code=200,
        server__address="127.0.0.1", server__port=port, network__protocol__version="1.1",
        network__peer__address="127.0.0.1",
        url__full="http://127.0.0.1:%d/orders/7?token=[REDACTED]" % port)
    created, = named(spans, "GET /fails", "server")
    has(created, http__response__status_code=201)
    missing = [s for s in named(spans, "GET", "server")]
    assert len(missing) == 2  # by the easy and by the multi interface
    for span in missing:
        has(span, http__response__status_code=404)
        assert span.get("status") != "error"
        caller, = [s for s in spans if s["span_id"] == span["parent_span_id"]]
        has(caller, error__type="404")
        assert caller["status"] == "error"
    after, = named(spans, "after")
    refused, = [s for s in spans if s.get("parent_span_id") == after["span_id"]]
    has(refused, error__type="connection_refused", url__full="http://127.0.0.1:%d/orders/8" % port)


def test_sqlite_statements_are_spans(program, tmp_path):
    spans, _ = run(program, tmp_path, "sqlite", str(tmp_path / "shop.db"))
    work, = named(spans, "work")
    calls = [s for s in spans if s["name"] != "work"]
    assert all(s["parent_span_id"] == work["span_id"] and s["kind"] == "client" for s in calls)
    assert [s["name"] for s in calls] == ["CREATE users", "INSERT users", "INSERT users",
                                          "SELECT users", "SELECT users", "SELECT nowhere"]
    for span in calls:
        has(span, db__system__name="sqlite", db__namespace="shop.db")
    has(calls[1], db__query__text="INSERT INTO users VALUES (?), (?)", db__operation__name="INSERT",
        db__collection__name="users")
    has(calls[2], error__type="2067", db__response__status_code="2067")
    has(calls[5], error__type="1")
    assert [s.get("status") for s in calls].count("error") == 2


def test_postgresql_calls_are_spans(program, tmp_path):
    server = Postgres()
    try:
        spans, _ = run(program, tmp_path, "postgresql", server.url,
                       OTEL_SEMCONV_STABILITY_OPT_IN="database/dup")
    finally:
        server.stop()
    work, = named(spans, "work")
    calls = [s for s in spans if s["name"] != "work"]
    assert all(s["parent_span_id"] == work["span_id"] and s["kind"] == "client" for s in calls)
    assert [s["name"] for s in calls] == ["CREATE users", "INSERT users", "INSERT users",
                                          "SELECT users", "PREPARE", "find_user", "SELECT", "SELECT"]
    for span in calls:
        has(span, db__system__name="postgresql", db__system="postgresql", db__namespace="postgres",
            db__name="postgres", server__address="127.0.0.1", server__port=server.port)
    has(calls[1], db__query__text="INSERT INTO users VALUES (?), (?)",
        db__statement="INSERT INTO users VALUES (?), (?)")
    has(calls[2], db__response__status_code="23505", error__type="23505")
    has(calls[3], db__response__returned_rows=2,
        db__query__text="SELECT name FROM users WHERE id >= $1")
    has(calls[5], db__operation__name="EXECUTE")
    assert attributes(calls[6])["error.type"] in ("57P01", "connection")
    has(calls[7], error__type="connection")


def test_redis_commands_and_pipelines_are_spans(program, tmp_path):
    server = Redis()
    try:
        spans, _ = run(program, tmp_path, "redis", "127.0.0.1", str(server.port))
    finally:
        server.stop()
    calls = [s for s in spans if s["name"] != "work"]
    assert [s["name"] for s in calls] == ["SET", "GET", "LPUSH", "PIPELINE INCR", "PIPELINE"]
    for span in calls:
        has(span, db__system__name="redis", server__address="127.0.0.1", server__port=server.port)
    has(calls[0], db__query__text="SET ? ?", db__operation__name="SET")
    has(calls[1], db__query__text="GET ?")
    has(calls[2], error__type="WRONGTYPE", db__response__status_code="WRONGTYPE")
    has(calls[3], db__operation__batch__size=3)
    has(calls[4], db__operation__batch__size=2, error__type="ERR")
    assert [s.get("status") for s in calls].count("error") == 2


@pytest.mark.parametrize("header", sorted(HEADERS))
@pytest.mark.parametrize("compiler", ["cc -std=c11", "c++ -std=c++17 -x c++"])
def test_a_header_compiles_alone(header, compiler, tmp_path):
    source = tmp_path / "one.c"
    source.write_text("#include <sonde/%s.h>\n#include <sonde/sonde.h>\n" % header)
    done = subprocess.run([*compiler.split(), "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I",
                           os.path.join(ROOT, "include"), *pkg_config("--cflags", HEADERS[header]),
                           str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# What the snippets take for granted: the program around them.
AROUND = """
#include <sonde/sonde.h>
struct request { const char *method, *path, *client, *body; size_t body_len; };
const char *request_header(struct request *r, const char *name);
void answer_header(struct request *r, const char *name, const char *value);
void add_header(struct request *r, const char *name, const char *value);
int answer(struct request *r);
int send_request(struct request *r);
const char *my_query(void *connection, const char *sql);
"""


@pytest.mark.parametrize("guide, language", [("http", "c"), ("errors", "c"), ("errors", "cpp"),
                                             ("jobs", "c"), ("instrumentation", "c")])
def test_the_snippets_of_the_guides_compile(guide, language, tmp_path):
    with open(os.path.join(ROOT, "docs", guide + ".md")) as f:
        snippets = re.findall(r"```%s\n(.*?)```" % language, f.read(), re.S)
    assert snippets
    source = tmp_path / ("guide." + language)
    source.write_text(AROUND + "\n".join(snippets))
    compiler = "cc -std=gnu11" if language == "c" else "c++ -std=c++17"
    done = subprocess.run([*compiler.split(), "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                           "-Wno-unused-function", "-I", os.path.join(ROOT, "include"),
                           *pkg_config("--cflags", *LIBRARIES), str(source)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
