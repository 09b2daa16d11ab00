"""What the service answers to reported scores, and what a score stream has counted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ._columns import Ids
from ._enums import AckStatus, enum_from_proto
from ._errors import HardnegError
from ._messages import dataclass_of
from ._proto import mining_service_pb2, pool_pb2


@dataclass(frozen=True)
class ReportCounts:
    """What became of reported rows. The fields of one batch sum to its rows.

    Attributes:
        inserted: New in the hard store.
        updated: Known in the hard store and updated.
        background_only: Too easy for the hard store, kept in the background.
        dropped: Too easy for the hard store, and not in the background's sample.
        non_finite: NaN or infinite, never stored.
        coalesced: Their id stands in an earlier row of the batch; they are applied as all others. Anchored pools:
            their anchor and id stand in an earlier row.
        duplicate: Applied before: the batch is a resend.
        stale: Older, by step of the current run or one before, than what is stored.
        out_of_range: Outside the pool's dense id space.
        quarantined: Of samples in quarantine: kept there, not served. The row that sets a sample aside is one.
        blocked: Of blocked samples: nothing was done.
        anchor_limit: Anchored pools: of anchors beyond `max_anchors`.
        not_negative: Anchored pools: known positives or vetoed negatives of their anchor.
    """

    inserted: int = 0
    updated: int = 0
    background_only: int = 0
    dropped: int = 0
    non_finite: int = 0
    coalesced: int = 0
    duplicate: int = 0
    stale: int = 0
    out_of_range: int = 0
    quarantined: int = 0
    blocked: int = 0
    anchor_limit: int = 0
    not_negative: int = 0

    def __add__(self, other: ReportCounts) -> ReportCounts:
        return ReportCounts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def total(self) -> int:
        """Rows in all."""
        return sum(vars(self).values())

    @classmethod
    def from_proto(cls, message: pool_pb2.ReportCounts) -> ReportCounts:
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class Ack:
    """The service's answer to one reported batch.

    Attributes:
        status: APPLIED, or DUPLICATE (a harmless resend); a refusal is an exception, and so is a STALE batch.
        counts: What became of the rows; of a resend all are `duplicate`.
        floor_log2: The pool's lowest priority as log2 of its weight now; None while there is room. New samples
            below it need not be reported.
        position: The pool's state once the batch was applied; None when the pool is not journalled. Opaque: compare for
            equality only.
        durable_position: All that stands before it survives a crash of the server; None: nothing does.
        pool_uid: The pool.
        clamped: Rows whose log2 weight was clamped to ±4,096 octaves: all beyond weigh the same.
        floored: Rows whose score, less its reference, is below 0 where hardness is POWER: all of them weigh the same.
            Use ``hardness="exponential"`` for scores that may be negative.
    """

    status: AckStatus
    counts: ReportCounts
    floor_log2: float | None
    position: bytes | None
    durable_position: bytes | None
    pool_uid: int
    clamped: int
    floored: int

    @classmethod
    def from_proto(cls, message: mining_service_pb2.ScoreAck) -> Ack:
        return dataclass_of(
            cls,
            message,
            status=enum_from_proto(AckStatus, mining_service_pb2.AckStatus, message.status) or AckStatus.REJECTED,
            counts=ReportCounts.from_proto(message.counts),
            position=message.position.token or None,
            durable_position=message.durable_position.token or None,
        )

    def after(self, earlier: Ack) -> Ack:
        """This ack for the rows of an earlier one as well: counts are summed, all else is as it is now."""
        return replace(
            self,
            counts=earlier.counts + self.counts,
            clamped=earlier.clamped + self.clamped,
            floored=earlier.floored + self.floored,
        )


@dataclass(frozen=True)
class Rejection:
    """A batch of a score stream that the service refused as a whole.

    Attributes:
        sequence: The batch's number in its stream.
        ids: Its ids, so that they can be reported again.
        step: Its step.
        model_version: Its model version.
        error: Why.
    """

    sequence: int
    ids: Ids
    step: int
    model_version: int
    error: HardnegError

    @property
    def rows(self) -> int:
        """Rows of the batch."""
        return len(self.ids)


@dataclass(frozen=True)
class StreamStats:
    """What a score stream has done so far. Rows reported = acked + rejected + dropped + lost + pending.

    Attributes:
        reported_rows: Rows given to `report`.
        pending_rows: Rows not yet acknowledged: being gathered, queued, or on the way.
        pending_batches: The same in sealed batches.
        acked_rows: Rows of acknowledged batches.
        acked_batches: Acknowledged batches.
        duplicate_batches: Of these, resends that the service had applied already.
        stale_batches: Of these, those over half of whose rows were stale.
        resent_batches: Batches sent again after a reconnect.
        rejected_rows: Rows of batches that the service refused.
        rejected_batches: Batches that the service refused.
        dropped_rows: Rows not accepted because the queue was full (`on_full="drop"` or `"raise"`, or a timeout).
        lost_rows: Rows that were pending when the stream closed or failed.
        reconnects: Connections after the first.
        connected: An answer has come on the present connection.
        counts: What became of acknowledged rows, summed.
        clamped: Acknowledged rows whose log2 weight was clamped.
        floored: Acknowledged rows whose score is below 0 where hardness is POWER: all of them weigh the same.
        last_error: The error that broke the last connection.
    """

    reported_rows: int
    pending_rows: int
    pending_batches: int
    acked_rows: int
    acked_batches: int
    duplicate_batches: int
    stale_batches: int
    resent_batches: int
    rejected_rows: int
    rejected_batches: int
    dropped_rows: int
    lost_rows: int
    reconnects: int
    connected: bool
    counts: ReportCounts
    clamped: int
    floored: int
    last_error: HardnegError | None
