# SPDX-License-Identifier: Apache-2.0
"""Logs by the protocols that people have: Loki's push API, Elasticsearch's bulk API with what Filebeat asks
before it, and files that are followed through rotation, truncation, restarts and kill -9."""
import base64
import gzip
import json
import os
import random
import shutil
import tempfile
import threading
import time
import urllib.request

import pytest

from far_side import FarSide
from harness import Collector, get, post, wait_for
from protobuf import field, varint

PUSH = """
receivers:
  loki:
    protocols:
      http: { endpoint: '127.0.0.1:@loki@' }
      grpc: { endpoint: '127.0.0.1:@grpc@' }
  elasticsearch: { endpoint: '127.0.0.1:@elastic@' }
  otlp:
    protocols:
      http: { endpoint: '127.0.0.1:@otlp@' }
exporters:
  sonde: {}
  loki:
    endpoint: http://127.0.0.1:@loki@/loki/api/v1/push
    retry_on_failure: { initial_interval: 20ms, max_interval: 100ms }
processors:
  batch: { timeout: 20ms }
service:
  pipelines:
    logs: { receivers: [loki, elasticsearch], exporters: [sonde] }
    logs/out: { receivers: [otlp], processors: [batch], exporters: [loki] }
"""


@pytest.fixture(scope="module")
def server():
    with Collector(PUSH) as s:
        s.loki = "http://127.0.0.1:%d/loki/api/v1/push" % s.port["loki"]
        s.elastic = "http://127.0.0.1:%d" % s.port["elastic"]
        yield s


def lines(server, query):
    return [(line, fields) for _, line, fields in sorted(server.logs(query), key=lambda row: row[0])]


# ---- Loki ----

def push_request(labels, entries):
    """logproto.PushRequest of one stream: (time_ns, line, {metadata})."""
    stream = field(1, labels.encode())
    for t, line, metadata in entries:
        entry = field(1, varint(8) + varint(t // 10 ** 9) + varint(16) + varint(t % 10 ** 9))
        entry += field(2, line.encode())
        for name, value in metadata.items():
            entry += field(3, field(1, name.encode()) + field(2, value.encode()))
        stream += field(2, entry)
    return field(1, stream)


def snappy(data):
    """One block of literals only."""
    out = varint(len(data))
    for at in range(0, len(data), 256):
        part = data[at:at + 256]
        out += bytes([60 << 2, len(part) - 1]) + part
    return out


def test_a_push_in_json_is_found_by_its_labels(server):
    now = time.time_ns()
    body = json.dumps({"streams": [{
        "stream": {"app": "till", "env": "prod", "level": "warn"},
        "values": [[str(now), "one"], [str(now + 1), "two", {"user": "u 1", "trace_id": "ab" * 16}]]}]})
    assert post(server.loki, body.encode())[0] == 204
    assert [line for line, _ in lines(server, '{app="till", env="prod"}')] == ["one", "two"]
    assert [line for line, _ in lines(server, '{service="till"} | user="u 1"')] == ["two"]
    assert [line for line, _ in lines(server, '{trace_id="%s"}' % ("ab" * 16))] == ["two"]
    rows = server.logs('{service_name="till", level="warn"}')
    assert sorted(row[0] for row in rows) == [now, now + 1]
    zipped = gzip.compress(body.replace("till", "zipped").encode())
    assert post(server.loki, zipped, headers={"Content-Encoding": "gzip"})[0] == 204
    assert len(lines(server, '{app="zipped"}')) == 2


def test_a_push_in_protobuf_is_taken_with_and_without_snappy(server):
    now = time.time_ns()
    labels = '{job="pos", quote="a\\"b"}'
    kinds = {"plain": (lambda b: b, {}), "snappy": (snappy, {}),
             "declared": (snappy, {"Content-Encoding": "snappy"})}
    for n, (name, (pack, headers)) in enumerate(kinds.items()):
        body = push_request(labels, [(now + n, name, {"level": "error"})])
        code, _, text = post(server.loki, pack(body), "application/x-protobuf", headers)
        assert code == 204, text
    rows = lines(server, '{job="pos", quote=~"a.b"}')
    assert [line for line, _ in rows] == list(kinds)
    assert {fields["level"] for _, fields in rows} == {"error"}


def test_what_is_wrong_with_a_push_is_said(server):
    for body, kind, code, reason in [
            (b'{"streams":[{"stream":{},"values":[["soon","x"]]}]}', "application/json", 400,
             "nanoseconds since 1970"),
            (b'{"streams":', "application/json", 400, "line 1"),
            (push_request("{a=b}", []), "application/x-protobuf", 400, "double quotes"),
            (b"\x0a\xff", "application/x-protobuf", 400, "Loki push request"),
            (b"x", "text/plain", 415, "application/json")]:
        got, _, text = post(server.loki, body, kind)
        assert got == code and reason in text.decode(), (got, text)
    metrics = get(server.http + "/metrics").decode()
    assert any("loki" in line and "failed" in line and not line.endswith(" 0")
               for line in metrics.splitlines()), metrics


def test_records_go_to_loki_and_back(server):
    url = "http://127.0.0.1:%d/v1/logs" % server.port["otlp"]
    now = time.time_ns()
    records = [{"timeUnixNano": str(now + n), "severityNumber": 13, "severityText": "WARN",
                "body": {"stringValue": "number %d" % n},
                "attributes": [{"key": "n", "value": {"intValue": str(n)}},
                               {"key": "loki.attribute.labels", "value": {"stringValue": "shop.kind"}},
                               {"key": "shop.kind", "value": {"stringValue": "toys"}}]}
               for n in reversed(range(50))]
    body = {"resourceLogs": [{"resource": {"attributes": [
        {"key": "service.name", "value": {"stringValue": "stock"}},
        {"key": "service.namespace", "value": {"stringValue": "eu"}}]},
        "scopeLogs": [{"logRecords": records}]}]}
    assert post(url, json.dumps(body).encode())[0] == 200
    rows = wait_for("the records to come back",
                    lambda: len(found := server.logs('{exporter="OTLP", job="eu/stock"}')) == 50 and found)
    rows.sort()
    for n, (t, line, fields) in enumerate(rows):
        assert t == now + n
        said = json.loads(line)
        assert said["body"] == "number %d" % n and said["severity"] == "WARN"
        assert said["attributes"] == {"n": n}
        assert fields["shop_kind"] == "toys" and fields["level"] == "warn"
        assert fields["service_name"] == "stock"


# ---- Elasticsearch ----

def ask(server, method, path, body=None):
    request = urllib.request.Request(server.elastic + path, method=method,
                                     data=None if body is None else body.encode(),
                                     headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            code, headers, text = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as e:
        code, headers, text = e.code, e.headers, e.read()
    assert headers["X-Elastic-Product"] == "Elasticsearch"
    return code, json.loads(text) if text else None


def bulk(server, documents, path="/_bulk", action="create", index="sixseven-2025.10.12", **options):
    text = "".join(json.dumps({action: {"_index": index, **options}}) + "\n" + json.dumps(d) + "\n"
                   for d in documents)
    code, _, body = post(server.elastic + path, text.encode(), "application/x-ndjson")
    return code, json.loads(body)


def test_the_conversation_of_filebeat(server):
    """What Filebeat 8 asks with config/sixseven/filebeat.yml, and then a batch of decoded lines."""
    code, info = ask(server, "GET", "/")
    assert code == 200 and info["tagline"] == "You Know, for Search"
    assert info["version"]["build_flavor"] == "default" and info["version"]["number"].startswith("8.")
    code, license_ = ask(server, "GET", "/_license?human=false")
    assert code == 200 and license_["license"]["status"] == "active" and license_["license"]["uid"]
    assert ask(server, "GET", "/_xpack")[1]["features"]["ilm"]["enabled"]
    assert ask(server, "HEAD", "/_index_template/sixseven")[0] == 404
    assert ask(server, "PUT", "/_index_template/sixseven", '{"index_patterns":["sixseven-*"]}') == \
        (200, {"acknowledged": True})
    assert ask(server, "GET", "/_ilm/policy/filebeat")[0] == 404
    assert ask(server, "PUT", "/_ilm/policy/filebeat", "{}")[1]["acknowledged"]
    assert ask(server, "GET", "/_data_stream/filebeat-8.15.0")[0] == 404
    assert ask(server, "PUT", "/_data_stream/filebeat-8.15.0")[1]["acknowledged"]
    assert ask(server, "PUT", "/_ingest/pipeline/p", "{}")[1]["acknowledged"]
    assert ask(server, "GET", "/_cluster/health")[1]["status"] == "green"
    assert ask(server, "GET", "/_nodes/http")[1]["_nodes"]["total"] == 1
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    documents = [{"@timestamp": stamp + ".999Z", "timestamp": "%s.%03dZ" % (stamp, n), "level": "info",
                  "message": "command_received", "job_id": "job-%d" % n, "duration_seconds": n / 2,
                  "data": {"user": {"id": n}}, "input": {"type": "log"}, "host": {"name": "web1"},
                  "agent": {"type": "filebeat", "version": "8.15.0"}, "ecs": {"version": "8.0.0"},
                  "log": {"offset": 120 * n, "file": {"path": "/var/log/sixseven/backend.log"}}}
                 for n in range(20)]
    code, answer = bulk(server, documents, "/_bulk?filter_path=errors,items.*.error,items.*.status")
    assert code == 200 and answer["errors"] is False and len(answer["items"]) == 20
    assert {item["create"]["status"] for item in answer["items"]} == {201}
    rows = lines(server, '{service="sixseven", job_id=~"job-.*"}')
    assert [fields["job_id"] for _, fields in rows] == ["job-%d" % n for n in range(20)]
    assert {line for line, _ in rows} == {"command_received"}
    assert rows[3][1]["data_user_id"] == "3" and rows[3][1]["level"] == "info"
    slow = lines(server, '{service="sixseven"} | duration_seconds > 9')
    assert [fields["job_id"] for _, fields in slow] == ["job-19"]


def test_items_are_answered_one_by_one(server):
    text = ('{"index":{"_index":"one","_id":"a"}}\n{"message":"first"}\n'
            '{"delete":{"_index":"one","_id":"b"}}\n'
            '{"update":{"_index":"one","_id":"c"}}\n{"doc":{"message":"no"}}\n'
            '{"create":{"_index":"one","_id":"d"}}\n{"message":"torn\n'
            '{"create":{"_index":"one","_id":"e"}}\n{"@timestamp":"1980-01-01T00:00:00Z","message":"old"}\n'
            '{"create":{"_index":"one","_id":"f"}}\n{"message":"last"}\n')
    code, _, body = post(server.elastic + "/_bulk", gzip.compress(text.encode()), "application/x-ndjson",
                         {"Content-Encoding": "gzip"})
    answer = json.loads(body)
    assert code == 200 and answer["errors"] is True and answer["took"] >= 0
    got = [(next(iter(i)), next(iter(i.values()))) for i in answer["items"]]
    assert [(action, item["_id"], item["status"]) for action, item in got] == [
        ("index", "a", 201), ("delete", "b", 400), ("update", "c", 400), ("create", "d", 400),
        ("create", "e", 400), ("create", "f", 201)]
    assert "retention" in got[4][1]["error"]["reason"]
    assert [line for line, _ in lines(server, '{service="one"}')] == ["first", "last"]


def test_an_index_in_the_path_put_and_single_documents(server):
    request = urllib.request.Request(server.elastic + "/two/_bulk", method="PUT",
                                     data=b'{"index":{}}\n{"message":"put"}\n')
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.loads(answer.read())["items"][0]["index"]["_index"] == "two"
    assert ask(server, "POST", "/two/_doc", '{"message":"single"}')[0] == 201
    assert ask(server, "PUT", "/two/_doc/7", '{"message":"named"}')[1]["_id"] == "7"
    assert {line for line, _ in lines(server, '{service="two"}')} == {"put", "single", "named"}


def test_what_elasticsearch_does_not_know_has_its_shape(server):
    code, answer = ask(server, "GET", "/sixseven/_search")
    assert code == 400 and answer["status"] == 400
    assert "LogQL" in answer["error"]["reason"] and answer["error"]["root_cause"]
    code, answer = ask(server, "POST", "/_bulk", "not json\n")
    assert code == 400 and "Malformed action/metadata line [1]" in answer["error"]["reason"]
    code, answer = ask(server, "POST", "/_bulk", "")
    assert code == 400 and "request body is required" in answer["error"]["reason"]


# ---- files ----

CHECKPOINTS = "/pipeline/receiver-filelog/checkpoints.json"

FILES = """
receivers:
  filelog:
    include: ['%(dir)s/*.log', '%(dir)s/deep/**/*.txt']
    exclude: ['%(dir)s/not*']
    start_at: %(start)s
    poll_interval: 20ms
    force_flush_period: 100ms
    include_file_path: true
    resource: { service.name: files }
%(more)s
exporters:
  sonde: {}
service:
  pipelines:
    logs: { receivers: [filelog], exporters: [sonde] }
"""


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="sonde-files-")
    yield path
    shutil.rmtree(path)


def config(folder, start="beginning", more=""):
    return FILES % {"dir": folder, "start": start, "more": more}


def append(path, *texts):
    with open(path, "a") as f:
        f.write("".join(text + "\n" for text in texts))


def file_lines(server, query='{service="files"}'):
    return [line for _, line, _ in sorted(server.logs(query), key=lambda row: row[0])]


def expect(server, wanted, query='{service="files"}'):
    wait_for("%d lines" % len(wanted), lambda: len(file_lines(server, query)) >= len(wanted))
    assert sorted(file_lines(server, query)) == sorted(wanted)


def test_files_are_found_and_followed(folder):
    os.makedirs(folder + "/deep/a/b")
    append(folder + "/a.log", "  one  ", "", "two\r")
    append(folder + "/not.log", "never")
    append(folder + "/other", "never")
    append(folder + "/deep/a/b/c.txt", "three")
    with Collector(config(folder)) as server:
        expect(server, ["one", "two", "three"])
        append(folder + "/a.log", "four")
        append(folder + "/new.log", "five")
        with open(folder + "/a.log", "ab") as f:
            f.write(b"no end \xff")
        expect(server, ["one", "two", "three", "four", "five", "no end \ufffd"])
        fields = server.logs('{service="files"} |= "three"')[0][2]
        assert fields["log_file_name"] == "c.txt" and fields["log_file_path"].endswith("/deep/a/b/c.txt")


def test_at_the_end_only_new_lines_count(folder):
    append(folder + "/a.log", "before")
    with Collector(config(folder, "end")) as server:
        wait_for("the first look", lambda: os.path.exists(server.data + CHECKPOINTS))
        append(folder + "/a.log", "after")
        append(folder + "/b.log", "a new file")
        expect(server, ["after", "a new file"])
        server.stop()
        append(folder + "/a.log", "while away")
        append(folder + "/c.log", "another new file")
        server.start()
        expect(server, ["after", "a new file", "while away", "another new file"])


def test_rotation_truncation_and_restarts_give_each_line_once(folder):
    path, n, wanted = folder + "/a.log", 0, []
    with Collector(config(folder)) as server:
        def write(count=20):
            nonlocal n
            texts = ["line %d of the file" % (n + i) for i in range(count)]
            n += count
            wanted.extend(texts)
            append(path, *texts)
        write()
        expect(server, wanted)
        for rotated in ("/a.log.1", "/b.log"):  # out of the patterns, and into them
            write()
            os.rename(path, folder + rotated)
            with open(folder + rotated, "a") as f:  # the writer has not noticed yet
                f.write("late in %s\n" % rotated)
                wanted.append("late in " + rotated)
            write()
            expect(server, wanted)
        shutil.copy(path, folder + "/copy.log")  # copytruncate; the copy matches
        os.truncate(path, 0)
        write()
        expect(server, wanted)
        server.stop()
        write()
        os.rename(path, folder + "/while-away.log")
        write()
        server.start()
        write()
        expect(server, wanted)
        with open(path, "w") as f:  # shorter, and other bytes
            f.write("x\n")
        wanted.append("x")
        expect(server, wanted)


class Writer(threading.Thread):
    """Appends numbered lines and rotates by rename."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.n, self.end = path, 0, threading.Event()

    def run(self):
        rotations = 0
        while not self.end.wait(0.005):
            append(self.path, *("number %d" % (self.n + i) for i in range(25)))
            self.n += 25
            if random.random() < 0.03 and rotations < 40:
                os.rename(self.path, "%s.%d.log" % (self.path, rotations))
                rotations += 1


def test_kill_9_loses_no_line(folder):
    writer = Writer(folder + "/a.log")
    with Collector(config(folder)) as server:
        writer.start()
        kills = 4
        for n in range(kills):
            wait_for("more lines", lambda: len(file_lines(server)) > 200 * n)
            server.kill()
            server.start()
        writer.end.set()
        writer.join()
        wanted = {"number %d" % n for n in range(writer.n)}
        wait_for("all lines", lambda: set(file_lines(server)) >= wanted, 40)
        got = file_lines(server)
        assert set(got) == wanted
        # A kill costs no more than its last batch.
        assert len(got) - len(wanted) <= kills * 4096
        again = len(got)
        server.stop()
        server.start()
        append(writer.path, "the last")
        wait_for("the last line", lambda: "the last" in file_lines(server))
        assert len(file_lines(server)) == again + 1


MORE = """
    multiline: { line_start_pattern: '^\\d{4}-' }
    operators:
      - type: filter
        expr: body contains "noise"
      - type: regex_parser
        regex: '^(?P<time>\\S+ \\S+) (?P<level>\\w+) (?P<message>(?s).*)$'
        timestamp: { parse_from: attributes.time, layout: '%Y-%m-%d %H:%M:%S,%L', location: UTC }
        severity: { parse_from: attributes.level, mapping: { error: [BAD] } }
      - { type: move, from: attributes.message, to: body }
      - { type: remove, field: attributes.time }
      - { type: add, field: attributes.origin, value: { kind: file } }
"""


def test_lines_are_parsed_by_operators(folder):
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    append(folder + "/a.log", now + ",125 BAD it failed", "  at main.c:1", "  at start.c:2",
           now + ",250 INFO noise", now + ",375 INFO fine")
    with Collector(config(folder, more=MORE)) as server:
        expect(server, ["it failed\n  at main.c:1\n  at start.c:2", "fine"])
        rows = sorted(server.logs('{service="files"}'), key=lambda row: row[0])
        assert [row[0] % 10 ** 9 for row in rows] == [125000000, 375000000]
        assert [row[2]["level"] for row in rows] == ["error", "info"]
        assert "time" not in rows[0][2] and json.loads(rows[0][2]["origin"]) == {"kind": "file"}


RECOMBINE = """
    operators:
      - { type: recombine, is_first_entry: 'body matches "^start"', combine_with: '|',
          force_flush_period: 150ms }
"""


def test_lines_are_combined_and_none_is_lost_by_kill_9(folder):
    with Collector(config(folder, more=RECOMBINE)) as server:
        append(folder + "/a.log", "start 1", "b", "c", "start 2")
        expect(server, ["start 1|b|c", "start 2"])
        append(folder + "/a.log", "start 3", "b", "start 4", "b")
        wait_for("the third", lambda: "start 3|b" in file_lines(server))
        server.kill()
        server.start()
        wait_for("the fourth", lambda: "start 4|b" in file_lines(server))
        assert set(file_lines(server)) >= {"start 1|b|c", "start 2", "start 3|b", "start 4|b"}


def test_files_are_deleted_when_all_was_read(folder):
    append(folder + "/a.log", "one", "two")
    with Collector(config(folder, more="    delete_after_read: true")) as server:
        expect(server, ["one", "two"])
        wait_for("the file to go", lambda: not os.path.exists(folder + "/a.log"))


def test_gzip_is_passed_over(folder):
    with open(folder + "/a.log", "wb") as f:
        f.write(gzip.compress(b"packed\n"))
    append(folder + "/b.log", "plain")
    with Collector(config(folder)) as server:
        expect(server, ["plain"])
        wait_for("the checkpoint", lambda: json.loads(
            open(server.data + CHECKPOINTS).read())["files"])
        assert file_lines(server) == ["plain"]


def test_a_file_that_begins_like_an_old_one_is_read(folder):
    """Longer than a fingerprint, as a banner is; the old file was longer."""
    banner = ["=" * 99] * 12
    append(folder + "/a.log", *banner, *("old %d" % n for n in range(50)))
    with Collector(config(folder)) as server:
        wait_for("the old file", lambda: "old 49" in file_lines(server))
        os.rename(folder + "/a.log", folder + "/a.log.1")
        append(folder + "/a.log", *banner, "new 0")
        wait_for("the new file", lambda: "new 0" in file_lines(server), 30)


FORWARD = """
receivers:
  filelog:
    include: ['%(dir)s/*.log']
    start_at: beginning
    poll_interval: 20ms
exporters:
  otlphttp:
    endpoint: http://127.0.0.1:@far@
    encoding: json
    retry_on_failure: { initial_interval: 20ms, max_interval: 100ms }
processors:
  batch: { timeout: 20ms }
service:
  pipelines:
    logs: { receivers: [filelog], processors: [batch], exporters: [otlphttp] }
"""


def test_a_full_intake_log_makes_files_wait(folder):
    """The far side is away: the intake log fills up, and what it cannot take stays in the file."""
    line = base64.b64encode(os.urandom(600)).decode()
    wanted = ["%d %s" % (n, line) for n in range(9000)]
    append(folder + "/a.log", *wanted)
    with Collector(FORWARD % {"dir": folder}, args=["--intake-limit", "2MiB"]) as server:
        wait_for("the files to wait", lambda: "no line is read for now" in server.output())
        checkpoint = json.loads(open(server.data + CHECKPOINTS).read())
        assert checkpoint["files"][0]["offset"] < 3 << 20
        far = FarSide(server.port["far"])
        try:
            wait_for("all lines", lambda: len(far.rows("logs")) >= len(wanted), 40)
            assert [row["body"]["stringValue"] for _, row in far.rows("logs")] == wanted
        finally:
            far.end()
