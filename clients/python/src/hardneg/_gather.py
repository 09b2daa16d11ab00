"""Gathering reported rows into numbered batches. No lock in here: the score stream holds its own."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from . import _columns
from ._columns import Ids
from ._proto import mining_service_pb2

#: Rows of one report, or a slice of them: ids, scores, payloads.
Part: TypeAlias = tuple[Ids, npt.NDArray[np.float32], "list[bytes] | None"]


@dataclass(frozen=True)
class Key:
    """What all rows of a batch have in common."""

    step: int
    model_version: int
    strings: bool
    payloads: bool


@dataclass
class Sealed:
    """A batch with a sequence. Kept, ids and all, until it is acknowledged."""

    ids: Ids
    request: mining_service_pb2.StreamScoresRequest
    times_sent: int = 0

    @property
    def sequence(self) -> int:
        """Its number in the stream, from 1."""
        return self.request.batch.sequence

    @property
    def rows(self) -> int:
        """Its rows."""
        return len(self.ids)


class Gatherer:
    """Rows on their way into a batch. Its batches are numbered from 1 without a gap.

    Attributes:
        rows: Gathered, not yet sealed.
        since: When the first of them came, by `time.monotonic`.
        sequence: Of the last batch sealed; 0: none.
    """

    def __init__(self, batch: mining_service_pb2.ScoreBatch, size: int) -> None:
        """`batch` has the fields that all batches share (pool, worker, epoch); `size` is the rows of a full one."""
        self.rows = 0
        self.since = 0.0
        self.sequence = 0
        self._batch = batch
        self._limit = self._size = size
        self._parts: list[Part] = []
        self._key: Key | None = None

    def add(self, key: Key, part: Part, size: int) -> list[Sealed]:
        """Adds at most `size` rows; returns the batches that this filled, or ended by another key.

        `size` is the batch size, or less where rows with long payloads fill a message earlier; the smallest of the
        reports that are gathered counts.
        """
        rows = len(part[0])
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

    def seal(self) -> list[Sealed]:
        """Makes a numbered batch of what is gathered; none if nothing is."""
        if not self._parts or self._key is None:
            return []
        key, parts = self._key, self._parts
        self.clear()
        ids: Ids
        if key.strings:
            ids = list(itertools.chain.from_iterable(part[0] for part in parts))
        else:
            ids = np.concatenate([np.asarray(part[0], dtype=_columns.U64_LE) for part in parts])
        self.sequence += 1
        request = mining_service_pb2.StreamScoresRequest(batch=self._batch)
        batch = request.batch
        batch.sequence, batch.step, batch.model_version = self.sequence, key.step, key.model_version
        batch.ids.CopyFrom(_columns.encode_ids(ids))
        batch.scores.CopyFrom(_columns.encode_floats(np.concatenate([part[1] for part in parts])))
        if key.payloads:
            batch.payloads.extend(payload for part in parts for payload in part[2] or ())
        return [Sealed(ids, request)]

    def clear(self) -> None:
        """Forgets what is gathered."""
        self._parts, self._key, self.rows, self._limit = [], None, 0, self._size
