"""Collects reported rows in numbered batches. It has no lock: the score stream holds its own."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ._acks import Rejection
from ._columns import Ids
from ._errors import HardnegError
from ._proto import mining_service_pb2
from ._report_rows import ReportRows


@dataclass(frozen=True)
class BatchKey:
    """What all rows of a batch have in common."""

    step: int
    model_version: int
    kind: tuple[str, ...]


@dataclass
class NumberedBatch:
    """A batch with its sequence number. The stream keeps it, and its ids, until the service acknowledges it."""

    ids: Ids
    request: mining_service_pb2.StreamScoresRequest
    times_sent: int = 0

    @property
    def sequence(self) -> int:
        """The batch's number in the stream, from 1."""
        return self.request.batch.sequence

    @property
    def rows(self) -> int:
        return len(self.ids)

    def rejection(self, error: HardnegError) -> Rejection:
        """What the caller learns of this batch when the service refuses it."""
        batch = self.request.batch
        return Rejection(self.sequence, self.ids, batch.step, batch.model_version, error)


class Batcher:
    """Collects rows in batches, which it numbers from 1 without a gap.

    Attributes:
        rows: Rows that are not in a batch yet.
        since: When the first of them came, by `time.monotonic`.
        sequence: Number of the last batch; 0 before the first.
    """

    def __init__(self, batch: mining_service_pb2.ScoreBatch, size: int) -> None:
        """`batch` has the fields that all batches share (pool, worker, epoch); `size` is the rows of a full one."""
        self.rows = 0
        self.since = 0.0
        self.sequence = 0
        self._batch = batch
        self._limit = self._size = size
        self._parts: list[ReportRows] = []
        self._key: BatchKey | None = None

    def add(self, key: BatchKey, part: ReportRows, size: int) -> list[NumberedBatch]:
        """Adds at most `size` rows; returns the batches that are full, or that end because the key changes.

        `size` is the batch size, or less where rows with long payloads fill a message earlier. The smallest size of
        the collected reports limits their batch.
        """
        rows = len(part)
        sealed = []
        self._limit = min(size, self._limit)
        if self._parts and (key != self._key or self.rows + rows > self._limit):
            sealed += self.seal()
            self._limit = size
        if not self._parts:
            self._key, self.since = key, time.monotonic()
        self._parts.append(part)
        self.rows += rows
        if self.rows >= self._limit:
            sealed += self.seal()
        return sealed

    def seal(self) -> list[NumberedBatch]:
        """Makes a numbered batch of the collected rows; none without rows."""
        if not self._parts or self._key is None:
            return []
        key, parts = self._key, self._parts
        self.clear()
        rows = ReportRows.joined(parts)
        self.sequence += 1
        request = mining_service_pb2.StreamScoresRequest(batch=self._batch)
        batch = request.batch
        batch.sequence, batch.step, batch.model_version = self.sequence, key.step, key.model_version
        rows.write(batch)
        return [NumberedBatch(rows.ids, request)]

    def clear(self) -> None:
        """Drops the collected rows."""
        self._parts, self._key, self.rows, self._limit = [], None, 0, self._size
