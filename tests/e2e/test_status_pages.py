# SPDX-License-Identifier: Apache-2.0
"""What a server says of its own configuration: /api/v1/status/config, flags and runtimeinfo; never a secret."""
import json
import os
import signal

import yaml

from harness import Collector, Server, get_json, wait_for

SECRETS = ["hunter2", "t0ken", "pa55word", "user:pw", "MIIByteS"]
CONFIG = """
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:@otlp@" } } }
  prometheus:
    config:
      scrape_configs:
        - job_name: 'a: b'
          basic_auth: { username: me, password: hunter2 }
          static_configs: [{ targets: ["127.0.0.1:1"] }]
extensions:
  bearertokenauth: { token: t0ken }
  sonde_web: { endpoint: "127.0.0.1:@web@" }
exporters:
  sonde: { retention: 30d }
  otlphttp:
    endpoint: "http://user:pw@127.0.0.1:9"
    headers: { X-Key: "${env:SONDE_TEST_SECRET}", Authorization: "Basic pa55word" }
    timeout: ${env:SONDE_TEST_TIMEOUT}
service:
  extensions: [bearertokenauth, sonde_web]
  pipelines:
    metrics: { receivers: [otlp, prometheus], exporters: [sonde, otlphttp] }
"""


def status(server, page):
    return get_json("%s/api/v1/status/%s" % (server.http, page))["data"]


def test_the_running_configuration_without_secrets():
    env = dict(os.environ, SONDE_TEST_SECRET="MIIByteS", SONDE_TEST_TIMEOUT="7s")
    with Collector(CONFIG, env=env) as server:
        text = status(server, "config")["yaml"]
        assert not [s for s in SECRETS if s in text]
        shown = yaml.safe_load(text)
        exporter = shown["exporters"]["otlphttp"]
        assert exporter["timeout"] == "${env:SONDE_TEST_TIMEOUT}"
        assert exporter["headers"] == {"X-Key": "<secret>", "Authorization": "<secret>"}
        assert exporter["endpoint"] == "<secret>"
        job = shown["receivers"]["prometheus"]["config"]["scrape_configs"][0]
        assert job == {"job_name": "a: b", "basic_auth": {"username": "me", "password": "<secret>"},
                       "static_configs": [{"targets": ["127.0.0.1:1"]}]}
        assert shown["service"]["pipelines"]["metrics"]["exporters"] == ["sonde", "otlphttp"]

        before = status(server, "runtimeinfo")
        assert before["reloadConfigSuccess"] is True
        server.write(CONFIG.replace("X-Key", "X-Other"))
        server.process.send_signal(signal.SIGHUP)
        wait_for("the new configuration", lambda: "X-Other" in status(server, "config")["yaml"])
        assert status(server, "runtimeinfo")["lastConfigTime"] > before["lastConfigTime"]
        server.write("receivers: [")
        server.process.send_signal(signal.SIGHUP)
        wait_for("the refusal", lambda: status(server, "runtimeinfo")["reloadConfigSuccess"] is False)
        assert "X-Other" in status(server, "config")["yaml"]


def test_the_built_in_configuration_and_the_flags():
    with Server(args=("--retention", "9d", "--alertmanager", "http://user:pw@127.0.0.1:9",
                      "--enable-feature", "promql-delayed-name-removal", "--log-level", "warn")) as server:
        shown = yaml.safe_load(status(server, "config")["yaml"])
        assert shown["exporters"]["sonde"]["retention"] == "9d"
        flags = status(server, "flags")
        assert flags["retention"] == "9d" and flags["log-level"] == "warn" and flags["no-auth"] == "false"
        assert flags["alertmanager"] == "http://<secret>@127.0.0.1:9"
        assert flags["enable-feature"] == "promql-delayed-name-removal"
        assert flags["query.lookback-delta"] == "5m0s" and flags["query.max-samples"] == "50000000"
        assert flags["data"] == server.data and flags["query.max-concurrency"] == "4"
        runtime = status(server, "runtimeinfo")
        assert runtime["storageRetention"] == "9d" and runtime["goroutineCount"] > 3


def test_features_of_prometheus_work_or_are_told_by_name():
    names = ["promql-experimental-functions", "exemplar-storage", "type-and-unit-labels", "use-start-timestamps",
             "no-such-thing"]
    with Server(args=("--enable-feature", ", ".join(names))) as server:
        def told_features():
            lines = [line for line in server.output().splitlines() if '"message":"feature' in line]
            return len(lines) == 4 and [json.loads(line) for line in lines]

        told = wait_for("the log", told_features)
        assert [(t["message"], t["feature"]) for t in told] == [
            ("feature_always_on", "exemplar-storage"), ("feature_without_effect", "type-and-unit-labels"),
            ("feature_without_effect", "use-start-timestamps"), ("feature_unknown", "no-such-thing")]
        assert "/api/v1/metadata" in told[1]["detail"] and "not stored" in told[2]["detail"]
