"""Mined negatives of many anchors, as compressed sparse rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _columns
from ._columns import Ids
from ._enums import Source
from ._errors import HardnegError
from ._messages import dataclass_of
from ._negative_policy import NegativePolicy
from ._pool_stats import FilterCounts, PoolSizes
from ._proto import mining_service_pb2

#: Columns that negatives may carry beside their ids.
NegativeField: TypeAlias = Literal["scores", "inclusion_probabilities", "sources", "ages", "positive_scores", "labels"]


@dataclass(frozen=True, eq=False)
class AnchorNegatives:
    """The negatives of one anchor, in the columns of `MinedNegatives`. ``len(negatives)`` is their number.

    `label` is that of the anchor, `labels` are those of its negatives.
    """

    ids: Ids
    scores: npt.NDArray[np.float32] | None
    inclusion_probabilities: npt.NDArray[np.float32] | None
    sources: npt.NDArray[np.uint8] | None
    ages: npt.NDArray[np.float32] | None
    positive_score: float | None
    labels: npt.NDArray[np.uint32] | None = None
    label: int | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class MinedNegatives:
    """Negatives of n anchors, in the order of the request. ``len(mined)`` is n; ``mined[i]`` are those of anchor i.

    Anchor i has rows ``offsets[i]`` to ``offsets[i + 1]`` of the columns. `dense` makes a column rectangular. Arrays
    are read-only views of the answer: copy one before you change it.

    Attributes:
        offsets: int64 of shape (n + 1,).
        ids: uint64 (rows,), or a list of strings in a pool of strings; no id twice for one anchor.
        scores: float32 (rows,), raw; NaN for a background negative that the anchor has no score for; None if not asked
            for.
        inclusion_probabilities: float32 (rows,), that of each negative to be in such a draw of its anchor, for log-Q
            corrections. It includes the probability that the id is in the background at all, where the negative can
            come from there, so the sum of 1 / probability estimates the anchor's number of candidates. None with TOP,
            or if not asked for.
        sources: uint8 (rows,), values of `Source`; None if not asked for.
        ages: float32 (rows,), seconds or steps; NaN where the score is; None if not asked for.
        positive_scores: float32 (n,), the lowest known of each anchor, NaN where none is known; None if not asked for.
        labels: uint32 (rows,), 0 where the negative has none; None if not asked for (``fields=["labels"]``).
        anchor_labels: uint32 (n,), 0 where the anchor has none; None if `labels` were not asked for.
        num_negatives: Requested number of negatives for each anchor; the largest of them where anchors have numbers of
            their own.
        policy: The policy as applied, with every default filled in.
        seed: The seed as applied.
        shortfall_count: The requested number of rows less the number of rows, over all anchors.
        unknown_anchor_count: Anchors that the pool does not know.
        no_positive_count: Anchors without a positive score, if the policy has a margin, `hard_margin` or SEMI_HARD,
            which measure from it: margins admitted everything for these anchors, the others nothing. Otherwise 0.
        background_count: Rows from the background, including `filled_count`.
        filled_count: Rows from the background that ``shortfall="fill"`` added, because their anchors had too few of
            their own.
        sizes: The pool's sizes when the negatives were drawn: ``sizes.distinct`` ids, ``sizes.background`` of them in
            the background, each with the mean probability ``sizes.background_probability``.
        filtered: How many candidates each filter rejected.
        pool_uid: The uid of the pool.
    """

    offsets: npt.NDArray[np.int64]
    ids: Ids
    scores: npt.NDArray[np.float32] | None
    inclusion_probabilities: npt.NDArray[np.float32] | None
    sources: npt.NDArray[np.uint8] | None
    ages: npt.NDArray[np.float32] | None
    positive_scores: npt.NDArray[np.float32] | None
    num_negatives: int
    policy: NegativePolicy
    seed: int
    shortfall_count: int
    unknown_anchor_count: int
    no_positive_count: int
    background_count: int
    filled_count: int
    sizes: PoolSizes
    filtered: FilterCounts
    pool_uid: int
    labels: npt.NDArray[np.uint32] | None = None
    anchor_labels: npt.NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, anchor: int) -> AnchorNegatives:
        n = len(self)
        if not -n <= anchor < n:
            raise IndexError(f"anchor {anchor} of {n}")
        anchor %= n
        rows = slice(int(self.offsets[anchor]), int(self.offsets[anchor + 1]))

        def cut(column: Any) -> Any:
            return None if column is None else column[rows]

        return AnchorNegatives(
            ids=self.ids[rows],
            scores=cut(self.scores),
            inclusion_probabilities=cut(self.inclusion_probabilities),
            sources=cut(self.sources),
            ages=cut(self.ages),
            positive_score=None if self.positive_scores is None else float(self.positive_scores[anchor]),
            labels=cut(self.labels),
            label=None if self.anchor_labels is None else int(self.anchor_labels[anchor]),
        )

    def __iter__(self) -> Iterator[AnchorNegatives]:
        return (self[anchor] for anchor in range(len(self)))

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Shape (n,): how many negatives each anchor got."""
        return np.diff(self.offsets)

    @property
    def is_background(self) -> npt.NDArray[np.bool_]:
        """Shape (rows,): True where the background gave the negative.

        Raises:
            ValueError: There is no `sources` column.
        """
        if self.sources is None:
            raise ValueError("the negatives were mined without `sources` in their fields")
        background: npt.NDArray[np.bool_] = self.sources == Source.BACKGROUND.value
        return background

    def dense(
        self,
        column: Literal["ids", "scores", "inclusion_probabilities", "sources", "ages", "labels"] = "ids",
        *,
        fill: Any = None,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Makes a column rectangular: pads it where an anchor has fewer negatives than requested.

        Args:
            column: The name of the column.
            fill: The value of the padding; default 0, for strings the empty one.

        Returns:
            Values of shape (n, num_negatives), and a mask of the same shape that is True where there is a negative.
            Strings come as an array of objects.

        Raises:
            ValueError: There is no such column, or `fill` is no value of its type.

        Example:
            >>> ids, mask = mined.dense()
            >>> probabilities, _ = mined.dense("inclusion_probabilities", fill=1.0)
            >>> logits = np.where(mask, similarities(ids) - np.log(probabilities), -np.inf)
        """
        values = getattr(self, column)
        if values is None:
            raise ValueError(f"the negatives have no `{column}`")
        mask = np.arange(self.num_negatives) < self.counts[:, None]
        if isinstance(values, list):
            dense = np.full(mask.shape, "" if fill is None else fill, dtype=object)
            flat = np.empty(len(values), dtype=object)
            flat[:] = values
        else:
            try:
                dense = np.full(mask.shape, 0 if fill is None else fill, dtype=values.dtype)
            except (OverflowError, ValueError):
                raise ValueError(f"fill={fill!r} is no value of `{column}` ({values.dtype})") from None
            flat = values
        dense[mask] = flat
        return dense, mask

    def __repr__(self) -> str:
        return (
            f"MinedNegatives(anchors={len(self)}, rows={len(self.ids)}, background={self.background_count}, "
            f"shortfall={self.shortfall_count})"
        )

    @classmethod
    def from_proto(cls, message: mining_service_pb2.MineNegativesResponse, num_negatives: int) -> MinedNegatives:
        """From the message.

        Raises:
            HardnegError: Columns of unequal length, or offsets that do not fit.
        """
        ids = _columns.decode_ids(message.ids)
        rows = len(ids)
        offsets = np.array(message.offsets, dtype=np.int64)
        if not (offsets.size and offsets[0] == 0 and offsets[-1] == rows and (np.diff(offsets) >= 0).all()):
            raise HardnegError(f"malformed answer: offsets that do not divide {rows} rows")
        if np.diff(offsets).max(initial=0) > num_negatives:
            raise HardnegError(f"malformed answer: an anchor has more than {num_negatives} negatives")

        def floats(name: str, length: int = rows) -> npt.NDArray[np.float32] | None:
            return _columns.decode_floats(getattr(message, name), length, name=name)

        def labels(name: str, length: int) -> npt.NDArray[np.uint32] | None:
            column = np.array(getattr(message, name), dtype=np.uint32)
            if len(column) not in (0, length):
                raise HardnegError(f"malformed answer: column {name} has {len(column)} rows, not {length}")
            # An empty column does not tell whether labels were asked for; the labels of the anchors do.
            return column if len(message.anchor_labels) else None

        return dataclass_of(
            cls,
            message,
            offsets=offsets,
            ids=ids,
            scores=floats("scores"),
            inclusion_probabilities=floats("inclusion_probabilities"),
            sources=_columns.decode_sources(message.sources, rows),
            ages=floats("ages"),
            positive_scores=floats("positive_scores", len(offsets) - 1),
            labels=labels("labels", rows),
            anchor_labels=labels("anchor_labels", len(offsets) - 1),
            num_negatives=num_negatives,
            policy=NegativePolicy.from_proto(message.policy),
            filtered=FilterCounts.from_proto(message.filtered),
            sizes=PoolSizes.from_proto(message.sizes),
        )
