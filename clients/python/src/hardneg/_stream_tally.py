"""The statistics of a score stream, and what its next flush raises. It has no lock: the score stream holds its own."""

from __future__ import annotations

from dataclasses import fields

from ._acks import Ack, Rejection, ReportCounts, StreamStats
from ._enums import AckStatus
from ._errors import BatchesRejected, HardnegError, StaleScores

#: The fields of `StreamStats` that only grow.
_COUNTERS = tuple(
    field.name for field in fields(StreamStats) if field.type == "int" and not field.name.startswith("pending_")
)


class StreamTally:
    """What a score stream has counted since it was opened.

    Attributes:
        counters: The fields of `StreamStats` that only grow, by name.
        last_ack: The newest ack of a batch that was not refused.
        last_error: The error of the last refused batch or lost connection.
    """

    def __init__(self) -> None:
        self.counters = dict.fromkeys(_COUNTERS, 0)
        self.last_ack: Ack | None = None
        self.last_error: HardnegError | None = None
        self._counts = ReportCounts()
        # Since the last flush.
        self._rejections: list[Rejection] = []
        self._stale_counts = ReportCounts()
        self._stale_batches = 0

    def add_ack(self, ack: Ack, rows: int) -> None:
        """Counts a batch that was applied, now or before."""
        self.counters["acked_batches"] += 1
        self.counters["acked_rows"] += rows
        self.counters["duplicate_batches"] += ack.status is AckStatus.DUPLICATE
        self.counters["clamped"] += ack.clamped
        self.counters["floored"] += ack.floored
        if ack.status is AckStatus.STALE:
            self.counters["stale_batches"] += 1
            self._stale_batches += 1
            self._stale_counts += ack.counts
        self._counts += ack.counts
        self.last_ack = ack

    def add_rejection(self, rejection: Rejection, *, raised_by_flush: bool) -> None:
        """Counts a batch that was refused."""
        self.counters["rejected_batches"] += 1
        self.counters["rejected_rows"] += rejection.rows
        self.last_error = rejection.error
        if raised_by_flush:
            self._rejections.append(rejection)

    def take_error(self) -> HardnegError | None:
        """What a flush has to raise of the batches since the last one."""
        rejections, self._rejections = self._rejections, []
        counts, self._stale_counts = self._stale_counts, ReportCounts()
        stale, self._stale_batches = self._stale_batches, 0
        if rejections:
            return BatchesRejected(rejections)
        return StaleScores(counts, stale) if stale else None

    def stats(self, *, pending_rows: int, pending_batches: int, connected: bool) -> StreamStats:
        return StreamStats(
            pending_rows=pending_rows,
            pending_batches=pending_batches,
            connected=connected,
            counts=self._counts,
            last_error=self.last_error,
            **self.counters,
        )
