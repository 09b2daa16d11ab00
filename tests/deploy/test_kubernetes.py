"""The manifests: built by kustomize, checked against the schemas of Kubernetes and of the Prometheus operator."""

import copy
import os
import re
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import tomli
import yaml

from files import DEPLOY, RULES, run, seconds

KUBERNETES = DEPLOY / "kubernetes"
BASE, OVERLAY = KUBERNETES / "base", KUBERNETES / "overlays" / "example"
# The oldest that the schemas are checked for, and the newest that they are there for.
VERSIONS = ["1.27", kubernetes_validate.latest_version()]

Objects = dict[tuple[str, str], dict]


def build(directory: Path) -> Objects:
    """What `kubectl apply -k` would apply, by kind and name; the ConfigMap without its hash."""
    found = {}
    for each in yaml.safe_load_all(run(os.environ["KUSTOMIZE"], "build", directory)):
        name = each["metadata"]["name"]
        key = (each["kind"], re.sub(r"-[0-9a-z]{10}$", "", name) if each["kind"] == "ConfigMap" else name)
        assert key not in found
        found[key] = each
    return found


@pytest.fixture(scope="module")
def base() -> Objects:
    """The base alone."""
    return build(BASE)


@pytest.fixture(scope="module")
def overlay() -> Objects:
    """The example, with all components."""
    return build(OVERLAY)


@pytest.fixture(params=[BASE, OVERLAY], ids=["base", "overlay"])
def objects(request: pytest.FixtureRequest) -> Objects:
    """Either."""
    return build(request.param)


def pod(objects: Objects) -> dict:
    """The pods' spec."""
    return objects["StatefulSet", "hardneg"]["spec"]["template"]["spec"]


def container(objects: Objects) -> dict:
    """The one container."""
    (only,) = pod(objects)["containers"]
    return only


def closed(schema: dict) -> dict:
    """A CRD's schema that refuses unknown fields; the API server would drop them in silence."""
    schema = copy.deepcopy(schema)
    pending = [schema]
    while pending:
        each = pending.pop()
        if "properties" in each and not each.get("x-kubernetes-preserve-unknown-fields"):
            each.setdefault("additionalProperties", False)
        if each.get("x-kubernetes-int-or-string"):
            each.pop("type", None)
        if "(?i)" in each.get("pattern", ""):
            # Go has flags anywhere, Python only in front.
            each["pattern"] = "(?i)" + each["pattern"].replace("(?i)", "")
        pending += list(each.get("properties", {}).values())
        pending += [each[key] for key in ("items", "additionalProperties") if isinstance(each.get(key), dict)]
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def definition(kind: str) -> dict:
    """The schema of one of the operator's kinds."""
    path = Path(os.environ["OPERATOR_CRDS"]) / f"monitoring.coreos.com_{kind.lower()}s.yaml"
    (version,) = (each for each in yaml.safe_load(path.read_text())["spec"]["versions"] if each["name"] == "v1")
    return closed(version["schema"]["openAPIV3Schema"])


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_would_take_it(objects: Objects, version: str) -> None:
    for each in objects.values():
        if not each["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes_validate.validate(each, version, strict=True)


def test_the_schemas_refuse_what_is_wrong(base: Objects) -> None:
    wrong = copy.deepcopy(base["StatefulSet", "hardneg"])
    wrong["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PrometheusRule"])
def test_the_operator_would_take_it(overlay: Objects, kind: str) -> None:
    schema, each = definition(kind), copy.deepcopy(overlay[kind, "hardneg"])
    jsonschema.validate(each, schema)
    each["spec"]["unknown"] = True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(each, schema)


def test_the_kinds_are_these(base: Objects, overlay: Objects) -> None:
    assert base.keys() == {
        ("ConfigMap", "hardneg"),
        ("NetworkPolicy", "hardneg"),
        ("PodDisruptionBudget", "hardneg"),
        ("Service", "hardneg"),
        ("Service", "hardneg-nodes"),
        ("ServiceAccount", "hardneg"),
        ("StatefulSet", "hardneg"),
    }
    assert overlay.keys() - base.keys() == {("PrometheusRule", "hardneg"), ("ServiceMonitor", "hardneg")}
    assert {each["metadata"].get("namespace") for each in overlay.values()} == {"training"}


def test_the_pod_may_do_nothing_but_serve(objects: Objects) -> None:
    spec, only = pod(objects), container(objects)
    assert spec["automountServiceAccountToken"] is False
    assert objects["ServiceAccount", "hardneg"]["automountServiceAccountToken"] is False
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount["readOnly"] for mount in only["volumeMounts"])


def test_it_is_one_server_with_its_memory_to_itself(objects: Objects) -> None:
    assert objects["StatefulSet", "hardneg"]["spec"]["replicas"] == 1
    resources = container(objects)["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert "cpu" not in resources["limits"]


def test_probes_ask_the_http_side(objects: Objects) -> None:
    only = container(objects)
    assert {port["name"]: port["containerPort"] for port in only["ports"]} == {"grpc": 50051, "http": 50052}
    asked = {kind: only[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {get["port"] for get in asked.values()} == {"http"}
    assert {kind: get["path"] for kind, get in asked.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }


def test_the_environment_opens_the_ports(objects: Objects) -> None:
    given = {each["name"]: each["value"] for each in container(objects)["env"]}
    expected = {"LISTEN": "0.0.0.0:50051", "HTTP_LISTEN": "0.0.0.0:50052", "INSECURE": "true"}
    assert given.items() >= {(f"HARDNEG_{name}", value) for name, value in expected.items()}
    # A Service `hardneg` would add HARDNEG_PORT and the like.
    assert pod(objects)["enableServiceLinks"] is False


def test_the_drain_fits_into_the_grace_period(objects: Objects) -> None:
    settings = tomli.loads(objects["ConfigMap", "hardneg"]["data"]["hardneg.toml"])
    assert pod(objects)["terminationGracePeriodSeconds"] > seconds(settings["drain_deadline"])


def test_the_configuration_is_mounted_where_it_is_read(objects: Objects) -> None:
    only = container(objects)
    (volume,), (mount,) = pod(objects)["volumes"], only["volumeMounts"]
    assert volume["configMap"]["name"] == objects["ConfigMap", "hardneg"]["metadata"]["name"]
    assert volume["name"] == mount["name"]
    assert only["args"] == ["serve", "--config", f"{mount['mountPath']}/hardneg.toml"]


def test_selectors_find_the_pod(objects: Objects) -> None:
    labels = objects["StatefulSet", "hardneg"]["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        objects["StatefulSet", "hardneg"]["spec"]["selector"]["matchLabels"],
        objects["PodDisruptionBudget", "hardneg"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy", "hardneg"]["spec"]["podSelector"]["matchLabels"],
        objects["Service", "hardneg"]["spec"]["selector"],
        objects["Service", "hardneg-nodes"]["spec"]["selector"],
    ]
    assert all(selector and selector.items() <= labels for selector in selectors)


def test_services_lead_to_the_ports(objects: Objects) -> None:
    ports = {port["name"] for port in container(objects)["ports"]}
    clients, nodes = objects["Service", "hardneg"]["spec"], objects["Service", "hardneg-nodes"]["spec"]
    assert {port["targetPort"] for port in clients["ports"] + nodes["ports"]} == ports
    assert clients.get("type", "ClusterIP") == "ClusterIP"
    assert clients.get("clusterIP") is None
    assert [port["port"] for port in clients["ports"]] == [50051]
    assert nodes["clusterIP"] == "None"
    assert objects["StatefulSet", "hardneg"]["spec"]["serviceName"] == "hardneg-nodes"


def test_the_network_is_closed_but_for_clients_and_monitoring(base: Objects, overlay: Objects) -> None:
    spec = base["NetworkPolicy", "hardneg"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == []
    allowed = {rule["ports"][0]["port"]: rule for rule in spec["ingress"]}
    assert all(len(rule["ports"]) == len(rule["from"]) == 1 for rule in spec["ingress"])
    assert allowed.keys() == {50051, 50052}
    assert allowed[50051]["from"] == [{"podSelector": {"matchLabels": {"hardneg-client": "true"}}}]
    monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    assert allowed[50052]["from"] == [{"namespaceSelector": monitoring}]
    # Traces go out to their collector, and a name has to be looked up for that.
    assert overlay["NetworkPolicy", "hardneg"]["spec"]["ingress"] == spec["ingress"]
    ways = overlay["NetworkPolicy", "hardneg"]["spec"]["egress"]
    assert sorted({port["port"] for way in ways for port in way["ports"]}) == [53, 4317]


def test_the_overlay_names_the_image(base: Objects, overlay: Objects) -> None:
    assert container(base)["image"] == "hardneg"
    assert container(overlay)["image"].startswith("registry.example.com/hardneg:")


def test_each_server_is_scraped_once_under_the_job_of_the_rules(overlay: Objects) -> None:
    monitor = overlay["ServiceMonitor", "hardneg"]["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    services = [each for (kind, _), each in overlay.items() if kind == "Service"]
    (service,) = (each for each in services if wanted <= each["metadata"]["labels"].items())
    assert service["metadata"]["name"] == "hardneg-nodes"
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "hardneg"
    (endpoint,) = monitor["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_the_operators_rules_are_the_rules(overlay: Objects) -> None:
    monitoring = KUBERNETES / "components" / "monitoring"
    assert run(monitoring / "generate.sh", "-") == (monitoring / "prometheusrule.yaml").read_text()
    original = yaml.safe_load(RULES.read_text())["groups"]
    groups = copy.deepcopy(overlay["PrometheusRule", "hardneg"]["spec"]["groups"])
    limit = groups[0]["rules"][0]
    assert limit["record"] == "hardneg:memory_limit_bytes"
    limit["expr"] = original[0]["rules"][0]["expr"]
    assert groups == original


def test_alerts_know_the_memory_limit(base: Objects, overlay: Objects) -> None:
    in_rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"][0]
    in_overlay = overlay["PrometheusRule", "hardneg"]["spec"]["groups"][0]["rules"][0]
    for objects, rule in ((base, in_rules), (overlay, in_overlay)):
        assert rule["record"] == "hardneg:memory_limit_bytes"
        gibibytes = re.fullmatch(r"vector\((\d+) \* 1024 \* 1024 \* 1024\)", rule["expr"])[1]
        assert container(objects)["resources"]["limits"]["memory"] == f"{gibibytes}Gi"
