# SPDX-License-Identifier: Apache-2.0
"""The alerts of the systems in sonde: its server loads and evaluates them all, some fire on a fault that is
planted in the running system and resolve when it is gone, and `sonde test rules` judges their tests as
promtool does.

Nobody waits five minutes in a test: the server gets a copy of the rule file with every duration divided by
SCALE (at least 1 s for `for`), evaluated each second. Thresholds stay what they are."""
import json
import os
import re
import subprocess
import threading
import time

import pytest
import yaml

from conftest import EXAMPLES, FAST_EXPORT, SYSTEMS
from debug_server import DebugServer
from framecast import Framecast
from harness import SONDE, Server, get_json, wait_for
from personaworlds import PersonaWorlds
from sixseven import Sixseven
from staging import Staging

SCALE = 60
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\d+)([smhd])")
IN_EXPRESSION = re.compile(r"(?<=[\[ ])(\d+)([smhd])(?=[\]\s]|$)")


def seconds(match):
    return max(1, int(match.group(1)) * UNITS[match.group(2)] // SCALE)


def scaled(system, folder):
    """The copy of the rule file; its path."""
    with open(os.path.join(EXAMPLES, system, "alerts.yaml")) as f:
        document = yaml.safe_load(f)
    for group in document["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = IN_EXPRESSION.sub(lambda m: "%ds" % seconds(m), rule["expr"])
            if "for" in rule:
                rule["for"] = "%ds" % seconds(DURATION.match(rule["for"]))
    path = os.path.join(folder, "alerts.yaml")
    with open(path, "w") as f:
        yaml.safe_dump(document, f)
    return path


def model(service):
    return (lambda system: system.control(service=service, fail=100),
            lambda system: system.control(service=service, fail=0))


def strangers(system, number):
    """Callers without a good token."""
    if system.fault:
        for _ in range(3):
            system.request("GET", "/sessions", None, {"Authorization": "Bearer wrong"})
    elif number % 4 == 0:
        system.order("sum.dbg", [number])


def set_fault(value):
    return lambda system: setattr(system, "fault", value)


# The system, what a step of its load is (None: its own), the fault, its end, the alerts that it fires.
FAULTS = {
    "framecast": (Framecast, None, *model("anthropic"), {"AnthropicFailing", "GenerationsFailing"}),
    "staging": (Staging, None, *model("replicate"), {"KpiJobSuccessRate"}),
    "personaworlds": (PersonaWorlds, None, *model("anthropic"), {"ErrorRateSpike", "WorkerFailures"}),
    "sixseven": (Sixseven, None, *model("freepik"), {"HighErrorRate", "ExternalAPIFailures"}),
    "debug-server": (DebugServer, strangers, set_fault(True), set_fault(False), {"DebugCallersRefused"}),
}


class Load:
    """The system's traffic, eight steps a second, until the with block ends."""

    def __init__(self, system, step):
        self.system, self.step = system, step or (lambda s, number: s.some_traffic(number))
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        number = 0
        while not self.ended.is_set():
            begun = time.monotonic()
            try:
                self.step(self.system, number)
            except (OSError, RuntimeError, ValueError, KeyError):
                pass  # what a planted fault makes of requests
            number += 1
            self.ended.wait(max(0, 0.125 - (time.monotonic() - begun)))

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def rules(server):
    return [rule for group in get_json(server.http + "/api/v1/rules")["data"]["groups"]
            for rule in group["rules"]]


def active(server, state=None):
    """{alert: its labels} of what is active, in that state."""
    return {a["labels"]["alertname"]: a for a in get_json(server.http + "/api/v1/alerts")["data"]["alerts"]
            if state in (None, a["state"])}


@pytest.mark.parametrize("name", SYSTEMS)
def test_alerts_fire_on_a_fault_and_resolve(name, tmp_path):
    system_class, step, plant, repair, alerts = FAULTS[name]
    path = scaled(name, str(tmp_path))
    with Server(args=["--rules", path]) as server:
        names = [r["name"] for r in rules(server)]
        with open(path) as f:
            wanted = [r.get("alert") or r["record"] for g in yaml.safe_load(f)["groups"]
                      for r in g["rules"]]
        assert sorted(names) == sorted(wanted)
        environment = dict(FAST_EXPORT, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp)
        with system_class(quiet=True, environment=environment, keep=True) as system:
            system.fault = False
            with Load(system, step):
                wait_for("every rule to be evaluated well",
                         lambda: all(r["health"] == "ok" for r in rules(server)), 20, 0.2)
                plant(system)
                fired = {}

                def all_fired():
                    fired.update(active(server, "firing"))
                    return alerts <= set(fired)
                wait_for("%s to fire" % alerts, all_fired, 45, 0.2)
                for alert in alerts:
                    annotations = fired[alert]["annotations"]
                    assert annotations["summary"] and "{{" not in json.dumps(annotations)
                    wait_for("ALERTS of %s" % alert, lambda a=alert: server.promql(
                        'count_over_time(ALERTS{alertname="%s",alertstate="firing"}[5m])' % a))
                repair(system)
                wait_for("%s to resolve" % alerts, lambda: not alerts & set(active(server)), 45, 0.2)
        assert all(r["health"] == "ok" for r in rules(server)), rules(server)


# ---- unit tests of rules ----


def verdict(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "AddressSanitizer" not in done.stderr and "runtime error:" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def both(path):
    """(sonde passed it, promtool passed it, what they said)"""
    code, said = verdict(SONDE, "test", "rules", path)
    assert code in (0, 3), said
    other, theirs = verdict("promtool", "test", "rules", path)
    return code == 0, other == 0, "sonde:\n%s\npromtool:\n%s" % (said, theirs)


@pytest.mark.parametrize("name", SYSTEMS)
def test_sonde_and_promtool_have_the_same_verdict(name, tmp_path):
    ours, theirs, said = both(os.path.join(EXAMPLES, name, "alerts_test.yaml"))
    assert ours and theirs, said
    with open(os.path.join(EXAMPLES, name, "alerts.yaml")) as f:
        document = yaml.safe_load(f)
    with open(os.path.join(EXAMPLES, name, "alerts_test.yaml")) as f:
        (tmp_path / "alerts_test.yaml").write_text(f.read())
    alerts = [rule for group in document["groups"] for rule in group["rules"] if "alert" in rule]
    for rule in alerts[::max(1, len(alerts) // 2)]:
        kept = rule["expr"]
        rule["expr"] = "vector(1)"
        (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(document))
        rule["expr"] = kept
        ours, theirs, said = both(str(tmp_path / "alerts_test.yaml"))
        assert not ours and not theirs, said
