"""How the negatives of an anchor are mined: the policy, and its distance weighting."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TypedDict

from ._checks import check_positive
from ._enums import NegativeStrategy, Shortfall, enum_from_proto, enum_to_proto, parse_choice
from ._messages import dataclass_of, optional_of
from ._proto import mining_service_pb2, policy_pb2
from ._windows import AgeWindow, VersionWindow, bounds_to_proto


@dataclass(frozen=True)
class DistanceWeighting:
    """Distance-weighted sampling of points on a unit sphere (Wu et al. 2017).

    Attributes:
        dimension: Dimension of the embedding, at least 3.
        cutoff: Smaller distances count as this one; default 0.5.
        max_distance: Negatives at a larger distance are left out, since their loss is 0; default 1.4.
    """

    dimension: int
    cutoff: float | None = None
    max_distance: float | None = None

    def __post_init__(self) -> None:
        if self.dimension < 3:
            raise ValueError(f"dimension must be at least 3, not {self.dimension}")
        check_positive(cutoff=self.cutoff, max_distance=self.max_distance)

    def to_proto(self) -> mining_service_pb2.DistanceWeighting:
        return mining_service_pb2.DistanceWeighting(
            dimension=self.dimension, cutoff=self.cutoff or 0.0, max_distance=self.max_distance or 0.0
        )

    @classmethod
    def from_proto(cls, message: mining_service_pb2.DistanceWeighting) -> DistanceWeighting:
        return cls(message.dimension, message.cutoff or None, message.max_distance or None)


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
    hard_margin: float | None
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
    hard_margin: float | None = None
    semi_hard_margin: float | None = None
    distance_weighting: DistanceWeighting | None = None
    max_per_group: int = 0
    age: AgeWindow | None = None
    model_version: VersionWindow | None = None
    shortfall: Shortfall | str | None = None

    def to_proto(self) -> mining_service_pb2.NegativePolicy:
        given = {name: value for name, value in vars(self).items() if value is not None}
        if self.strategy is not None:
            strategy = parse_choice(NegativeStrategy, self.strategy, "strategy")
            given["strategy"] = enum_to_proto(mining_service_pb2.NegativeStrategy, strategy)
        if self.shortfall is not None:
            shortfall = parse_choice(Shortfall, self.shortfall, "shortfall")
            given["shortfall"] = enum_to_proto(policy_pb2.Shortfall, shortfall)
        if self.distance_weighting is not None:
            given["distance_weighting"] = self.distance_weighting.to_proto()
        for name in ("age", "model_version"):
            if name in given:
                given[name] = bounds_to_proto(given[name])
        return mining_service_pb2.NegativePolicy(**given)

    @classmethod
    def from_proto(cls, message: mining_service_pb2.NegativePolicy) -> NegativePolicy:
        return dataclass_of(
            cls,
            message,
            strategy=enum_from_proto(NegativeStrategy, mining_service_pb2.NegativeStrategy, message.strategy),
            distance_weighting=optional_of(DistanceWeighting.from_proto, message, "distance_weighting"),
            age=optional_of(functools.partial(dataclass_of, AgeWindow), message, "age"),
            model_version=optional_of(functools.partial(dataclass_of, VersionWindow), message, "model_version"),
            shortfall=enum_from_proto(Shortfall, policy_pb2.Shortfall, message.shortfall),
        )
