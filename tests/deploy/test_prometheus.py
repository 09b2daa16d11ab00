"""Scrape configuration, rules and their tests, by promtool."""

import os
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from files import DEPLOY, ROOT, RULES, RULES_TEST, alerts, rules, run, unknown

NAMES = [alert["alert"] for alert in alerts()]


def test_configuration_is_valid() -> None:
    assert "SUCCESS" in run("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_rules_are_valid() -> None:
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_rules_behave() -> None:
    run("promtool", "test", "rules", RULES_TEST)


def fails_with(alert: str, expr: str, directory: Path) -> bool:
    """Whether the rules' tests fail when an alert has another expression."""
    altered = yaml.safe_load(RULES.read_text())
    for group in altered["groups"]:
        for rule in group["rules"]:
            if rule.get("alert") == alert:
                rule["expr"] = expr
    directory.mkdir()
    (directory / "rules.yml").write_text(yaml.safe_dump(altered))
    run("promtool", "check", "rules", directory / "rules.yml")
    (directory / "tests.yml").write_text(
        RULES_TEST.read_text().replace("../../deploy/prometheus/rules.yml", "rules.yml")
    )
    done = subprocess.run(
        ["promtool", "test", "rules", directory / "tests.yml"], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode != 0 and "FAILED" in done.stdout + done.stderr


def unnoticed(change: Callable[[str], str], directory: Path) -> list[str]:
    """The alerts that may be changed so, and no case of theirs tells."""

    def noticed(alert: dict) -> bool:
        return fails_with(alert["alert"], change(alert["expr"]), directory / alert["alert"])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [name for name, seen in zip(NAMES, pool.map(noticed, alerts()), strict=True) if not seen]


def test_each_alert_has_a_case_that_fires(tmp_path: Path) -> None:
    assert unnoticed(lambda _: "vector(0) > 1", tmp_path) == []


def test_each_alert_has_a_case_that_stays_silent(tmp_path: Path) -> None:
    # Every number differs from NaN: the same series, whatever their values.
    assert unnoticed(lambda expr: re.sub(r"(==|<|>) [\d.]+", "!= NaN", expr), tmp_path) == []


def test_no_change_fails_no_case(tmp_path: Path) -> None:
    first = alerts()[0]
    assert not fails_with(first["alert"], first["expr"], tmp_path / "same")


def test_a_metric_or_label_that_is_not_there_is_noticed() -> None:
    assert unknown('sum(rate(hardneg_pools{pool="a", job="b"}[5m])) / hardneg_pool_mine_duration_seconds') == [
        "hardneg_pools{pool}",
        "hardneg_pool_mine_duration_seconds",
    ]


def test_names_are_unlike() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("alert", alerts(), ids=NAMES)
def test_an_alert_says_what_to_do(alert: dict) -> None:
    name = alert["alert"]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    page, anchor = alert["annotations"]["runbook"].split("#")
    assert anchor == name.lower()
    assert f"\n### {name}\n" in (ROOT / page).read_text()


def test_the_operations_page_has_no_other_alerts() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^### (Hardneg\w+)$", page, re.MULTILINE)) == set(NAMES)


def test_metrics_exist() -> None:
    assert {rule.get("alert", rule.get("record")): wrong for rule in rules() if (wrong := unknown(rule["expr"]))} == {}


def test_rules_select_the_job_that_is_scraped() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    named = {job for rule in rules() for job in re.findall(r'\bjob="([^"]*)"', rule["expr"])}
    assert named == {config["job_name"] for config in scraped}
