"""The recipes in docs/recipes.md run, each against a real server, and are true to what they say."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from real_server import RealServer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "recipes.md"
# Title and code of every block.
RECIPES = re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)


def test_every_block_is_a_recipe_of_its_own() -> None:
    assert len(RECIPES) == PAGE.read_text().count("```python") == 8
    links = re.findall(r"^- \[([^\]]+)\]\(#([^)]+)\)$", PAGE.read_text(), flags=re.M)
    assert [title for title, _ in links] == [title for title, _ in RECIPES]
    for title, anchor in links:
        assert anchor == re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


@pytest.mark.parametrize(("title", "code"), RECIPES, ids=[title for title, _ in RECIPES])
def test_a_recipe_runs(real_server: RealServer, title: str, code: str) -> None:
    assert len(code.strip().splitlines()) <= 40
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code))) >= 3, "it asserts what it claims"
    assert "localhost:50051" in code
    names: dict[str, Any] = {}
    exec(compile(code.replace("localhost:50051", real_server.target), f"{PAGE.name}: {title}", "exec"), names)
