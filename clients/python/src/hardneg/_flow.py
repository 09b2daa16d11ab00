"""The samples-per-insert limit of a pool, which couples mining to reporting."""

from __future__ import annotations

from dataclasses import dataclass

from ._checks import check_positive
from ._durations import Span, span_to_proto
from ._messages import dataclass_of
from ._proto import pool_pb2


@dataclass(frozen=True)
class Flow:
    """A samples-per-insert limit: couples how much is mined to how much is reported, and the side that is ahead waits.

    Cassirer et al. 2021 (Reverb).

    Attributes:
        mined_per_reported: Samples mined for each sample reported.
        error_buffer: Mined samples by which the two may drift apart; at least max(1, mined_per_reported).
        min_reported: Reported samples from which on the pool mines, and the ratio counts; default 1.
        max_wait: Seconds (or a timedelta) that a report waits for miners before it is refused, and a miner for
            reports before it gets a partial batch; default 10, at most 300.

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
