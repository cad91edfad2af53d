#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the three dashboards from one list of panels: dashboard.json has all of them in rows,
dashboard_api.json and dashboard_worker.json have one program's each."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEIGHT = 8, 8  # three panels in a line

# program, row, title, unit, what it tells, [(expression, legend)]
PANELS = [
    ("api", "API", "Request rate by status", "reqps", "Answers a second, by HTTP status.",
     [("sum by (status) (rate(http_requests_total[$__rate_interval]))", "{{status}}")]),
    ("api", "API", "p95 latency", "s", "One request in 20 takes longer; an alert fires above 500 ms.",
     [("histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket"
       "[$__rate_interval])))", "all"),
      ("histogram_quantile(0.95, sum by (le, method, route) (rate(http_request_duration_seconds_bucket"
       "[$__rate_interval])))", "{{method}} {{route}}")]),
    ("api", "API", "5xx error ratio", "percentunit", "Answers from 500 on; an alert fires above 2 %.",
     [('(sum(rate(http_requests_total{status=~"5.."}[$__rate_interval])) or vector(0)) '
       "/ sum(rate(http_requests_total[$__rate_interval]))", "5xx")]),
    ("worker", "Worker", "Jobs processed by status", "ops", "Jobs that ended, a second.",
     [("sum by (status) (rate(jobs_processed_total[$__rate_interval]))", "{{status}}")]),
    ("worker", "Worker", "Retries and failures", "ops", "Jobs tried again and given up, a second.",
     [("sum by (type) (rate(job_retries_total[$__rate_interval]))", "{{type}} tried again"),
      ('sum by (type) (rate(jobs_processed_total{status="failed"}[$__rate_interval]))',
       "{{type}} failed")]),
    ("worker", "Worker", "Queue depth by job type", "short", "Jobs that wait.",
     [("max by (type) (queue_depth)", "{{type}}")]),
    ("worker", "Worker", "p95 job duration", "s", "With the waits between attempts.",
     [("histogram_quantile(0.95, sum by (le, type) (rate(job_duration_seconds_bucket"
       "[$__rate_interval])))", "{{type}}")]),
    ("worker", "Worker", "Jobs by trace", "ops", "Whether a job brought a request id along.",
     [("sum by (trace) (rate(jobs_trace_total[$__rate_interval]))", "{{trace}}")]),
    ("worker", "Worker", "p95 database query", "s", "Of both programs.",
     [("histogram_quantile(0.95, sum by (le) (rate(db_query_duration_seconds_bucket"
       "[$__rate_interval])))", "p95")]),
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panel(number, row, place):
    _, _, title, unit, description, queries = row
    return {
        "id": number, "type": "timeseries", "title": title, "description": description,
        "datasource": SOURCE, "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10}},
                        "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                    "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [{"refId": "ABCD"[i], "datasource": SOURCE, "expr": expr, "legendFormat": legend}
                    for i, (expr, legend) in enumerate(queries)]}


def board(title, uid, programs):
    panels, y, x, before = [], 0, 0, None
    for row in [p for p in PANELS if p[0] in programs]:
        if row[1] != before and len(programs) > 1:
            y += HEIGHT if panels else 0
            panels.append({"id": len(panels) + 1, "type": "row", "title": row[1], "collapsed": False,
                           "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}, "panels": []})
            y, x = y + 1, 0
        elif x == 24:
            y, x = y + HEIGHT, 0
        panels.append(panel(len(panels) + 1, row, {"x": x, "y": y, "w": WIDTH, "h": HEIGHT}))
        before, x = row[1], x + WIDTH
    return {
        "title": title, "uid": uid, "tags": ["personaworlds"], "schemaVersion": 39, "editable": True,
        "refresh": "10s", "timezone": "browser", "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus",
                                 "label": "Data source"}]},
        "panels": panels}


BOARDS = {
    "dashboard.json": board("PersonaWorlds Observability", "personaworlds", ("api", "worker")),
    "dashboard_api.json": board("PersonaWorlds API", "personaworlds-api", ("api",)),
    "dashboard_worker.json": board("PersonaWorlds Worker", "personaworlds-worker", ("worker",)),
}


def text(name):
    return json.dumps(BOARDS[name], indent=2) + "\n"


if __name__ == "__main__":
    for name in BOARDS:
        with open(os.path.join(HERE, name), "w") as f:
            f.write(text(name))
