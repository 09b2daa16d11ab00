"""The quarantine rule of a pool."""

from __future__ import annotations

from dataclasses import dataclass

from ._checks import check_positive
from ._proto import pool_pb2


@dataclass(frozen=True)
class Quarantine:
    """Sets samples aside that look mislabelled: hard in report after report, whatever the model learns.

    Attributes:
        quantile: A sample counts as hard when its raw score is over this quantile of the reported scores (below
            1 - quantile where lower is harder); default 0.99.
        reports: Consecutive reports in which it must be hard, at least 2; default 5.
        capacity: Samples in quarantine at a time; default 65,536. A full quarantine takes no more.

    Example:
        >>> pool = client.create_pool("crops", quarantine=hardneg.Quarantine(quantile=0.995, reports=4))
        >>> for sample in pool.quarantined():
        ...     print(sample.id, sample.score, sample.reports)
    """

    quantile: float | None = None
    reports: int | None = None
    capacity: int | None = None

    def __post_init__(self) -> None:
        check_positive(**vars(self))

    def to_proto(self) -> pool_pb2.Quarantine:
        return pool_pb2.Quarantine(
            quantile=self.quantile or 0.0, reports=self.reports or 0, capacity=self.capacity or 0
        )

    @classmethod
    def from_proto(cls, message: pool_pb2.Quarantine) -> Quarantine:
        return cls(message.quantile or None, message.reports or None, message.capacity or None)
