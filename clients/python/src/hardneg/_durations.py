"""Spans of time, in seconds or in training steps, and how they are written into messages."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from enum import Enum
from numbers import Real
from typing import Any, TypeAlias

from google.protobuf import duration_pb2

from ._proto import pool_pb2


@dataclass(frozen=True)
class Steps:
    """A half-life in training steps: the pool ages by the `step` of its reports, not by the clock on the wall."""

    count: float


class _Never(Enum):
    NEVER = "never"

    def __repr__(self) -> str:
        return "hardneg.NEVER"


#: As a half-life: scores do not age.
NEVER = _Never.NEVER


class _Off(Enum):
    OFF = "off"

    def __repr__(self) -> str:
        return "hardneg.OFF"


#: As the quarantine, the flow or the sample_ttl of `Pool.update`: none from now on.
OFF = _Off.OFF


#: What switches a part of a spec off.
Off: TypeAlias = _Off


#: A half-life: a timedelta, seconds, `Steps`, or `NEVER`.
HalfLife: TypeAlias = datetime.timedelta | float | int | Steps | _Never


def half_life_to_proto(half_life: HalfLife, decay: pool_pb2.Decay) -> None:
    """Writes a half-life into a Decay."""
    if half_life is NEVER or half_life == math.inf:
        decay.disabled = True
    elif isinstance(half_life, Steps):
        decay.half_life_steps = half_life.count
    elif isinstance(half_life, datetime.timedelta):
        decay.half_life_time.FromTimedelta(half_life)
    elif isinstance(half_life, (int, float)) and not isinstance(half_life, bool):
        decay.half_life_time.FromNanoseconds(round(half_life * 1e9))
    else:
        raise TypeError(f"half_life must be a timedelta, seconds, Steps or NEVER, not {half_life!r}")


def half_life_from_proto(decay: pool_pb2.Decay) -> HalfLife:
    """The half-life of a Decay."""
    kind = decay.WhichOneof("half_life")
    if kind == "disabled":
        return NEVER
    if kind == "half_life_steps":
        return Steps(decay.half_life_steps)
    return datetime.timedelta(microseconds=decay.half_life_time.ToMicroseconds())


def sample_ttl_to_proto(sample_ttl: datetime.timedelta | float | Steps, spec: pool_pb2.PoolSpec) -> None:
    """Writes a time to live into a spec."""
    if isinstance(sample_ttl, Steps):
        if sample_ttl.count != int(sample_ttl.count):
            raise ValueError(f"sample_ttl must be a whole number of steps, not {sample_ttl.count!r}")
        spec.sample_ttl_steps = int(sample_ttl.count)
    elif isinstance(sample_ttl, datetime.timedelta):
        spec.sample_ttl_time.FromTimedelta(sample_ttl)
    elif isinstance(sample_ttl, (int, float)) and not isinstance(sample_ttl, bool):
        spec.sample_ttl_time.FromNanoseconds(round(sample_ttl * 1e9))
    else:
        raise TypeError(f"sample_ttl must be a timedelta, seconds or Steps, not {sample_ttl!r}")


def sample_ttl_from_proto(spec: pool_pb2.PoolSpec) -> datetime.timedelta | Steps | None:
    """The time to live of a spec; None: for ever."""
    kind = spec.WhichOneof("sample_ttl")
    if kind is None:
        return None
    if kind == "sample_ttl_steps":
        return Steps(spec.sample_ttl_steps)
    return datetime.timedelta(microseconds=spec.sample_ttl_time.ToMicroseconds())


#: A span of time: seconds, or a timedelta.
Span: TypeAlias = datetime.timedelta | float | int


def span_to_proto(span: Span, message: duration_pb2.Duration, name: str) -> None:
    """Writes a positive span of time.

    Raises:
        TypeError: Neither seconds nor a timedelta.
        ValueError: Not positive.
    """
    if isinstance(span, datetime.timedelta):
        span = span.total_seconds()
    if isinstance(span, bool) or not isinstance(span, Real):
        raise TypeError(f"{name} must be seconds or a timedelta, not {span!r}")
    if not span > 0:
        raise ValueError(f"{name} must be positive, not {span!r}")
    message.FromNanoseconds(round(float(span) * 1e9))


def lease_to_proto(lease: Span, message: Any) -> None:
    """Writes a lease; 0 is none, whatever else would be the default."""
    if lease == 0 or lease == datetime.timedelta(0):
        message.FromNanoseconds(0)
        message.SetInParent()
    else:
        span_to_proto(lease, message, "lease")
