"""The settings of a score stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from . import _columns
from ._acks import Rejection

#: What `ScoreStream.report` does when `max_pending` rows wait.
OnFull: TypeAlias = Literal["block", "drop", "raise"]


@dataclass(frozen=True)
class StreamSettings:
    """The arguments of `Pool.score_stream`, which describes them."""

    worker_id: str
    run_id: str
    batch_size: int
    max_pending: int
    linger: float
    on_full: OnFull
    on_rejected: Callable[[Rejection], None] | None
    ack_timeout: float

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= _columns.ROWS_MAX:
            raise ValueError(f"batch_size must be 1 to {_columns.ROWS_MAX}, not {self.batch_size}")
        if self.max_pending < self.batch_size:
            raise ValueError(f"max_pending ({self.max_pending}) must be at least batch_size ({self.batch_size})")
        if self.on_full not in ("block", "drop", "raise"):
            raise ValueError(f"on_full must be 'block', 'drop' or 'raise', not {self.on_full!r}")
        if len(self.worker_id.encode()) > 128:
            raise ValueError("worker_id must have at most 128 bytes")
        if self.linger <= 0 or self.ack_timeout <= 0:
            raise ValueError("linger and ack_timeout must be positive")
