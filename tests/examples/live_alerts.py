# SPDX-License-Identifier: Apache-2.0
"""Every alert of a system, seen from its cause to its last notification: faults are planted in the running
system, the alerts that a fault must fire fire, the fault is repaired, they resolve; and a webhook is told
of both. test_alerts_SYSTEM.py has the table of the system's faults.

Nobody waits five minutes in a test: the server gets a copy of the rule file with its durations divided,
evaluated each second. Thresholds stay what they are; a rate is reached by as much load as it asks for."""
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml

from conftest import EXAMPLES, FAST_EXPORT
from harness import ROOT, Server, get_json, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))

from alert_receivers import Webhook  # noqa: E402

WINDOW_SCALE = 60  # a range of 5 minutes is 5 s: ten exports of a system that reports twice a second
FOR_SCALE = 120
SHORTEST_WINDOW = 5
STAGE_SECONDS = 120  # for one stage of one fault: what takes 10 s on an idle machine
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\d+)([smhd])")
IN_EXPRESSION = re.compile(r"(?<=[\[ ])(\d+)([smhd])(?=[\]\s)]|$)")
ALERTMANAGER = """
route:
  receiver: test
  group_by: ['...']
  group_wait: 0s
  group_interval: 500ms
  repeat_interval: 1h
receivers:
  - name: test
    webhook_configs: [{ url: %s }]
"""


@dataclass
class Fault:
    """plant and repair are given the system; `fires` names the alerts that must fire. The fault is planted
    when those named in `after` have fired and are repaired; with `after_end`, when they have resolved, too.
    `load` is one more step of load, given (system, number), as long as the fault is there."""
    name: str
    plant: Callable
    repair: Callable
    fires: set
    after: tuple = ()
    after_end: tuple = ()
    load: Callable = None
    stage: str = field(default="waits", init=False)
    since: float = field(default=0, init=False)
    seen: set = field(default=None, init=False)   # that fired since it was planted
    told: dict = field(default=None, init=False)  # by status: whom the webhook knew when it was planted

    def begin(self, stage):
        self.stage, self.since = stage, time.monotonic()


def outside(service, **settings):
    """(plant, repair) of a stand-in for a service outside: fail=P, hang=P, delay_ms=N."""
    return (lambda system: system.control(service=service, **settings),
            lambda system: system.control(service=service, **dict.fromkeys(settings, 0)))


def alert_names(system):
    with open(os.path.join(EXAMPLES, system, "alerts.yaml")) as f:
        document = yaml.safe_load(f)
    return {rule["alert"] for group in document["groups"] for rule in group["rules"] if "alert" in rule}


def every_alert_has_a_fault(system, faults):
    """A new alert comes with a fault that fires it."""
    covered = set().union(*(f.fires for f in faults))
    names = [f.name for f in faults]
    assert covered == alert_names(system), covered ^ alert_names(system)
    assert len(set(names)) == len(names)
    assert {n for f in faults for n in (*f.after, *f.after_end)} <= set(names)


# ---- the rule file ----


def scaled(system, folder, longest):
    """The copy of the rule file; its path. No range is longer than `longest` seconds."""
    def window(match):
        seconds = int(match.group(1)) * UNITS[match.group(2)] // WINDOW_SCALE
        return "%ds" % min(max(seconds, SHORTEST_WINDOW), longest)

    def pending(text):
        count, unit = DURATION.fullmatch(text).groups()
        return "%dms" % (int(count) * UNITS[unit] * 1000 // FOR_SCALE)
    with open(os.path.join(EXAMPLES, system, "alerts.yaml")) as f:
        document = yaml.safe_load(f)
    for group in document["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = IN_EXPRESSION.sub(window, rule["expr"])
            if "for" in rule:
                rule["for"] = pending(rule["for"])
    path = os.path.join(folder, "alerts.yaml")
    with open(path, "w") as f:
        yaml.safe_dump(document, f)
    return path


def rules_of(path):
    with open(path) as f:
        return sorted(r.get("alert") or r["record"] for g in yaml.safe_load(f)["groups"] for r in g["rules"])


# ---- load ----


class Load:
    """A step of load `rate` times a second on each of some threads, and that of each planted fault, until
    the with block ends. A step that a fault makes fail is part of the load."""

    def __init__(self, system, step, faults, rate, threads):
        self.system, self.step, self.faults, self.pause = system, step, faults, 1 / rate
        self.ended = threading.Event()
        self.lock, self.number = threading.Lock(), 0
        self.failed, self.last_error = 0, None
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]

    def one(self):
        with self.lock:
            number, self.number = self.number, self.number + 1
        for step in [self.step, *(f.load for f in self.faults if f.load and f.stage == "planted")]:
            try:
                step(self.system, number)
            except (OSError, RuntimeError, ValueError, KeyError, EOFError) as e:
                self.failed, self.last_error = self.failed + 1, e

    def run(self):
        while not self.ended.is_set():
            begun = time.monotonic()
            self.one()
            self.ended.wait(max(0, self.pause - (time.monotonic() - begun)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        print("%d steps of load, %d failed, the last with %r" % (self.number, self.failed, self.last_error))


# ---- what the server says ----


def assert_rendered(alert):
    """Its template found all that it names."""
    texts = json.dumps(alert["annotations"])
    assert alert["annotations"]["summary"] and "{{" not in texts and "<no value>" not in texts, texts


class Watch:
    """What is known of the alerts: by the API, as series, and by the webhook."""

    def __init__(self, server, webhook):
        self.server, self.webhook = server, webhook

    def rules(self):
        return [rule for group in get_json(self.server.http + "/api/v1/rules")["data"]["groups"]
                for rule in group["rules"]]

    def healthy(self):
        return all(r["health"] == "ok" for r in self.rules())

    def alerts(self):
        return get_json(self.server.http + "/api/v1/alerts")["data"]["alerts"]

    def told(self, status):
        """Names of the alerts that the webhook was told of so; as often as it was."""
        return [alert["labels"]["alertname"] for request in self.webhook.taken()
                for alert in request["body"]["alerts"] if alert["status"] == status]

    def notified(self):
        """What the webhook got is whole: texts without gaps, an end after the start."""
        for request in self.webhook.taken():
            for alert in request["body"]["alerts"]:
                assert_rendered(alert)
                assert alert["status"] == "firing" or alert["endsAt"] > alert["startsAt"], alert

    def recorded(self, name):
        return self.server.promql('count_over_time(ALERTS{alertname="%s",alertstate="firing"}[10m])' % name)


class Story:
    """The faults from the first that is planted to the last that is repaired. Each goes through its stages
    by itself: waits, planted, repaired, over."""

    def __init__(self, system, watch, faults):
        self.system, self.watch, self.faults = system, watch, faults
        self.active, self.firing = set(), {}
        self.begun = self.changed = time.monotonic()

    def step(self):
        """Looks once, and takes each fault as far as it goes."""
        alerts = self.watch.alerts()
        self.active = {a["labels"]["alertname"] for a in alerts}
        self.firing = {a["labels"]["alertname"]: a for a in alerts if a["state"] == "firing"}
        for fault in self.faults:
            {"waits": self.plant, "planted": self.look, "repaired": self.end}.get(
                fault.stage, lambda _: None)(fault)
        return all(f.stage == "over" for f in self.faults)

    def plant(self, fault):
        stages = {f.name: f.stage for f in self.faults}
        if all(stages[n] in ("repaired", "over") for n in fault.after) and \
                all(stages[n] == "over" for n in fault.after_end) and self.quiet(fault):
            fault.told = {status: self.watch.told(status) for status in ("firing", "resolved")}
            fault.seen = set()
            fault.plant(self.system)
            self.begin(fault, "planted")

    def quiet(self, fault):
        """None of its alerts is active, and no end of an earlier one is still to be told."""
        begun, ended = self.watch.told("firing"), self.watch.told("resolved")
        return not fault.fires & self.active and all(
            ended.count(name) >= begun.count(name) for name in fault.fires)

    def begin(self, fault, stage):
        """What pytest shows of a run that failed."""
        fault.begin(stage)
        self.changed = time.monotonic()
        print("%6.1f s  %-8s  %s" % (time.monotonic() - self.begun, stage, fault.name))

    def news(self, fault, status):
        """Whether the webhook was told so of all its alerts since it was planted."""
        now = self.watch.told(status)
        return all(now.count(name) > fault.told[status].count(name) for name in fault.fires)

    def look(self, fault):
        for name in fault.fires & set(self.firing):
            assert_rendered(self.firing[name])
            fault.seen.add(name)
        if fault.fires == fault.seen and self.news(fault, "firing") and \
                all(self.watch.recorded(name) for name in fault.fires):
            self.begin(fault, "repaired")  # first, as it ends the fault's load
            fault.repair(self.system)

    def end(self, fault):
        if not fault.fires & self.active and self.news(fault, "resolved"):
            self.begin(fault, "over")

    def run(self):
        while not self.step():
            now = time.monotonic()
            late = [f for f in self.faults if f.stage != "over" and
                    now - (self.changed if f.stage == "waits" else f.since) > STAGE_SECONDS]
            assert not late, "\n".join(self.tell(f) for f in late)
            self.system.check()
            time.sleep(0.1)

    def tell(self, fault):
        return "%s, %s for %d s: fires %s; active %s, firing %s, webhook: firing %s, resolved %s" % (
            fault.name, fault.stage, time.monotonic() - fault.since, sorted(fault.fires),
            sorted(self.active), sorted(self.firing), self.watch.told("firing"),
            self.watch.told("resolved"))


def fire_and_resolve(system_class, faults, folder, step=None, rate=8, threads=1, longest=3600,
                     environment=None):
    """Runs the system with its load (`step`, its own when None) and all faults of the table. No range of
    the rules is longer than `longest` seconds: what an hour's average forgets is forgotten sooner then."""
    for fault in faults:
        fault.begin("waits")
    path = scaled(system_class.name, folder, longest)
    configuration = os.path.join(folder, "alertmanager.yml")
    with Webhook() as webhook:
        with open(configuration, "w") as f:
            f.write(ALERTMANAGER % webhook.url)
        with Server(args=["--rules", path, "--alertmanager-config", configuration]) as server:
            watch = Watch(server, webhook)
            assert sorted(r["name"] for r in watch.rules()) == rules_of(path)
            own = dict(FAST_EXPORT, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, **(environment or {}))
            with system_class(quiet=True, environment=own, keep=True) as system:
                step = step or (lambda s, number: s.some_traffic(number))
                with Load(system, step, faults, rate, threads):
                    wait_for("every rule to be evaluated well", watch.healthy, 60, 0.2)
                    Story(system, watch, faults).run()
            assert watch.healthy(), watch.rules()
            watch.notified()
