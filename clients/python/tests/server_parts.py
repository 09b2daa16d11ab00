"""While the parts of the server arrive one by one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import grpc
import pytest

import hardneg

_P = ParamSpec("_P")
_R = TypeVar("_R")


def needs_server_part(test: Callable[_P, _R]) -> Callable[_P, _R]:
    """Skips a test whose server answers UNIMPLEMENTED, and for no other reason."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return test(*args, **kwargs)
        except hardneg.HardnegError as missing:
            if missing.code is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            pytest.skip(f"this server does not have it yet: {missing}")

    return run


def needs_figure(there: bool, name: str) -> None:
    """Skips where a figure that must have moved stays 0: stats have no way to answer UNIMPLEMENTED."""
    if not there:
        pytest.skip(f"this server does not count it yet: {name}")
