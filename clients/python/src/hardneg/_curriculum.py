"""Policy fields that change with the training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._checks import check_uint
from ._enums import ScheduleShape, enum_from_proto, enum_to_proto, parse_choice
from ._proto import policy_pb2


@dataclass(frozen=True)
class Schedule:
    """A value over steps: `from_` until `begin_step`, `to` from `end_step` on. `linear` and `sqrt` make one."""

    from_: float
    to: float
    begin_step: int
    end_step: int
    shape: ScheduleShape | str = "linear"

    def __post_init__(self) -> None:
        parse_choice(ScheduleShape, self.shape, "shape")
        if not 0 <= self.begin_step < self.end_step:
            raise ValueError(f"end_step ({self.end_step}) must be over begin_step ({self.begin_step}), which is >= 0")

    def to_proto(self) -> policy_pb2.Schedule:
        shape = enum_to_proto(policy_pb2.ScheduleShape, parse_choice(ScheduleShape, self.shape, "shape"))
        message = policy_pb2.Schedule(shape=shape, to=self.to, begin_step=self.begin_step, end_step=self.end_step)
        setattr(message, "from", float(self.from_))  # a keyword in Python
        return message

    @classmethod
    def from_proto(cls, message: policy_pb2.Schedule) -> Schedule:
        shape = enum_from_proto(ScheduleShape, policy_pb2.ScheduleShape, message.shape) or ScheduleShape.LINEAR
        return cls(getattr(message, "from"), message.to, message.begin_step, message.end_step, shape)


def linear(from_: float, to: float, begin_step: int, end_step: int) -> Schedule:
    """A schedule from one value to another at a constant pace.

    Example:
        >>> hardneg.Curriculum(alpha=hardneg.linear(0.0, 2.0, 1_000, 10_000))
    """
    return Schedule(from_, to, begin_step, end_step, ScheduleShape.LINEAR)


def sqrt(from_: float, to: float, begin_step: int, end_step: int) -> Schedule:
    """A schedule from one value to another, fast at first: the root of a constant pace. Platanios et al. 2019.

    Example:
        >>> hardneg.Curriculum(quantile_max=hardneg.sqrt(0.1, 1.0, 0, 10_000))
    """
    return Schedule(from_, to, begin_step, end_step, ScheduleShape.SQRT)


_SCHEDULES = ("alpha", "random_fraction", "beta", "quantile_min", "quantile_max")


@dataclass(frozen=True)
class Curriculum:
    """Schedules of policy fields over the step of the request. A schedule replaces the constant of its name.

    Attributes:
        warmup_steps: Before this step batches are uniform.
        alpha: Schedule of the exponent, from easy (0) to hard (16).
        random_fraction: Schedule of the background's share, within 0 to 1.
        beta: Schedule of the bias correction within 0 to 1, usually rising to 1.
        quantile_min: Schedule of the lower bound of a quantile window that holds beside `windows`.
        quantile_max: Schedule of the upper bound of that window; a rising one brings the hardest samples last.

    Example:
        >>> grow = hardneg.Curriculum(warmup_steps=500, alpha=hardneg.linear(0.0, 1.0, 500, 5_000))
        >>> batch = pool.mine(256, curriculum=grow, step=step)
    """

    warmup_steps: int = 0
    alpha: Schedule | None = None
    random_fraction: Schedule | None = None
    beta: Schedule | None = None
    quantile_min: Schedule | None = None
    quantile_max: Schedule | None = None

    def __post_init__(self) -> None:
        check_uint(64, warmup_steps=self.warmup_steps)
        for name in _SCHEDULES:
            value = getattr(self, name)
            if value is not None and not isinstance(value, Schedule):
                raise TypeError(f"{name} must be a Schedule, as from hardneg.linear, not {value!r}")

    def to_proto(self) -> policy_pb2.Curriculum:
        schedules: dict[str, Any] = {
            name: schedule.to_proto() for name in _SCHEDULES if (schedule := getattr(self, name)) is not None
        }
        return policy_pb2.Curriculum(warmup_steps=self.warmup_steps, **schedules)

    @classmethod
    def from_proto(cls, message: policy_pb2.Curriculum) -> Curriculum:
        present = {field.name: value for field, value in message.ListFields()}
        return cls(
            message.warmup_steps,
            **{name: Schedule.from_proto(present[name]) for name in _SCHEDULES if name in present},
        )
