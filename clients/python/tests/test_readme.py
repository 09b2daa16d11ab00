"""What the README shows does run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from real_server import RealServer

import hardneg

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
    for turn in range(2):
        names: dict[str, Any] = {}
        exec(compile(code.replace("localhost:50051", own_server.target), str(front), "exec"), names)
        assert len(names["batch"]) == 256
        assert capsys.readouterr().out.startswith("[")
        assert names["pool"].created == (turn == 0)
        with hardneg.Client(own_server.target) as client:
            pool = client.pool("faces")
            stats, batch = pool.stats(), pool.mine(256, strategy="top", random_fraction=0, fields=["ages"])
        assert (stats.reported_rows, stats.counts.stale) == ((turn + 1) * 100 * 4096, 0)
        assert stats.run == hardneg.Run(names["run_id"], first_step=1, step=100, tick=99 * (turn + 1))
        assert batch.ages is not None
        # About half: those of the first run have lost an eighth of their weight by then.
        assert (batch.ages < 99).mean() > 0.3, "samples of this run are mined"
    assert names["pool"].run_before is not None
    assert names["pool"].run_before.tick == 99
