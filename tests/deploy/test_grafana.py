"""The Grafana dashboard: what generate.py writes, in Grafana's own types, of metrics that exist."""

import json
import re
import runpy
from itertools import combinations
from pathlib import Path

import yaml

from files import DASHBOARD, DEPLOY, documented, run, unknown

BOARD = json.loads(DASHBOARD.read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Every PromQL expression, variables replaced by what Grafana would put there."""
    found = {f"{panel['id']}{query['refId']}": query["expr"] for panel in PANELS for query in panel["targets"]}
    found |= {f"annotation{i}": each["expr"] for i, each in enumerate(BOARD["annotations"]["list"]) if "expr" in each}
    for name, value in (("$__rate_interval", "1m"), ("$instance", ".*"), ("$pool", ".*")):
        found = {key: expr.replace(name, value) for key, expr in found.items()}
    return found


def test_the_file_is_what_the_generator_writes() -> None:
    generator = runpy.run_path(str(DEPLOY / "grafana" / "generate.py"))
    assert generator["render"]() == DASHBOARD.read_text()


def test_grafana_reads_it_strictly() -> None:
    run("go", "run", ".", DASHBOARD, cwd=Path(__file__).parent / "strict")


def test_expressions_are_promql(tmp_path: Path) -> None:
    found = expressions()
    assert len(found) > len(PANELS)
    assert not [expr for expr in found.values() if "$" in expr]
    rules = [{"record": f"panel:{key}", "expr": expr} for key, expr in found.items()]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(found)} rules found" in run("promtool", "check", "rules", tmp_path / "rules.yml")


def test_metrics_exist() -> None:
    assert {key: wrong for key, expr in expressions().items() if (wrong := unknown(expr))} == {}
    named = {
        variable["name"]: re.findall(r"label_values\((\w+)", str(variable["query"]))
        for variable in BOARD["templating"]["list"]
        if variable["type"] == "query"
    }
    assert named == {"instance": ["hardneg_build_info"], "pool": ["hardneg_pool_capacity_samples"]}
    assert {name for names in named.values() for name in names} <= documented().keys()


def test_each_panel_says_what_healthy_looks_like() -> None:
    assert [panel["title"] for panel in PANELS if "Healthy: " not in panel["description"]] == []
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


def test_rows_and_variables_are_there() -> None:
    assert [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"] == [
        "Overview",
        "Scores in",
        "Mining and its latency",
        "Mixture",
        "Policies",
        "Pool health",
        "Workers",
        "Server",
    ]
    assert [variable["name"] for variable in BOARD["templating"]["list"]] == ["datasource", "instance", "pool"]


def test_everything_asks_the_chosen_data_source() -> None:
    asked = [query["datasource"] for panel in PANELS for query in panel["targets"]]
    asked += [panel["datasource"] for panel in PANELS]
    asked += [variable["datasource"] for variable in BOARD["templating"]["list"] if variable["type"] == "query"]
    assert {(source["type"], source["uid"]) for source in asked} == {("prometheus", "${datasource}")}


def test_panels_do_not_lie_on_each_other() -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in BOARD["panels"]]
    assert [title for title, at in places if at["x"] + at["w"] > 24] == []
    assert [
        (one, other)
        for (one, a), (other, b) in combinations(places, 2)
        if a["x"] < b["x"] + b["w"]
        and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"]
        and b["y"] < a["y"] + a["h"]
    ] == []
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_provisioning_fits_the_compose_file() -> None:
    grafana = DEPLOY / "grafana" / "provisioning"
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    (provider,) = yaml.safe_load((grafana / "dashboards" / "hardneg.yml").read_text())["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in compose["grafana"]["volumes"]
    (source,) = yaml.safe_load((grafana / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["uid"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert "prometheus" in compose
    (scrape,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (target,) = scrape["static_configs"][0]["targets"]
    assert target.split(":")[0] in compose
