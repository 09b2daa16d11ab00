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
    """Reported rows by outcome. The fields of one batch sum to its rows.

    Attributes:
        inserted: Rows that are new in the hard store.
        updated: Rows that updated a sample of the hard store.
        background_only: Rows too easy for the hard store, kept in the background's sample.
        dropped: Rows too easy for the hard store that are not in the background's sample either.
        non_finite: Rows with a score that is NaN or infinite, which are never stored.
        coalesced: Rows whose id (in an anchored pool, whose anchor and id) stands in an earlier row of the batch; they
            are applied like all others.
        duplicate: Rows of a resend whose batch was applied before.
        stale: Rows of a lower step, or of an earlier run, than what is stored.
        out_of_range: Rows whose id is outside the pool's dense id space.
        quarantined: Rows of samples in quarantine, which are not served. The row that sets a sample aside is one.
        blocked: Rows of blocked samples, which the pool ignores.
        anchor_limit: Anchored pools: rows of anchors beyond `max_anchors`.
        not_negative: Anchored pools: rows of known positives or vetoed negatives of their anchor.
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
        return sum(vars(self).values())

    @classmethod
    def from_proto(cls, message: pool_pb2.ReportCounts) -> ReportCounts:
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class Ack:
    """The service's answer to one reported batch.

    Attributes:
        status: APPLIED, or DUPLICATE (a harmless resend); a refusal is an exception, and so is a STALE batch.
        counts: The rows by outcome; in a resend all are `duplicate`.
        floor_log2: The pool's lowest priority as log2 of its weight now; None while there is room. New samples
            below it need not be reported.
        position: The pool's state once the batch was applied; None when the pool is not journalled. Opaque: compare for
            equality only.
        durable_position: The pool's state that survives a crash of the server; None where nothing does. Opaque.
        pool_uid: The uid of the pool.
        clamped: Rows whose weight was clamped to 2^±4,096: beyond that all rows weigh the same.
        floored: Rows whose score, less its reference, is below 0 where hardness is POWER: they all weigh the same. Use
            ``hardness="exponential"`` for scores that may be negative.
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
        """Adds the counts of an earlier ack; everything else stays as in this one."""
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
        step: The training step of its rows.
        model_version: The model version of its rows.
        error: Why the service refused it.
    """

    sequence: int
    ids: Ids
    step: int
    model_version: int
    error: HardnegError

    @property
    def rows(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class StreamStats:
    """What a score stream has done so far. Rows reported = acked + rejected + dropped + lost + pending.

    Attributes:
        reported_rows: Rows given to `report`.
        pending_rows: Rows that are not acknowledged yet: collected, queued, or on the way.
        pending_batches: Batches that are queued or on the way.
        acked_rows: Rows of acknowledged batches.
        acked_batches: Acknowledged batches.
        duplicate_batches: Of these, resends that the service had applied already.
        stale_batches: Of these, those of which over half of the rows were stale.
        resent_batches: Batches sent again after a reconnect.
        rejected_rows: Rows of batches that the service refused.
        rejected_batches: Batches that the service refused.
        dropped_rows: Rows not accepted because the queue was full (`on_full="drop"` or `"raise"`, or a timeout).
        lost_rows: Rows that were pending when the stream closed or failed.
        reconnects: Connections after the first.
        connected: Whether an ack has come on the present connection.
        counts: Acknowledged rows by outcome.
        clamped: Acknowledged rows whose weight was clamped to 2^±4,096.
        floored: Acknowledged rows whose score is below 0 where hardness is POWER: all of them weigh the same.
        last_error: The error of the last refused batch or lost connection; None without any.
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
