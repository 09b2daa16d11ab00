"""Pairs of an anchor and a sample: known positives and vetoed negatives."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import numpy as np
import numpy.typing as npt

from ._errors import ResourceExhausted


@dataclass(frozen=True)
class PairCounts:
    """What became of pairs of an anchor and a sample.

    Attributes:
        added_count: Pairs that were not known before.
        removed_count: Stored negatives that went because of them.
    """

    added_count: int = 0
    removed_count: int = 0


@dataclass(frozen=True)
class ReachedLimit:
    """A limit of the pool that pairs would have gone over.

    Attributes:
        row: The first row of the anchor that would have had too many, or the first row for which there was no place.
        limit: A field of `Anchored`: ``"max_positives_per_anchor"``, ``"max_vetoes_per_anchor"``, ``"max_anchors"`` or
            ``"max_pairs"``.
        max: Its value.
    """

    row: int
    limit: str
    max: int


class PairsRefused(ResourceExhausted):
    """The pool has no room for some pairs: they are not known, and may be served as negatives. All others are known.

    A large pool is in parts, by the anchor's hash: each remembers all of its pairs of a call, or none where one of its
    anchors would have too many. So a pair may be refused for the sake of another: send the rest again.

    Attributes:
        counts: What became of the others.
        rows: int64, the rows that were refused, in order.
        limits: Why, in order of their rows.
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
