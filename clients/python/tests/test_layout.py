"""The layout of the client: small files, short functions, and imports without a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import hardneg

SOURCE = Path(hardneg.__file__).parent
TREES = {path.stem: ast.parse(path.read_text()) for path in SOURCE.glob("*.py")}
LINES_MAX, FUNCTION_LINES_MAX = 500, 70


def test_files_and_functions_are_short() -> None:
    assert len(TREES) > 30
    lengths = {path.name: len(path.read_text().splitlines()) for path in SOURCE.glob("*.py")}
    assert not {name: length for name, length in lengths.items() if length > LINES_MAX}
    long = {}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                docstring = node.body[0] if ast.get_docstring(node) is not None else None
                described = docstring.end_lineno - docstring.lineno + 1 if docstring and docstring.end_lineno else 0
                length = (node.end_lineno or 0) - node.lineno + 1 - described
                if length > FUNCTION_LINES_MAX:
                    long[f"{name}.{node.name}"] = length
    assert not long


def test_modules_import_each_other_without_a_circle() -> None:
    imports = {
        name: {
            module
            for node in tree.body  # not those for type checkers only
            if isinstance(node, ast.ImportFrom) and node.level == 1
            for module in ([node.module] if node.module else [alias.name for alias in node.names])
            if module in TREES
        }
        for name, tree in TREES.items()
    }
    assert "_pool" in imports["_client"]
    while leaves := {name for name, needed in imports.items() if not needed}:
        imports = {name: needed - leaves for name, needed in imports.items() if name not in leaves}
    assert not imports, "these import each other"


def test_every_public_name_is_described() -> None:
    for name in hardneg.__all__:
        value = getattr(hardneg, name)
        if isinstance(value, type):
            assert (value.__doc__ or "").strip(), name
            assert not (value.__doc__ or "").startswith(f"{name}("), f"{name} has only the text that dataclass makes"
