# SPDX-License-Identifier: Apache-2.0
"""`sonde check config`: files that people have are good, wrong ones are told with line and column, the
reference page is what the tables say."""
import glob
import os
import re
import subprocess

import pytest

from harness import ROOT, SONDE

FILES = sorted(glob.glob(os.path.join(ROOT, "tests/e2e/collector/*.yaml"))
               + glob.glob(os.path.join(ROOT, "config/*/collector*.yaml"))
               + [os.path.join(ROOT, "config/staging/otelcol.yaml")])
GOOD = "receivers: {otlp: {protocols: {grpc: }}}\nexporters: {sonde: }\n"


def check(*arguments, text=None, env=None):
    done = subprocess.run([SONDE, "check", *arguments], input=text, capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, **(env or {})))
    assert "Sanitizer" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def check_text(text, **kwargs):
    return check("config", "-", text=text, **kwargs)


@pytest.mark.parametrize("path", FILES, ids=lambda p: os.path.relpath(p, ROOT))
def test_files_that_people_have_are_good(path):
    code, out, err = check("config", path)
    assert code == 0, err
    assert all(line.startswith("warning: %s:" % path) for line in err.splitlines()), err
    assert out.endswith("%s: good\n" % path)
    with open(path, encoding="utf-8") as f:
        service = f.read().split("\nservice:")[1].split("  pipelines:")[1]
    named = re.findall(r"^    ((?:traces|metrics|logs)(?:/\w+)?):", service, re.M)
    drawn = [line for line in out.splitlines() if re.match(r"(traces|metrics|logs)", line)]
    assert drawn == named


def test_the_guide_shows_a_file_that_is_good():
    with open(os.path.join(ROOT, "docs/collector.md"), encoding="utf-8") as f:
        blocks = re.findall(r"```yaml\n(.*?)```", f.read(), re.S)
    whole = [b for b in blocks if all("\n%s:" % s in "\n" + b for s in ("receivers", "exporters", "service"))]
    assert whole
    for block in whole:
        code, _, err = check_text(block)
        assert code == 0, err
    # The others are parts: what they name is known, whatever is missing around them.
    for block in blocks:
        _, _, err = check_text(block)
        assert "unknown" not in err and "no YAML" not in err, err


def test_there_are_files_to_check():
    assert len(FILES) >= 22


def test_errors_are_all_told_with_their_places():
    code, out, err = check_text(GOOD + "processors:\n  batch: {timeout: soon, send_batch_sise: 1}\n"
                                "service:\n  pipelines:\n    trace: {receivers: [otlp], exporters: [sonde]}\n")
    assert code == 3 and out == ""
    errors = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert [line.split(" ")[0] for line in errors] == ["-:4:20:", "-:4:26:", "-:7:5:"]
    assert "batch: timeout" in err
    assert "did you mean \"send_batch_size\"?" in err
    assert "did you mean \"traces\"?" in err


@pytest.mark.parametrize("address", ["4317", "127.0.0.1", "127.0.0.1:99999", "::1:4317", "http://127.0.0.1:4317"])
def test_an_address_that_cannot_be_one_is_told_with_its_place(address):
    code, _, err = check_text("receivers:\n  otlp:\n    protocols:\n      http:\n        endpoint: '%s'\n"
                              "exporters: {sonde: }\nservice:\n  pipelines:\n"
                              "    logs: {receivers: [otlp], exporters: [sonde]}\n" % address)
    assert code == 3
    assert err.startswith("-:5:19: receiver otlp: protocols.http.endpoint: \"%s\" is no HOST:PORT" % address)


def test_a_missing_file_is_a_failure():
    code, out, err = check("config", "/nonexistent/collector.yaml")
    assert code == 1 and out == "" and "/nonexistent/collector.yaml" in err


@pytest.mark.parametrize("arguments", [[], ["config"], ["config", "--nothing"], ["config", "a", "b"], ["nothing"],
                                       ["config", "--component"], ["config", "--component", "nothing"],
                                       ["rules"], ["rules", "--x"], ["metrics", "-"]], ids=" ".join)
def test_wrong_usage_is_told(arguments):
    code, out, err = check(*arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("sonde check: ")


def test_values_from_the_environment_never_stand_in_messages():
    code, out, err = check_text(
        GOOD + "extensions:\n  bearertokenauth: {token: [\"${env:TOKEN}\"], header: {a: \"${TOKEN}\"}}\n"
        "processors: {batch: {timeout: \"${env:TOKEN}\", send_batch_size: \"${TOKEN}\"}}\nservice: {}\n",
        env={"TOKEN": "hunter2"})
    assert code == 3 and "${env:TOKEN}" in err
    assert "hunter2" not in out + err


def test_the_built_in_file_is_good_and_a_start_for_ones_own():
    code, out, err = check("config", "--builtin")
    assert code == 0 and err == "" and out.endswith("built-in: good\n")
    code, example, err = check("config", "--example")
    assert code == 0 and err == "" and "127.0.0.1:4317" in example and "${" not in example
    code, drawn, err = check_text(example)
    assert code == 0 and err == ""
    assert drawn.replace("-: good", "built-in: good") == out


def test_pipelines_are_drawn():
    code, out, err = check_text("""
receivers: {otlp: {protocols: {grpc: }}, zipkin: , jaeger: {protocols: {grpc: }}}
processors: {batch: , resource/long-name: {attributes: [{key: a, action: delete}]}}
connectors: {forward: }
exporters: {sonde: , debug: }
service:
  pipelines:
    traces: {receivers: [otlp, zipkin, jaeger], processors: [resource/long-name, batch], exporters: [sonde, forward]}
    traces/shown: {receivers: [forward], exporters: [debug]}
""")
    assert code == 0, err
    assert out == """\
traces
  otlp ───┬─▶ resource/long-name ─▶ batch ─┬─▶ sonde
  zipkin ─┤                                └─▶ forward ─▶ traces/shown
  jaeger ─┘

traces/shown
  traces ─▶ forward ─────▶ debug

-: good
"""


def test_components_and_their_options_are_listed():
    code, out, _ = check("config", "--components")
    assert code == 0
    kinds = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert kinds == ["receivers", "processors", "connectors", "exporters", "extensions"]
    code, out, _ = check("config", "--component", "otlp")
    assert code == 0
    assert "receiver otlp" in out and "exporter otlp" in out
    assert "protocols.grpc.endpoint  (text; default localhost:4317)" in out


def test_the_reference_page_is_current():
    code, out, _ = check("config", "--reference")
    assert code == 0
    with open(os.path.join(ROOT, "docs/reference/collector.md"), encoding="utf-8") as f:
        assert f.read() == out, "run tools/reference.py --collector BUILD/sonde"


def test_every_component_is_on_the_reference_page():
    _, listed, _ = check("config", "--components")
    with open(os.path.join(ROOT, "docs/reference/collector.md"), encoding="utf-8") as f:
        page = f.read()
    kind = ""
    for line in listed.splitlines():
        if line and not line.startswith(" "):
            kind = line[:-1]
        elif line:
            assert "\n### %s %s\n" % (kind, line.split()[0]) in page
