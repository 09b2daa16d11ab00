"""Anchored pools: what they keep of each anchor, and how an anchor's negatives are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._choices import IdKind, NegativeStrategy, Shortfall, choose, from_enum, number_of
from ._policy import AgeWindow, VersionWindow
from ._proto import mining_service_pb2, policy_pb2, pool_pb2


@dataclass(frozen=True)
class Anchored:
    """Makes a pool keep negatives per anchor (a query, a class, a face). None: the service's default.

    Attributes:
        negatives_per_anchor: The hardest kept of each; default 16, 1 to 1,024.
        max_anchors: Anchors; default 1,048,576. Rows of further ones are dropped and counted.
        max_positives_per_anchor: Known positives remembered; default 64.
        max_vetoes_per_anchor: Vetoed negatives remembered; default 256.
        max_pairs: Known positives and vetoes of all anchors together; default 16 for each of max_anchors.
        absolute_margin: Of requests that give none. When an anchor has too many negatives, those that fail it go first.
        relative_margin: Likewise. 0.05 is NV-Retriever's: a negative scores at most 95 % of the positive.
        anchor_id_kind: ``"u64"`` or ``"string"``.

    Example:
        >>> pool = client.create_pool("queries", anchored=hardneg.Anchored(negatives_per_anchor=32))
    """

    negatives_per_anchor: int | None = None
    max_anchors: int | None = None
    max_positives_per_anchor: int | None = None
    max_vetoes_per_anchor: int | None = None
    max_pairs: int | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    anchor_id_kind: IdKind | str = IdKind.U64

    def to_proto(self) -> pool_pb2.AnchoredSpec:
        """The message."""
        message = pool_pb2.AnchoredSpec(
            anchor_id_kind=number_of(pool_pb2.IdKind, choose(IdKind, self.anchor_id_kind, "anchor_id_kind"))
        )
        for name in _SIZES:
            value = getattr(self, name)
            if value is not None:
                if value < 1:  # 0 on the wire means the default
                    raise ValueError(f"{name} must be positive, not {value!r}")
                setattr(message, name, value)
        for name in _MARGINS:
            value = getattr(self, name)
            if value is not None:
                setattr(message, name, float(value))
        return message

    @classmethod
    def from_proto(cls, message: pool_pb2.AnchoredSpec) -> Anchored:
        """From the message."""
        return cls(
            **{name: getattr(message, name) or None for name in _SIZES},
            **_present(message, _MARGINS),
            anchor_id_kind=from_enum(IdKind, pool_pb2.IdKind, message.anchor_id_kind) or IdKind.U64,
        )


_SIZES = ("negatives_per_anchor", "max_anchors", "max_positives_per_anchor", "max_vetoes_per_anchor", "max_pairs")
_MARGINS = ("absolute_margin", "relative_margin")


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


@dataclass(frozen=True)
class NegativePolicy:
    """How the negatives of an anchor are chosen; the arguments of `Pool.mine_negatives`, which describes them."""

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
            strategy = choose(NegativeStrategy, self.strategy, "strategy")
            message.strategy = number_of(mining_service_pb2.NegativeStrategy, strategy)
        if self.shortfall is not None:
            rule = choose(Shortfall, self.shortfall, "shortfall")
            message.shortfall = number_of(policy_pb2.Shortfall, rule)
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
            strategy=from_enum(NegativeStrategy, mining_service_pb2.NegativeStrategy, message.strategy),
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
            shortfall=from_enum(Shortfall, policy_pb2.Shortfall, message.shortfall),
        )


def _given(window: AgeWindow | VersionWindow) -> dict[str, Any]:
    return {name: value for name, value in vars(window).items() if value is not None}


def _present(message: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(message, name) for name in names if message.HasField(name)}
