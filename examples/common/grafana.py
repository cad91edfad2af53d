# SPDX-License-Identifier: Apache-2.0
"""Reads Grafana's dashboard JSON as the demo scripts need it: panels, their expressions, variables."""
import re

# What Grafana fills in from the time range and the resolution: here that of a demo of some seconds.
BUILTIN = {"__rate_interval": "1m", "__interval": "15s", "__interval_ms": "15000", "__range": "5m",
           "__range_s": "300", "__range_ms": "300000", "__auto": "1m"}
VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)\]\]")


def dashboard(board):
    """The dashboard itself, also out of the wrapper that Grafana's HTTP API takes."""
    return board["dashboard"] if "dashboard" in board and "panels" not in board else board


def panels(board):
    """All panels with something to show, also those in closed rows."""
    for panel in dashboard(board).get("panels", []):
        if panel.get("type") == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def targets(panel):
    """(kind of the data source, expression) of each query of a panel."""
    for target in panel.get("targets", []):
        source = target.get("datasource") or panel.get("datasource") or {}
        kind = source.get("type", "prometheus") if isinstance(source, dict) else "prometheus"
        if target.get("expr"):
            yield kind, target["expr"]


class Variables:
    """Fills in what Grafana would; label_values(metric, label) asks the server."""

    def __init__(self, board, label_values):
        self.label_values = label_values
        self.known = {v["name"]: v for v in dashboard(board).get("templating", {}).get("list", [])}

    def value(self, name):
        if name in BUILTIN:
            return BUILTIN[name]
        variable = self.known.get(name)
        if variable is None:
            raise ValueError("the dashboard has no variable $%s" % name)
        current = variable.get("current", {}).get("value")
        if isinstance(current, list):
            current = "|".join(current)
        if current and "$__all" not in current:
            return current
        if variable.get("includeAll"):
            return variable.get("allValue") or ".*"
        query = variable.get("query")
        query = query.get("query", "") if isinstance(query, dict) else query or ""
        match = re.match(r"label_values\((?:(.*),)?\s*(\w+)\s*\)$", query)
        if match:
            values = self.label_values(match.group(1), match.group(2))
            return values[0] if values else ""
        return query.split(",")[0].strip()

    def __call__(self, expr):
        return VARIABLE.sub(lambda m: self.value(next(filter(None, m.groups()))), expr)
