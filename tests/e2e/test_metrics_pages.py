# SPDX-License-Identifier: Apache-2.0
"""Every /metrics page, after traffic that went well and traffic that did not: Debian's `promtool check
metrics`, whose warnings count, and for OpenMetrics prometheus_client's parser, which is strict."""
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from harness import ROOT, Server, free_ports, get, post, wait_for

sys.path.insert(0, os.path.join(ROOT, "examples/staging"))

from staging import Staging  # noqa: E402

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
# What Prometheus 2.42 and 3 ask for.
ACCEPT_TEXT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
ACCEPT_OPENMETRICS = ("application/openmetrics-text;version=1.0.0;q=0.5,"
                      "application/openmetrics-text;version=0.0.1;q=0.4,"
                      "text/plain;version=0.0.4;q=0.3,*/*;q=0.2")

# OpenTelemetry's name, which promtool takes for a part of a histogram.
CONVENTION = "db_client_connection_count non-histogram and non-summary metrics should not have \"_count\" suffix"

pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")


def page(url, accept):
    """(content type, text)"""
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def check_text(url, accept, *names):
    """What promtool has against the page of that address; asserts that it has these series."""
    content_type, text = page(url, accept)
    assert re.sub(r";\s*", "; ", content_type.lower()) == TEXT
    assert "# EOF" not in text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                          text=True, timeout=60)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line != CONVENTION]
    assert not said and done.returncode in (0, 3), said
    assert missing_names(text, names) == []


def check_openmetrics(url, *names):
    content_type, text = page(url, ACCEPT_OPENMETRICS)
    assert re.sub(r";\s*", "; ", content_type.lower()) == OPENMETRICS
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
    families = list(parse_openmetrics(text))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation, family.name
        assert family.type != "unknown", family.name
    assert missing_names(text, names) == []


def missing_names(text, names):
    return [name for name in names if not re.search(r"^%s[{ ]" % name, text, re.M)]


def test_promtool_finds_what_is_wrong():
    """The checks above would fail: promtool speaks and exits otherwise."""
    done = subprocess.run(["promtool", "check", "metrics"], input="# TYPE a counter\na 1\n",
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "a " in done.stdout + done.stderr
    with pytest.raises(ValueError):
        list(parse_openmetrics("# TYPE a counter\na 1\n# EOF\n"))


def test_the_server(server):
    now = time.time_ns()
    assert server.send_logs("shop", [(now, "hello", {}), (now, "again", {})])[0] == 200
    assert server.send_logs("shop", [(1, "too old", {})])[0] == 200
    assert post(server.otlp + "/v1/logs", b"{", "application/json")[0] == 400
    assert post(server.otlp + "/v1/traces", b"{}", "text/plain")[0] == 415
    assert post(server.http + '/no/such"path\\\n', b"{}")[0] == 404
    with pytest.raises(AssertionError, match="answered 400"):
        get(server.http + "/api/v1/query?query=sum(")
    names = ("sonde_build_info", "sonde_ingested_items_total", "sonde_rejected_items_total",
             "sonde_receiver_failed_requests_total", "sonde_http_requests_total",
             "process_cpu_seconds_total", "process_resident_memory_bytes")
    for accept in (None, ACCEPT_TEXT):
        check_text(server.http + "/metrics", accept, *names)
    check_openmetrics(server.http + "/metrics", *names)
    _, text = page(server.http + "/metrics", None)
    assert 'sonde_ingested_items_total{signal="logs"} 2\n' in text
    assert re.search(r'sonde_http_requests_total\{[^}]*route="/v1/logs"[^}]*code="400"[^}]*\} 1\n',
                     text)


def test_the_example(monkeypatch):
    """The API's page on its main port and on its admin port, and the worker's admin port."""
    with Server() as server:
        # Another test may run the example meanwhile.
        for program, port in zip(("API", "STANDIN", "API_ADMIN", "WORKER_ADMIN"), free_ports(4)):
            monkeypatch.setenv(program + "_PORT", str(port))
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp, "SONDE_LOG_OUTPUT": "none"}
        with Staging(quiet=True, environment=environment) as system:
            admin = ["http://127.0.0.1:%d/metrics" % port for port in system.admin_ports]
            images = [system.some_traffic(n)["image_id"] for n in range(3)]
            assert system.request("POST", "/v1/images", {"style": "none"})[0] == 401
            assert system.request("GET", "/no/such/path")[0] == 404
            wait_for("finished images", lambda: all(
                system.image(i, "user_%03d" % n)["status"] == "ready"
                for n, i in enumerate(images)), 60, 0.1)
            for url in (system.url + "/metrics", *admin):
                names = ("process_cpu_seconds_total",
                         "http_requests_total" if url != admin[1] else "jobs_processed_total")
                for accept in (None, ACCEPT_TEXT):
                    check_text(url, accept, *names)
                check_openmetrics(url, *names)
        assert [process.returncode for _, process in system.programs] == [0, 0, 0]
