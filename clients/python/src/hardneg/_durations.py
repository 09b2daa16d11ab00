"""Spans of time, in seconds or in training steps, and how they are written into messages."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from enum import Enum
from numbers import Real
from typing import TypeAlias

from google.protobuf import duration_pb2

from ._messages import timedelta_of
from ._proto import pool_pb2


@dataclass(frozen=True)
class Steps:
    """A half-life or a time to live in training steps: the `step` of the reports counts, not the wall clock."""

    count: float


@dataclass(frozen=True)
class ScorePerSecond:
    """A half-life by how much of its score a sample loses in a second. Only with hardness ``"exponential"``, where the
    half-life is ``temperature * ln(2) / amount`` seconds; the pool returns that.
    """

    amount: float


@dataclass(frozen=True)
class ScorePerStep:
    """As `ScorePerSecond`, in training steps: the half-life is ``temperature * ln(2) / amount`` steps."""

    amount: float


class _Never(Enum):
    NEVER = "never"

    def __repr__(self) -> str:
        return "hardneg.NEVER"


#: The half-life of scores that do not age.
NEVER = _Never.NEVER


class _Off(Enum):
    OFF = "off"

    def __repr__(self) -> str:
        return "hardneg.OFF"


#: Switches the quarantine, the flow or the sample_ttl of a pool off, in `Pool.update`.
OFF = _Off.OFF
#: The type of `OFF`.
Off: TypeAlias = _Off

#: A span of time: seconds, or a timedelta.
Span: TypeAlias = datetime.timedelta | float | int
#: A half-life as a pool returns it: seconds, a timedelta, `Steps`, or `NEVER`.
HalfLife: TypeAlias = Span | Steps | _Never
#: A half-life as a caller gives it.
HalfLifeLike: TypeAlias = HalfLife | ScorePerSecond | ScorePerStep


def half_life_to_proto(half_life: HalfLifeLike, decay: pool_pb2.Decay) -> None:
    """Writes a half-life; the service refuses one that is not positive."""
    if half_life is NEVER or half_life == math.inf:
        decay.disabled = True
    elif isinstance(half_life, Steps):
        decay.half_life_steps = half_life.count
    elif isinstance(half_life, ScorePerSecond):
        decay.score_per_second = half_life.amount
    elif isinstance(half_life, ScorePerStep):
        decay.score_per_step = half_life.amount
    else:
        allowed = "half_life must be a timedelta, seconds, Steps, ScorePerSecond, ScorePerStep or NEVER"
        _write_seconds(half_life, decay.half_life_time, allowed)


def half_life_from_proto(decay: pool_pb2.Decay) -> HalfLife:
    """The half-life of a pool."""
    kind = decay.WhichOneof("half_life")
    if kind == "disabled":
        return NEVER
    return Steps(decay.half_life_steps) if kind == "half_life_steps" else timedelta_of(decay.half_life_time)


def sample_ttl_to_proto(sample_ttl: Span | Steps, spec: pool_pb2.PoolSpec) -> None:
    """Writes the time to live of samples; the service refuses one that is not positive."""
    if isinstance(sample_ttl, Steps):
        if sample_ttl.count != int(sample_ttl.count):
            raise ValueError(f"sample_ttl must be a whole number of steps, not {sample_ttl.count!r}")
        spec.sample_ttl_steps = int(sample_ttl.count)
    else:
        _write_seconds(sample_ttl, spec.sample_ttl_time, "sample_ttl must be a timedelta, seconds or Steps")


def sample_ttl_from_proto(spec: pool_pb2.PoolSpec) -> datetime.timedelta | Steps | None:
    """The time to live of a pool's samples; None where they live for ever."""
    kind = spec.WhichOneof("sample_ttl")
    if kind is None:
        return None
    return Steps(spec.sample_ttl_steps) if kind == "sample_ttl_steps" else timedelta_of(spec.sample_ttl_time)


def lease_to_proto(lease: Span, message: duration_pb2.Duration) -> None:
    """Writes a lease. 0 is sent too: it means none, whatever the pool's default."""
    if lease == 0 or lease == datetime.timedelta(0):
        message.FromNanoseconds(0)
        message.SetInParent()
    else:
        span_to_proto(lease, message, "lease")


def span_to_proto(span: Span, message: duration_pb2.Duration, name: str) -> None:
    """Writes a positive span of time.

    Raises:
        TypeError: Neither seconds nor a timedelta.
        ValueError: Not positive.
    """
    seconds = span.total_seconds() if isinstance(span, datetime.timedelta) else span
    if isinstance(seconds, Real) and not seconds > 0:
        raise ValueError(f"{name} must be positive, not {span!r}")
    _write_seconds(span, message, f"{name} must be seconds or a timedelta")


def _write_seconds(span: Span, message: duration_pb2.Duration, allowed: str) -> None:
    if isinstance(span, datetime.timedelta):
        message.FromTimedelta(span)
    elif isinstance(span, Real) and not isinstance(span, bool):
        message.FromNanoseconds(round(float(span) * 1e9))
    else:
        raise TypeError(f"{allowed}, not {span!r}")
