"""The samples-per-insert limit of a pool, which couples mining to reporting."""

from __future__ import annotations

from dataclasses import dataclass

from ._checks import check_positive
from ._durations import Span, span_to_proto
from ._messages import dataclass_of
from ._proto import pool_pb2


@dataclass(frozen=True)
class Flow:
    """Couples how much is mined to how much is reported; whoever runs ahead waits. Cassirer et al. 2021 (Reverb).

    Attributes:
        mined_per_reported: Samples mined for each reported one.
        error_buffer: How far the two may drift apart, in mined samples; at least max(1, mined_per_reported).
        min_reported: Mining begins, and the ratio counts, once so many samples have been reported; default 1.
        max_wait: How long a report waits for miners before it is refused, and a miner for reports before it gets a
            partial batch: seconds or a timedelta; default 10 s, at most 5 min.

    Example:
        >>> pool = client.create_pool("faces", flow=hardneg.Flow(mined_per_reported=0.5, error_buffer=100_000))
    """

    mined_per_reported: float
    error_buffer: float
    min_reported: int | None = None
    max_wait: Span | None = None

    def __post_init__(self) -> None:
        check_positive(
            mined_per_reported=self.mined_per_reported, error_buffer=self.error_buffer, min_reported=self.min_reported
        )

    def to_proto(self) -> pool_pb2.Flow:
        message = pool_pb2.Flow(
            mined_per_reported=self.mined_per_reported,
            error_buffer=self.error_buffer,
            min_reported=self.min_reported or 0,
        )
        if self.max_wait is not None:
            span_to_proto(self.max_wait, message.max_wait, "max_wait")
        return message

    @classmethod
    def from_proto(cls, message: pool_pb2.Flow) -> Flow:
        return dataclass_of(cls, message, min_reported=message.min_reported or None)
