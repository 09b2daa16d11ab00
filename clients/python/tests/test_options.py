"""Keyword arguments that several methods share: declared once, described once, checked by Python and by mypy."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hardneg
from hardneg._mining_policy import PolicyOptions
from hardneg._negative_policy import NegativePolicyOptions
from hardneg._options import share_descriptions, takes
from hardneg._report_rows import ReportRows

CALLS: list[tuple[Callable[..., Any], Any]] = [
    (hardneg.Pool.mine, hardneg.MineOptions),
    (hardneg.Pool.batches, hardneg.MineOptions),
    (hardneg.Pool.mine_negatives, hardneg.MineNegativesOptions),
    (hardneg.Pool.report, hardneg.ReportColumns),
    (hardneg.ScoreStream.report, hardneg.ReportColumns),
    (hardneg.Pool.update, hardneg.LivePoolOptions),
    (hardneg.Client.create_pool, hardneg.PoolOptions),
]


@pytest.mark.parametrize(("method", "options"), CALLS, ids=lambda value: getattr(value, "__qualname__", ""))
def test_help_lists_and_describes_every_keyword(method: Callable[..., Any], options: Any) -> None:
    parameters = inspect.signature(method).parameters
    assert set(options.__annotations__) <= set(parameters)
    assert not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    described = inspect.getdoc(method) or ""
    for name in parameters:
        if name not in ("self", "missing_ok"):
            assert described.count(f"\n    {name}: ") == 1, name
    assert "**" not in described.partition("Raises:")[0].partition("Args:")[2]


@pytest.mark.parametrize(
    ("options", "kind", "others"),
    [
        (PolicyOptions, hardneg.MiningPolicy, set()),
        (NegativePolicyOptions, hardneg.NegativePolicy, set()),
        (hardneg.ReportColumns, ReportRows, {"ids", "scores"}),
    ],
)
def test_options_and_dataclasses_have_the_same_fields(options: Any, kind: Any, others: set[str]) -> None:
    assert set(options.__annotations__) | others == {field.name for field in dataclasses.fields(kind)}


def test_a_keyword_that_does_not_exist_is_refused(pool: hardneg.Pool, client: hardneg.Client) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: pool.mine(4, alhpa=1.0),  # type: ignore[call-arg]
        lambda: pool.batches(4, alhpa=1.0),  # type: ignore[call-arg]
        lambda: pool.mine_negatives([1], 4, alhpa=1.0),  # type: ignore[call-arg]
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'alhpa'; did you mean 'alpha'\?"):
            call()
    with pytest.raises(TypeError, match=r"report\(\) got an unexpected keyword argument 'zzz'$"):
        pool.report([1], [0.5], zzz=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="capacity"):
        pool.update(capacity=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="halflife"):
        client.create_pool("other", halflife=1)  # type: ignore[call-arg]


def test_none_is_as_if_not_given(pool: hardneg.Pool, client: hardneg.Client, server: Any) -> None:
    everything: dict[str, Any] = dict.fromkeys(hardneg.MineOptions.__annotations__)
    pool.report([1, 2, 3], [0.5] * 3, **dict.fromkeys(hardneg.ReportColumns.__annotations__))  # type: ignore[arg-type]
    pool.mine(2, request_id="same", **everything)
    pool.mine(2, request_id="same")
    assert server.mine_requests[-1] == server.mine_requests[-2]
    client.create_pool("none", **dict.fromkeys(hardneg.PoolOptions.__annotations__))  # type: ignore[arg-type]
    client.create_pool("nothing")
    assert server.pools["pools/none"].spec == server.pools["pools/nothing"].spec
    etag = pool.info().etag
    assert pool.update(**dict.fromkeys(hardneg.LivePoolOptions.__annotations__)).etag == etag  # type: ignore[arg-type]


def test_descriptions_are_shared_but_for_those_that_a_method_gives_itself() -> None:
    def source(**options: object) -> None:
        """Does it.

        Args:
            step: The first,
                over two lines.
            alpha: The second.

        Raises:
            ValueError: Never.
        """

    @takes(hardneg.MiningPolicy)
    def nothing(**options: object) -> None: ...

    @takes(type("Both", (), {"__annotations__": {"step": "int", "alpha": "float"}}))
    def target(**options: object) -> None:
        """Does that.

        Args:
            alpha: Its own.
            **options: As in `source`.
        """

    share_descriptions(source, target)
    assert target.__doc__ == "Does that.\n\nArgs:\n    alpha: Its own.\n    step: The first,\n        over two lines.\n"
    assert "alpha" in inspect.signature(nothing).parameters


def test_mypy_knows_the_keywords(tmp_path: Path) -> None:
    lines = {
        'batch = pool.mine(256, alpha=1.0, strategy="rank", windows=[hardneg.RankWindow(min=1)], fields="all")': "",
        "reveal_type(batch)": 'Revealed type is "hardneg._mined_batch.MinedBatch"',
        "pool.mine(256, alhpa=1.0)": 'Unexpected keyword argument "alhpa"',
        'pool.mine(256, alpha="hard")': 'Argument "alpha" to "mine" of "Pool" has incompatible type "str"',
        'pool.batches(8, fields=["score"])': "incompatible type",
        "pool.update(capacity=1)": 'Unexpected keyword argument "capacity"',
        'options: hardneg.MineOptions = {"alpha": 1.0, "lease": 60}': "",
        "pool.mine(256, **options)": "",
        'wrong: hardneg.MineOptions = {"alhpa": 1.0}': 'Extra key "alhpa"',
    }
    program = tmp_path / "program.py"
    program.write_text("\n".join(["import hardneg", "pool = hardneg.Client().pool('faces')", *lines]) + "\n")
    root = Path(hardneg.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*command, str(program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"MYPYPATH": str(root)},
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("program.py") or str(program) in line]
    for number, (line, expected) in enumerate(lines.items(), start=3):
        messages = [text for text in told if f"program.py:{number}:" in text]
        assert (expected in " ".join(messages)) if expected else not messages, (line, done.stdout, done.stderr)
