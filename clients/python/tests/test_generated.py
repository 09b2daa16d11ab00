"""The committed code is what generate.py makes of the contract."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(not (ROOT.parent.parent / "proto").is_dir(), reason="needs the repository around the client")
def test_regenerating_changes_nothing(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.generate(tmp_path)
    committed = {path.name: path.read_text() for path in module.OUT.glob("*.py*") if path.is_file()}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == committed
