"""How the negatives of an anchor are mined: the policy, and its distance weighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from ._anchored_spec import _present
from ._enums import NegativeStrategy, Shortfall, enum_from_proto, enum_to_proto, parse_choice
from ._mining_policy import AgeWindow, VersionWindow
from ._proto import mining_service_pb2, policy_pb2


@dataclass(frozen=True)
class DistanceWeighting:
    """Distance-weighted sampling (Wu et al. 2017), of points on a sphere.

    Attributes:
        dimension: Of the embedding, at least 3.
        cutoff: Smaller distances count as this one; default 0.5.
        max_distance: Larger ones are left out, since their loss is 0; default 1.4.
    """

    dimension: int
    cutoff: float | None = None
    max_distance: float | None = None

    def __post_init__(self) -> None:
        if self.dimension < 3:
            raise ValueError(f"dimension must be at least 3, not {self.dimension}")
        for name in ("cutoff", "max_distance"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, not {value!r}")

    def to_proto(self) -> mining_service_pb2.DistanceWeighting:
        """The message."""
        return mining_service_pb2.DistanceWeighting(
            dimension=self.dimension, cutoff=self.cutoff or 0.0, max_distance=self.max_distance or 0.0
        )

    @classmethod
    def from_proto(cls, message: mining_service_pb2.DistanceWeighting) -> DistanceWeighting:
        """From the message."""
        return cls(message.dimension, message.cutoff or None, message.max_distance or None)


_FLOATS = (
    "alpha",
    "random_fraction",
    "min_score",
    "max_score",
    "absolute_margin",
    "relative_margin",
    "semi_hard_margin",
)


class NegativePolicyOptions(TypedDict, total=False):
    """The fields of `NegativePolicy` as keyword arguments."""

    strategy: NegativeStrategy | str | None
    alpha: float | None
    random_fraction: float | None
    range_min: int | None
    range_max: int | None
    min_score: float | None
    max_score: float | None
    absolute_margin: float | None
    relative_margin: float | None
    semi_hard_margin: float | None
    distance_weighting: DistanceWeighting | None
    max_per_group: int | None
    age: AgeWindow | None
    model_version: VersionWindow | None
    shortfall: Shortfall | str | None


@dataclass(frozen=True)
class NegativePolicy:
    """How the negatives of an anchor are mined: the keyword arguments of the same names of `Pool.mine_negatives`."""

    strategy: NegativeStrategy | str | None = None
    alpha: float | None = None
    random_fraction: float | None = None
    range_min: int = 0
    range_max: int | None = None
    min_score: float | None = None
    max_score: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    semi_hard_margin: float | None = None
    distance_weighting: DistanceWeighting | None = None
    max_per_group: int = 0
    age: AgeWindow | None = None
    model_version: VersionWindow | None = None
    shortfall: Shortfall | str | None = None

    def to_proto(self) -> mining_service_pb2.NegativePolicy:
        """The message."""
        message = mining_service_pb2.NegativePolicy(range_min=self.range_min, max_per_group=self.max_per_group)
        if self.strategy is not None:
            strategy = parse_choice(NegativeStrategy, self.strategy, "strategy")
            message.strategy = enum_to_proto(mining_service_pb2.NegativeStrategy, strategy)
        if self.shortfall is not None:
            rule = parse_choice(Shortfall, self.shortfall, "shortfall")
            message.shortfall = enum_to_proto(policy_pb2.Shortfall, rule)
        for name in _FLOATS:
            value = getattr(self, name)
            if value is not None:
                setattr(message, name, float(value))
        if self.range_max is not None:
            message.range_max = self.range_max
        if self.distance_weighting is not None:
            message.distance_weighting.CopyFrom(self.distance_weighting.to_proto())
        if self.age is not None:
            message.age.CopyFrom(policy_pb2.AgeWindow(**_given(self.age)))
        if self.model_version is not None:
            message.model_version.CopyFrom(policy_pb2.VersionWindow(**_given(self.model_version)))
        return message

    @classmethod
    def from_proto(cls, message: mining_service_pb2.NegativePolicy) -> NegativePolicy:
        """From the message."""
        age, version = message.age, message.model_version
        return cls(
            strategy=enum_from_proto(NegativeStrategy, mining_service_pb2.NegativeStrategy, message.strategy),
            **_present(message, _FLOATS),
            range_min=message.range_min,
            range_max=message.range_max if message.HasField("range_max") else None,
            distance_weighting=DistanceWeighting.from_proto(message.distance_weighting)
            if message.HasField("distance_weighting")
            else None,
            max_per_group=message.max_per_group,
            age=AgeWindow(age.min, age.max if age.HasField("max") else None) if message.HasField("age") else None,
            model_version=VersionWindow(version.min, version.max if version.HasField("max") else None)
            if message.HasField("model_version")
            else None,
            shortfall=enum_from_proto(Shortfall, policy_pb2.Shortfall, message.shortfall),
        )


def _given(window: AgeWindow | VersionWindow) -> dict[str, Any]:
    return {name: value for name, value in vars(window).items() if value is not None}
