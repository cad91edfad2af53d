# SPDX-License-Identifier: Apache-2.0
"""What a user copies from config/: compose files, Kubernetes manifests, Prometheus, collector, Filebeat and
Datadog files, judged by their own tools or schemas where one can be had, by their shape elsewhere. No
container engine runs here."""
import glob
import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from conftest import EXAMPLES, SYSTEMS
from harness import ROOT

CONFIG = os.path.join(ROOT, "config")
FILES = sorted(path for path in glob.glob(CONFIG + "/**/*", recursive=True) if os.path.isfile(path))
YAML = [path for path in FILES if path.endswith((".yaml", ".yml"))]


def name(path):
    return os.path.relpath(path, ROOT)


def documents(path):
    with open(path) as f:
        return [d for d in yaml.safe_load_all(f) if d is not None]


def holding(*keys):
    """The files whose first document has all these members."""
    found = []
    for path in YAML:
        first = (documents(path) or [None])[0]
        if isinstance(first, dict) and all(key in first for key in keys):
            found.append(path)
    return found


COMPOSE = holding("services")
COLLECTOR = holding("receivers", "exporters", "service")
PROMETHEUS = [path for path in holding("scrape_configs") if path not in COLLECTOR]
KUBERNETES = holding("apiVersion", "kind")
FILEBEAT = holding("filebeat.inputs")
DATADOG = [path for path in holding("logs") if "datadog" in path]


@pytest.mark.parametrize("path", YAML, ids=name)
def test_yaml_is_read(path):
    assert documents(path)


@pytest.mark.parametrize("path", COMPOSE, ids=name)
def test_compose_files_fit_the_schema(path):
    done = subprocess.run([os.path.join(os.path.dirname(sys.executable), "check-jsonschema"),
                           "--builtin-schema", "vendor.compose-spec", path],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def mounted(service, folder):
    """The files of the repo that a service of a compose file needs."""
    for volume in service.get("volumes", []):
        source = volume.get("source", "") if isinstance(volume, dict) else volume.split(":")[0]
        if source.startswith((".", "/")):
            yield os.path.join(folder, source)
    for one in service.get("env_file", []) if isinstance(service.get("env_file"), list) else []:
        yield os.path.join(folder, one if isinstance(one, str) else one["path"])
    build = service.get("build")
    if build:
        build = {"context": build} if isinstance(build, str) else build
        context = os.path.join(folder, build["context"])
        yield context
        yield os.path.join(context, build.get("dockerfile", "Dockerfile"))


def programs():
    """(system, program) of all that the build makes."""
    found = set()
    for path in glob.glob(EXAMPLES + "/*/programs.cmake") + [EXAMPLES + "/CMakeLists.txt"]:
        with open(path) as f:
            found.update(re.findall(r"sonde_example\(\s*([\w-]+)\s+([\w-]+)\s", f.read()))
    return found


@pytest.mark.parametrize("path", COMPOSE, ids=name)
def test_what_a_compose_file_names_is_there(path):
    document = documents(path)[0]
    for service, content in document["services"].items():
        for file in mounted(content, os.path.dirname(path)):
            assert os.path.exists(file), "%s: %s is not there" % (service, file)
        for other in content.get("depends_on", []):
            assert other in document["services"], "%s depends on %s" % (service, other)
        arguments = content.get("build", {}).get("args", {}) if isinstance(
            content.get("build"), dict) else {}
        if "SYSTEM" in arguments:
            program = os.path.join(EXAMPLES, arguments["SYSTEM"], "programs.cmake")
            if arguments["SYSTEM"] == "common":
                program = os.path.join(EXAMPLES, "CMakeLists.txt")
            with open(program) as f:
                assert re.search(r"sonde_example\(\s*%s\s+%s\s" % (
                    re.escape(arguments["SYSTEM"]), re.escape(arguments["PROGRAM"])), f.read())
        for volume in content.get("volumes", []):
            source = volume.get("source", "") if isinstance(volume, dict) else volume.split(":")[0]
            if source and not source.startswith((".", "/", "~", "$")):
                assert source in document.get("volumes", {}), "%s: no volume %s" % (service, source)


def test_the_dockerfile_builds_from_what_is_there():
    path = os.path.join(CONFIG, "Dockerfile")
    with open(path) as f:
        text = f.read()
    assert re.search(r"^ARG SYSTEM", text, re.M) and re.search(r"^ARG PROGRAM", text, re.M)
    for line in re.findall(r"^(?:COPY|ADD) (?!--from)(.*)$", text, re.M):
        for source in [w for w in line.split() if not w.startswith("--")][:-1]:
            assert glob.glob(os.path.join(ROOT, source)), "%s is not in the repo" % source


@pytest.mark.parametrize("path", KUBERNETES, ids=name)
def test_kubernetes_manifests_fit_the_schema(path):
    import kubernetes_validate
    for document in documents(path):
        kubernetes_validate.validate(document, "1.30", strict=True)


@pytest.mark.parametrize("path", PROMETHEUS, ids=name)
def test_prometheus_takes_its_file(path, tmp_path):
    """Rule files that a container has elsewhere are looked for beside the example."""
    document = documents(path)[0]
    for number, rule_file in enumerate(document.get("rule_files", [])):
        if os.path.isabs(rule_file):
            system = os.path.basename(os.path.dirname(path))
            beside = os.path.join(EXAMPLES, {"observability": "debug-server"}.get(system, system),
                                  "alerts.yaml")
            assert os.path.exists(beside)
            document["rule_files"][number] = beside
        else:
            document["rule_files"][number] = os.path.join(os.path.dirname(path), rule_file)
            assert glob.glob(document["rule_files"][number]), rule_file
    copy = tmp_path / "prometheus.yml"
    copy.write_text(yaml.safe_dump(document))
    done = subprocess.run(["promtool", "check", "config", str(copy)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", COLLECTOR, ids=name)
def test_collector_files_have_the_collectors_shape(path):
    document = documents(path)[0]
    assert set(document) <= {"receivers", "processors", "exporters", "connectors", "extensions", "service"}
    service = document["service"]
    for extension in service.get("extensions", []):
        assert extension in document["extensions"]
    assert service["pipelines"]
    used = set()
    for pipeline, parts in service["pipelines"].items():
        assert pipeline.split("/")[0] in ("traces", "metrics", "logs", "profiles"), pipeline
        assert set(parts) <= {"receivers", "processors", "exporters"}, pipeline
        assert parts["receivers"] and parts["exporters"], pipeline
        for kind in parts:
            for component in parts[kind]:
                known = set(document.get(kind, {})) | set(document.get("connectors", {}))
                assert component in known, "%s: %s %s is nowhere configured" % (pipeline, kind, component)
                used.add(component)
    for kind in ("receivers", "processors", "exporters"):
        assert set(document.get(kind, {})) <= used, "configured and in no pipeline"


@pytest.mark.parametrize("path", FILEBEAT, ids=name)
def test_filebeat_files_read_json_lines(path):
    document = documents(path)[0]
    for one in document["filebeat.inputs"]:
        assert one["type"] in ("log", "filestream") and one["paths"], one
        assert any(key.startswith("json") or key == "parsers" for key in one), one
    assert document["output.elasticsearch"]["hosts"]


@pytest.mark.parametrize("path", DATADOG, ids=name)
def test_datadog_files_name_service_and_source(path):
    for one in documents(path)[0]["logs"]:
        assert one["type"] == "file" and one["path"] and one["service"] and one["source"], one


@pytest.mark.parametrize("kind, found, at_least", [
    ("compose", COMPOSE, ["personaworlds", "staging"]), ("collector", COLLECTOR, ["staging", "sixseven"]),
    ("Prometheus", PROMETHEUS, ["sixseven", "personaworlds", "staging"]), ("Kubernetes", KUBERNETES,
                                                                          ["staging"]),
    ("Filebeat", FILEBEAT, ["sixseven"]), ("Datadog", DATADOG, ["sixseven"])])
def test_nothing_that_a_system_needs_is_missing(kind, found, at_least):
    """Files are found by what they hold; this fails when one is gone or no longer recognised."""
    assert set(at_least) <= {os.path.relpath(path, CONFIG).split(os.sep)[0] for path in found}, kind


def test_every_system_has_its_files():
    for system in SYSTEMS:
        folder = os.path.join(CONFIG, {"debug-server": "observability"}.get(system, system))
        assert os.listdir(folder)


@pytest.mark.parametrize("path", [p for p in FILES if p.endswith(".json")], ids=name)
def test_json_is_read(path):
    with open(path) as f:
        json.load(f)
