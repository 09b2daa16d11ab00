"""Pairs of an anchor and a sample: known positives and vetoed negatives."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import numpy as np
import numpy.typing as npt

from ._errors import ResourceExhausted


@dataclass(frozen=True)
class PairCounts:
    """Pairs of an anchor and a sample by outcome.

    Attributes:
        added_count: Pairs that were not known before.
        removed_count: Stored negatives that these pairs removed.
    """

    added_count: int = 0
    removed_count: int = 0


@dataclass(frozen=True)
class ReachedLimit:
    """A limit of the pool that pairs would have gone over.

    Attributes:
        row: The first row of the anchor that would have had too many pairs, or the first row that found no room.
        limit: A field of `Anchored`: ``"max_positives_per_anchor"``, ``"max_vetoes_per_anchor"``, ``"max_anchors"`` or
            ``"max_pairs"``.
        max: Its value.
    """

    row: int
    limit: str
    max: int


class PairsRefused(ResourceExhausted):
    """The pool has no room for some pairs, which may be served as negatives. It has taken all others.

    A large pool is split into partitions by the anchor's hash. A partition takes all of its pairs of a call, or none
    when one of its anchors would have too many. Pairs that fit may therefore be refused with others: send those again.

    Attributes:
        counts: Outcomes of the pairs that were taken.
        rows: int64, the rows that were refused, in ascending order.
        limits: The limits that were reached, in the order of their rows.
    """

    def __init__(self, counts: PairCounts, rows: npt.NDArray[np.int64], limits: tuple[ReachedLimit, ...]) -> None:
        why = ", ".join(f"{reached.limit} {reached.max} at row {reached.row}" for reached in limits[:3])
        more = f" and {len(limits) - 3} more" if len(limits) > 3 else ""
        super().__init__(
            f"{len(rows)} pairs were refused: {why}{more}",
            code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            reason="PAIRS_REFUSED",
        )
        self.counts = counts
        self.rows = rows
        self.limits = limits
