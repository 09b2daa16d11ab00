"""Windows: conditions that a hard sample must meet to be mined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from ._errors import HardnegError
from ._messages import dataclass_of
from ._proto import policy_pb2


@dataclass(frozen=True)
class ScoreWindow:
    """min <= raw score <= max; None is no limit."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class RankWindow:
    """min <= rank in the hard store < max; rank 0 is the hardest. ``RankWindow(min=100)`` skips the 100 hardest."""

    min: int = 0
    max: int | None = None


@dataclass(frozen=True)
class QuantileWindow:
    """min <= quantile of the hard store <= max; 0 the easiest, 1 the hardest."""

    min: float = 0.0
    max: float | None = None


@dataclass(frozen=True)
class AgeWindow:
    """min <= age of the report <= max, in seconds, or in steps where the pool ages by steps."""

    min: float = 0.0
    max: float | None = None


@dataclass(frozen=True)
class VersionWindow:
    """min <= model version of the report <= max."""

    min: int = 0
    max: int | None = None


#: A condition on hard samples. Samples of the background need not meet it.
Window: TypeAlias = ScoreWindow | RankWindow | QuantileWindow | AgeWindow | VersionWindow

# The field of the contract's oneof, and the message, of each window.
_KINDS: dict[type[Any], tuple[str, type[Any]]] = {
    ScoreWindow: ("score", policy_pb2.ScoreWindow),
    RankWindow: ("rank", policy_pb2.RankWindow),
    QuantileWindow: ("quantile", policy_pb2.QuantileWindow),
    AgeWindow: ("age", policy_pb2.AgeWindow),
    VersionWindow: ("model_version", policy_pb2.VersionWindow),
}


def bounds_to_proto(window: Window) -> Any:
    """The message of a window's own kind, for example a `policy_pb2.AgeWindow`."""
    if type(window) not in _KINDS:
        raise TypeError(f"not a window: {window!r}")
    _, message = _KINDS[type(window)]
    return message(**{name: bound for name, bound in vars(window).items() if bound is not None})


def window_to_proto(window: Window) -> policy_pb2.Window:
    """A window of any kind."""
    bounds = bounds_to_proto(window)
    field, _ = _KINDS[type(window)]
    return policy_pb2.Window(**{field: bounds})


def window_from_proto(message: policy_pb2.Window) -> Window:
    """A window of any kind.

    Raises:
        HardnegError: The message has none that this client knows.
    """
    for kind, (field, _) in _KINDS.items():
        if message.WhichOneof("kind") == field:
            window: Window = dataclass_of(kind, getattr(message, field))
            return window
    raise HardnegError("malformed answer: a window without a kind")
