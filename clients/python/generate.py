#!/usr/bin/env python3
"""Generates src/hardneg/_proto from the contract in proto/hardneg/v1.

    pip install -e 'clients/python[test]' && python clients/python/generate.py

The output is committed, so that installing the client needs no compiler; tests/test_generated.py fails when it
is out of date. google/rpc/status.proto comes from googleapis-common-protos and is not generated: two copies of
one message in a process do not load.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
OUT = HERE / "src" / "hardneg" / "_proto"
HEADER = '"""Generated from proto/hardneg/v1 by generate.py. Do not edit."""\n'


def generate(out: Path) -> None:
    """Writes the generated package into the folder `out`."""
    import grpc_tools
    from grpc_tools import protoc

    files = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "hardneg" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as tmp:
        well_known = Path(grpc_tools.__file__).parent / "_proto"
        arguments = [f"-I{PROTO}", f"-I{well_known}", f"--python_out={tmp}", f"--pyi_out={tmp}"]
        arguments += [f"--grpc_python_out={tmp}", f"--mypy_grpc_out=quiet:{tmp}"]
        # The plugin is installed beside the interpreter, which need not be on PATH.
        plugin = Path(sys.executable).parent / "protoc-gen-mypy_grpc"
        if plugin.exists():
            arguments.append(f"--plugin=protoc-gen-mypy_grpc={plugin}")
        if protoc.main(["protoc", *arguments, *files]) != 0:
            raise SystemExit("protoc failed")
        out.mkdir(parents=True, exist_ok=True)
        (out / "__init__.py").write_text(HEADER)
        for path in sorted((Path(tmp) / "hardneg" / "v1").iterdir()):
            text = path.read_text()
            # One flat private package with relative imports, instead of a top-level package `hardneg.v1`.
            text = re.sub(r"^from hardneg\.v1 import ", "from . import ", text, flags=re.M)
            text = re.sub(r"^import hardneg\.v1\.(\w+)$", r"from . import \1", text, flags=re.M)
            text = re.sub(r"\bhardneg\.v1\.(\w+_pb2)\.", r"\1.", text)
            if "_pb2_grpc" in path.name and "Stub" not in text:  # a file without a service
                continue
            # For mypy --strict: protoc writes bare mappings and keywords (of a field named `from`), and google.rpc
            # comes without types.
            text = text.replace("_Mapping]", "_Mapping[str, object]]").replace("**kwargs)", "**kwargs: object)")
            text = re.sub(
                r"^(from google\.rpc import .*)$",
                r"\1  # type: ignore[import-untyped, unused-ignore]",
                text,
                flags=re.M,
            )
            (out / path.name).write_text(text)


if __name__ == "__main__":
    for old in OUT.glob("*_pb2*"):
        old.unlink()
    generate(OUT)
