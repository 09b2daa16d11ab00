"""What is under deploy/, read once, and the metrics that the server says it has."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
RULES_TEST = Path(__file__).parent / "rules_test.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "hardneg.json"

# Labels that Prometheus adds to what it scrapes.
ADDED = {"job", "instance"}


def run(*command: object, cwd: Path = ROOT) -> str:
    """What a program prints; what it complains of, if it fails."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def rules() -> list[dict]:
    """Alerts and recorded series."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict]:
    """The rules that are alerts."""
    return [rule for rule in rules() if "alert" in rule]


def documented() -> dict[str, set[str]]:
    """Every series of docs/metrics.md with its labels; a histogram has three."""
    found = {}
    row = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)
    for name, kind, labels in row.findall((ROOT / "docs" / "metrics.md").read_text()):
        known = set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            found[f"{name}_bucket"] = known | {"le"}
            found[f"{name}_sum"] = found[f"{name}_count"] = known
        else:
            found[name] = known
    return found


def unknown(expr: str) -> list[str]:
    """Series and labels of an expression that nobody makes."""
    series = documented()
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    bare = re.sub(r'"[^"]*"', '""', expr)
    wrong = []
    for name, selector in re.findall(r"\b((?:hardneg|process)[_:][\w:]*)\s*(?:\{([^}]*)\})?", bare):
        if name in recorded:
            continue
        if name not in series:
            wrong.append(name)
            continue
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        wrong += [f"{name}{{{label}}}" for label in labels - series[name] - ADDED]
    return wrong


def seconds(duration: str) -> int:
    """A duration as hardneg and systemd write it, where seconds are enough."""
    return int(re.fullmatch(r"(\d+)s?", duration)[1])
