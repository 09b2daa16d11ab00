"""A batch size from the positives of a training step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ._checks import check_uint
from ._proto import mining_service_pb2


@dataclass(frozen=True)
class NegativeRatio:
    """A batch size from the positives of a training step. Liu et al. 2016 (SSD) use 3 negatives a positive.

    Attributes:
        positives: Positives in the step.
        negatives_per_positive: Negatives wanted for each positive, over 0; default 3.
        min_size: Least batch size. By default 0: a step without positives gets an empty batch, as in SSD. mmdetection's
            ``neg_pos_ub`` counts 0 positives as 1: set ``min_size=negatives_per_positive`` for that.

    Example:
        >>> batch = pool.mine(negative_ratio=hardneg.NegativeRatio(len(boxes), 3))
    """

    positives: int
    negatives_per_positive: float = 3.0
    min_size: int = 0

    def __post_init__(self) -> None:
        check_uint(32, positives=self.positives, min_size=self.min_size)
        if not (self.negatives_per_positive > 0 and math.isfinite(self.negatives_per_positive)):
            raise ValueError(f"negatives_per_positive must be finite and positive, not {self.negatives_per_positive}")

    @property
    def size(self) -> int:
        """The batch size, rounded up."""
        return max(self.min_size, math.ceil(self.positives * self.negatives_per_positive))

    def to_proto(self) -> mining_service_pb2.NegativeRatio:
        return mining_service_pb2.NegativeRatio(
            positives=self.positives,
            negatives_per_positive=self.negatives_per_positive,
            min_size=self.min_size,
        )
