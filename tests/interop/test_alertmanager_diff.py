# SPDX-License-Identifier: Apache-2.0
"""The same alerts and silences, step by step, for Debian's prometheus-alertmanager and for sonde's: each group
of each receiver is told the same in the same order, and the API shows the same after each step.

After a step both get an alert whose group waits for longer than any group's interval: when its notification is
there, every other group has looked at what the step changed. How often something is repeated in that time is
a matter of the clock; it is looked at by itself."""
import json
import os
import sys
import time
import urllib.request

import pytest

from harness import Server, free_ports, get, get_json, post, wait_for
from test_alertmanager_interop import Running, need, write

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from alert_receivers import Webhook  # noqa: E402

CONFIG = """
global:
  resolve_timeout: 1h
route:
  receiver: default
  group_by: [alertname, cluster]
  group_wait: 100ms
  group_interval: 300ms
  repeat_interval: 1h
  routes:
  - matchers: [marker!=""]
    receiver: marker
    group_by: [marker]
    group_wait: 800ms
  - matchers: [team="db"]
    receiver: db
    group_by: [instance]
    routes:
    - matchers: [severity=~"crit.*"]
      receiver: db-critical
      continue: true
    - matchers: [severity!="info", 'kind!~"a|b"']
      receiver: db-rest
  - match: { service: web }
    receiver: web
    group_by: ['...']
    continue: true
  - match_re: { service: web|api }
    receiver: services
    group_by: []
  - matchers: [ "muted = always" ]
    receiver: muted
    mute_time_intervals: [always]
  - matchers: [ muted=unless-active ]
    receiver: muted
    active_time_intervals: [never]
  - matchers: [ muted=not-now ]
    receiver: muted
    mute_time_intervals: [never]
    active_time_intervals: [always]
  - matchers: [quiet="yes"]
    receiver: only-firing
  - matchers: [many="yes"]
    receiver: two-at-most
  - matchers: [repeats="yes"]
    receiver: repeats
    repeat_interval: 400ms
  - matchers: ['two=~"|yes"', two!=""]
    receiver: two-hooks
  - matchers: [nobody="yes"]
    receiver: nobody
inhibit_rules:
- source_matchers: [severity="critical"]
  target_matchers: [severity="warning"]
  equal: [cluster, instance]
- source_match: { site: down }
  target_match_re: { site: up|slow }
- source_matchers: [both="yes"]
  target_matchers: [both="yes"]
  equal: [alertname]
time_intervals:
- name: always
  time_intervals:
  - times: [ { start_time: '00:00', end_time: '24:00' } ]
- name: never
  time_intervals:
  - years: [ '1999' ]
receivers:
- name: nobody
"""
HOOKS = {"default": [""], "marker": [""], "db": [""], "db-critical": [""], "db-rest": [""], "web": [""],
         "services": [""], "muted": [""], "only-firing": ["send_resolved: false"],
         "two-at-most": ["max_alerts: 2"], "repeats": [""], "two-hooks": ["", "send_resolved: false"]}


def config(hook):
    text = CONFIG
    for name, hooks in HOOKS.items():
        text += "- name: %s\n  webhook_configs:\n" % name
        for number, more in enumerate(hooks):
            text += "  - url: %s/%s/%d\n" % (hook.url, name, number) + ("    %s\n" % more if more else "")
    return text


def rfc3339(t):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + ".%03dZ" % (t % 1 * 1000)


class Side:
    """One of the two, with what its receivers got."""

    def __init__(self, base, hook):
        self.base, self.hook, self.silences, self.names = base, hook, {}, {}

    def post(self, path, value):
        code, _, body = post(self.base + "/api/v2/" + path, json.dumps(value).encode())
        assert code == 200, body
        return body

    def told(self):
        """{path of the hook, group key: what it was told, in order}, but for markers; repetitions once."""
        found = {}
        for r in self.hook.all():
            b = r["body"]
            if b["receiver"] == "marker":
                continue
            said = {k: v for k, v in b.items() if k != "externalURL"}
            said["alerts"] = [dict(a, endsAt=a["endsAt"] if a["status"] == "resolved" else "")
                              for a in b["alerts"]]
            told = found.setdefault((r["path"], b["groupKey"]), [])
            if b["receiver"] != "repeats" or not told or told[-1] != said:
                told.append(said)
        return found

    def marked(self, name):
        return any(r["body"]["groupLabels"].get("marker") == name for r in self.hook.all())

    def shown(self):
        """What the API shows: alerts with their states, and groups."""
        names = self.names
        alerts = [(sorted(a["labels"].items()), a["status"]["state"], sorted(a["annotations"].items()),
                   sorted(a["status"]["inhibitedBy"]), sorted(names[s] for s in a["status"]["silencedBy"]),
                   sorted(r["name"] for r in a["receivers"]), a["fingerprint"], a["startsAt"])
                  for a in get_json(self.base + "/api/v2/alerts") if "marker" not in a["labels"]]
        groups = [(sorted(g["labels"].items()), g["receiver"]["name"],
                   sorted(a["fingerprint"] for a in g["alerts"]))
                  for g in get_json(self.base + "/api/v2/alerts/groups") if "marker" not in g["labels"]]
        silences = sorted((names[s["id"]], s["status"]["state"], str(s["matchers"]), s["comment"])
                          for s in get_json(self.base + "/api/v2/silences"))
        return {"alerts": sorted(alerts), "groups": sorted(groups), "silences": silences}


class Pair:
    def __init__(self, *sides):
        self.sides, self.starts, self.steps = sides, {}, 0

    def give(self, *changes):
        """changes: (labels, what): "fire", "end", or annotations as a dict, which fires as well."""
        now, alerts = time.time(), []
        for labels, what in changes:
            key = tuple(sorted(labels.items()))
            starts = self.starts.setdefault(key, now - 0.05)
            alerts.append({"labels": labels, "annotations": what if isinstance(what, dict) else {},
                           "startsAt": rfc3339(starts), "generatorURL": "http://127.0.0.1:1/g"})
            if what == "end":
                alerts[-1]["endsAt"] = rfc3339(now)
                del self.starts[key]
        for side in self.sides:
            side.post("alerts", alerts)

    def silence(self, name, matchers, replaces=None, seconds=3600, starts=0):
        now = time.time()
        for side in self.sides:
            body = {"matchers": matchers, "startsAt": rfc3339(now + starts), "endsAt": rfc3339(now + seconds),
                    "createdBy": "me", "comment": "of " + name}
            if replaces:
                body["id"] = side.silences[replaces]
            side.silences[name] = number = json.loads(side.post("silences", body))["silenceID"]
            side.names.setdefault(number, "%s %d" % (name, len(side.names)))

    def expire(self, name):
        for side in self.sides:
            request = urllib.request.Request(side.base + "/api/v2/silence/" + side.silences[name],
                                             method="DELETE")
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 200

    def settle(self, what):
        self.steps += 1
        name = "m%d" % self.steps
        for side in self.sides:
            side.post("alerts", [{"labels": {"marker": name}}])
        wait_for("the marker", lambda: all(s.marked(name) for s in self.sides), 60)
        theirs, ours = self.sides
        for look in (Side.told, Side.shown):
            try:
                wait_for("the same", lambda: look(theirs) == look(ours), 10)
            except AssertionError:
                pass
            a, b = look(theirs), look(ours)
            for key in sorted(set(a) | set(b), key=str):
                assert b.get(key) == a.get(key), "step %d, %s: %s: sonde, Alertmanager" % (self.steps, what, key)


def of(name, **labels):
    return {"alertname": name, **labels}


def m(name, value, regex=False, equal=True):
    return {"name": name, "value": value, "isRegex": regex, "isEqual": equal}


def groups_and_routes(p):
    a, b = of("Down", cluster="c1", instance="a"), of("Down", cluster="c1", instance="b")
    yield "one fires", p.give((a, "fire"))
    yield "another of its group", p.give((b, {"summary": "b is down"}))
    yield "the same again", p.give((a, "fire"), (b, {"summary": "b is down"}))
    yield "other annotations", p.give((b, {"summary": "b is still down"}))
    yield "one ends", p.give((a, "end"))
    yield "it comes again", p.give((a, "fire"))
    yield "both end", p.give((a, "end"), (b, "end"))
    yield "one fires in a new group", p.give((b, "fire"))
    yield "one ends and one comes at once", p.give((b, "end"), (a, "fire"))
    yield "an end of what was never there", p.give((of("Never"), "end"))
    yield "another group", p.give((of("Down", cluster="c2"), "fire"), (of("Up"), "fire"))
    yield "to child routes", p.give(
        (of("Db", team="db", severity="critical", instance="x"), "fire"),
        (of("Db", team="db", severity="info", instance="x"), "fire"),
        (of("Db2", team="db", severity="page", kind="c", instance="x"), "fire"),
        (of("Db2", team="db", severity="page", kind="a", instance="y"), "fire"))
    yield "they end", p.give(
        (of("Db", team="db", severity="critical", instance="x"), "end"),
        (of("Db2", team="db", severity="page", kind="a", instance="y"), "end"))
    yield "to two routes", p.give((of("Slow", service="web", path="/"), "fire"),
                                  (of("Slow", service="web", path="/a"), "fire"),
                                  (of("Slow", service="api"), "fire"), (of("Slow", service="webs"), "fire"))
    yield "one of them ends", p.give((of("Slow", service="web", path="/"), "end"))
    yield "labels with all kinds of characters", p.give(
        (of('q"\\', cluster="ü\n,{}", instance="😀"), {"text": "a\tb"}), (of("", cluster="x", job="j"), "fire"))
    yield "to nobody", p.give((of("None", nobody="yes"), "fire"))


def receivers(p):
    quiet, many = of("Quiet", quiet="yes"), [of("Many", many="yes", instance=str(i)) for i in range(4)]
    yield "only firing", p.give((quiet, "fire"))
    yield "its end is not told", p.give((quiet, "end"))
    yield "it comes again", p.give((quiet, "fire"))
    yield "more than the receiver takes", p.give(*[(a, "fire") for a in many])
    yield "some of them end", p.give((many[0], "end"), (many[3], "end"))
    yield "two receivers of one name", p.give((of("Two", two="yes"), "fire"))
    yield "its end goes to one of them", p.give((of("Two", two="yes"), "end"))
    yield "it repeats", p.give((of("Again", repeats="yes"), "fire"))
    yield "it repeats no more", p.give((of("Again", repeats="yes"), "end"))
    yield "muted by time", p.give((of("Mute", muted="always"), "fire"), (of("Mute", muted="unless-active"), "fire"))
    yield "not muted", p.give((of("Mute", muted="not-now"), "fire"))


def inhibitions(p):
    def pair(severity, **more):
        return of("Inhibited" + severity, severity=severity, cluster="i", instance="1", **more)
    yield "a warning", p.give((pair("warning"), "fire"))
    yield "what inhibits it", p.give((pair("critical"), "fire"))
    yield "another that it inhibits", p.give((pair("warning", more="yes"), "fire"))
    yield "one of another instance", p.give((of("Other", severity="warning", cluster="i", instance="2"), "fire"))
    yield "what inhibits ends", p.give((pair("critical"), "end"))
    yield "the warnings end", p.give((pair("warning"), "end"), (pair("warning", more="yes"), "end"))
    yield "a warning ends while it is inhibited", p.give((pair("warning"), "fire"), (pair("critical"), "fire"))
    yield "and the other", p.give((pair("warning"), "end"))
    yield "a whole site", p.give((of("SiteUp", site="up"), "fire"), (of("SiteDown", site="down"), "fire"))
    yield "that is up again", p.give((of("SiteDown", site="down"), "end"))
    yield "one that inhibits its like", p.give((of("Both", both="yes", n="1"), "fire"),
                                               (of("Both", both="yes", n="2"), "fire"))


def silences(p):
    a, b = of("Loud", cluster="s", instance="a"), of("Loud", cluster="s", instance="b")
    yield "silenced before", p.silence("one", [m("alertname", "Loud"), m("instance", "a|c", True)])
    yield "one of two", p.give((a, "fire"), (b, "fire"))
    yield "no longer", p.expire("one")
    yield "silenced while it fires", p.silence("two", [m("alertname", "Loud"), m("instance", "b", equal=False)])
    yield "the end of what is not silenced", p.give((b, "end"))
    yield "the silence is made longer", p.silence(
        "two", [m("alertname", "Loud"), m("instance", "b", equal=False)], "two", 7200)
    yield "the silence is for others now", p.silence("three", [m("alertname", "L.*", True),
                                                               m("instance", "a|c", True, False)], "two")
    yield "all end", p.give((a, "end"))
    yield "a silence of tomorrow", p.silence("four", [m("alertname", "Loud")], seconds=99999, starts=86400)
    yield "is none today", p.give((a, "fire"))
    yield "it never comes", p.expire("four")


@pytest.mark.parametrize("scene", [groups_and_routes, receivers, inhibitions, silences])
def test_the_same_is_told_in_the_same_order(scene, tmp_path):
    need("prometheus-alertmanager")
    folder = str(tmp_path)
    with Webhook() as theirs, Webhook() as ours:
        (port,) = free_ports(1)
        url = "http://127.0.0.1:%d" % port
        file = write(folder, "theirs.yml", config(theirs))
        command = ["prometheus-alertmanager", "--config.file=" + file, "--storage.path=" + folder + "/am",
                   "--web.listen-address=127.0.0.1:%d" % port, "--cluster.listen-address="]
        with Running(folder, "alertmanager", command), \
                Server(args=["--alertmanager-config", write(folder, "ours.yml", config(ours))]) as s:
            wait_for("the alertmanager", lambda: get(url + "/-/ready") is not None)
            pair = Pair(Side(url, theirs), Side(s.http, ours))
            for what, _ in scene(pair):
                pair.settle(what)
