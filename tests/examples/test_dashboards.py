# SPDX-License-Identifier: Apache-2.0
"""The Grafana dashboards of the systems: Grafana's own model knows every member of them, and what it cannot
judge holds, too (places, units, data sources, titles)."""
import glob
import json
import os
import sys

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from conftest import EXAMPLES, SYSTEMS
from harness import ROOT

sys.path.insert(0, os.path.join(EXAMPLES, "common"))

import grafana  # noqa: E402

register_default_plugins()
BOARDS = sorted(glob.glob(EXAMPLES + "/*/dashboard*.json") + [
    path for path in glob.glob(ROOT + "/config/*/**/*.json", recursive=True)
    if "grafana" in os.path.relpath(path, ROOT)])
# Grafana gives these their value when it stores a dashboard.
STORED = {"id", "version", "gnetId"}
WITHOUT_UNIT = {"logs", "text", "traces", "table", "alertlist", "annolist", "dashlist", "news", "row"}


def load(path):
    with open(path) as f:
        return json.load(f)


def is_wrapped(path):
    """The form of Grafana's HTTP API, which gives it a uid, and the default data source."""
    return "dashboard" in load(path)


def name(path):
    return os.path.relpath(path, ROOT)


def lost(before, after, where=""):
    """The members of a JSON value that another one does not have, or has with another value."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if not where and key in STORED:
                continue
            if key not in after:
                if value not in (None, [], {}):
                    yield "%s.%s" % (where, key)
            else:
                yield from lost(value, after[key], "%s.%s" % (where, key))
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield "%s: %d elements became %d" % (where, len(before), len(after))
        for i, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, "%s[%d]" % (where, i))
    elif before != after:
        yield "%s: %r became %r" % (where, before, after)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_has_a_dashboard_with_the_panels_asked_for(system):
    board = load(os.path.join(EXAMPLES, system, "dashboard.json"))
    asked = load(os.path.join(EXAMPLES, system, "asked.json"))
    assert "dashboard" not in board, "the plain form, as the import page and provisioning take it"
    titles = [p["title"] for p in grafana.panels(board)]
    assert asked["panels"] and set(asked["panels"]) <= set(titles)


@pytest.mark.parametrize("path", BOARDS, ids=name)
def test_grafana_knows_every_member(path):
    board = grafana.dashboard(load(path))
    after = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    assert list(lost(board, after)) == []


def test_an_unknown_member_is_noticed():
    """The judge is worth something: it loses what Grafana would not know."""
    source = {"type": "prometheus", "uid": "${source}"}
    board = {"title": "x", "panels": [{"id": 1, "datasource": source, "type": "timeseries", "fieldConfig": {
        "defaults": {"custom": {"lineWidht": 1}}, "overrides": []}, "targets": [
            {"refId": "A", "expr": "up", "legend": "no"}]}]}
    after = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    assert set(lost(board, after)) == {".panels[0].fieldConfig.defaults.custom.lineWidht",
                                       ".panels[0].targets[0].legend"}


@pytest.mark.parametrize("path", BOARDS, ids=name)
def test_a_dashboard_is_whole(path):
    board = grafana.dashboard(load(path))
    assert board["title"]
    assert is_wrapped(path) or 0 < len(board["uid"]) <= 40
    assert board["schemaVersion"] >= 36 and board["time"]["from"]
    every = list(board["panels"]) + [p for row in board["panels"] for p in row.get("panels", [])]
    assert len({p["id"] for p in every}) == len(every)
    for panel in grafana.panels(board):
        assert panel["title"] and panel["type"], panel
        references = [t["refId"] for t in panel.get("targets", [])]
        assert len(set(references)) == len(references), panel["title"]
        if panel["type"] != "text":
            assert references, "%s shows nothing" % panel["title"]
        for target in panel.get("targets", []):
            assert target.get("expr") or target.get("query") or target.get("queryType"), target
        if panel["type"] not in WITHOUT_UNIT:
            assert panel["fieldConfig"]["defaults"].get("unit"), "%s has no unit" % panel["title"]


@pytest.mark.parametrize("path", [p for p in BOARDS if not is_wrapped(p)], ids=name)
def test_data_sources_are_variables(path):
    """Whoever imports a dashboard chooses the data source; a fixed uid would be that of one Grafana."""
    board = grafana.dashboard(load(path))
    variables = {v["name"] for v in board.get("templating", {}).get("list", [])
                 if v["type"] == "datasource"}
    used = [p.get("datasource") for p in grafana.panels(board) if p["type"] != "text"]
    used += [t["datasource"] for p in grafana.panels(board) for t in p.get("targets", [])
             if "datasource" in t]
    for source in used:
        uid = source["uid"]
        assert uid.strip("${}") in variables and uid.startswith("$"), "%s is no variable" % uid


@pytest.mark.parametrize("path", BOARDS, ids=name)
def test_panels_do_not_overlap(path):
    board = grafana.dashboard(load(path))
    taken = {}
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["w"] > 0 and at["h"] > 0 and at["x"] >= 0 and at["x"] + at["w"] <= 24, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, "%s lies on %s" % (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]


def test_the_import_form_is_what_grafanas_api_takes():
    wrapped = load(os.path.join(EXAMPLES, "staging", "dashboard_import.json"))
    assert set(wrapped) <= {"dashboard", "overwrite", "folderUid", "message", "inputs"}
    plain = load(os.path.join(EXAMPLES, "staging", "dashboard.json"))
    assert wrapped["dashboard"]["title"] == plain["title"]
    assert list(grafana.panels(wrapped))
