"""The batches of a score stream between sealing and ack. It has no lock: the score stream holds its own."""

from __future__ import annotations

from collections import deque

from ._batcher import NumberedBatch
from ._errors import HardnegError

# Batches on the way at once. The server recognises resends among the last 1,024 of a worker; this stays well inside.
_IN_FLIGHT_MAX = 256


class SendQueue:
    """Unacknowledged batches in the order of their sequence numbers. ``len(queue)`` is their number.

    Attributes:
        rows: Rows of the batches.
        in_flight: The first so many batches have been sent on the present connection.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.in_flight = 0
        self._batches: deque[NumberedBatch] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    def append(self, batch: NumberedBatch) -> None:
        self._batches.append(batch)
        self.rows += batch.rows

    def take_unsent(self) -> NumberedBatch | None:
        """The next batch to send; None while all have been sent, or as many as may be on the way."""
        if self.in_flight >= min(len(self._batches), _IN_FLIGHT_MAX):
            return None
        batch = self._batches[self.in_flight]
        self.in_flight += 1
        batch.times_sent += 1
        return batch

    def resend_all(self) -> None:
        """The connection is lost: the next one sends every batch again."""
        self.in_flight = 0

    def is_next(self, sequence: int) -> bool:
        """Whether the next ack must be that of this batch: acks come in the order of the batches."""
        return bool(self.in_flight) and self._batches[0].sequence == sequence

    def pop(self, sequence: int) -> NumberedBatch:
        """Removes the batch that was acknowledged.

        Raises:
            HardnegError: Another batch, or none, is the next.
        """
        if not self.is_next(sequence):
            raise HardnegError(f"ack of batch {sequence}, which is not the next one")
        batch = self._batches.popleft()
        self.in_flight -= 1
        self.rows -= batch.rows
        return batch

    def clear(self) -> None:
        self._batches.clear()
        self.rows = self.in_flight = 0
