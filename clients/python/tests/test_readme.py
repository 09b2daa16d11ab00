"""What the README shows does run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from real_server import RealServer

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_readme_runs(own_server: RealServer, capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.M | re.S)
    assert len(first.strip().splitlines()) <= 15
    code = first + "client = hardneg.Client('localhost:50051')\npool = client.create_pool('faces', "
    code += "capacity=100_000, half_life=hardneg.Steps(500))\n" + "\n".join(others) + "\nclient.close()\n"
    names: dict[str, Any] = {}
    exec(compile(code.replace("localhost:50051", own_server.target), str(README), "exec"), names)
    assert names["batch"].policy.random_fraction == 0.25
    assert names["stream"].stats.acked_rows == 3
    assert "policy.alpha - " in capsys.readouterr().out


def test_the_projects_quick_start_runs(own_server: RealServer, capsys: pytest.CaptureFixture[str]) -> None:
    front = README.parent.parent.parent / "README.md"
    (code,) = re.findall(r"^```python\n(.*?)^```", front.read_text(), flags=re.M | re.S)
    assert len(code.strip().splitlines()) <= 15
    names: dict[str, Any] = {}
    exec(compile(code.replace("localhost:50051", own_server.target), str(front), "exec"), names)
    assert len(names["batch"]) == 256
    assert capsys.readouterr().out.startswith("[")
