"""The part of a pool's handle that serves anchored pools: negatives, known positives and vetoes of anchors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal

import numpy as np

from . import _columns
from ._columns import FloatsLike, Ids, IdsLike
from ._enums import NegativeStrategy, Shortfall
from ._mined_negatives import NEGATIVE_FIELDS, MinedNegatives, NegativeField
from ._mining_policy import AgeWindow, VersionWindow
from ._negative_policy import DistanceWeighting, NegativePolicy
from ._pairs import PairCounts, PairsRefused, ReachedLimit
from ._pool_handle import PoolHandle
from ._proto import columns_pb2, mining_service_pb2


class PoolNegatives(PoolHandle):
    """What `Pool` can do with anchors: a pool made with ``anchored=hardneg.Anchored(...)``."""

    def mine_negatives(
        self,
        anchors: IdsLike,
        num_negatives: int,
        *,
        strategy: NegativeStrategy | str | None = None,
        alpha: float | None = None,
        random_fraction: float | None = None,
        range_min: int = 0,
        range_max: int | None = None,
        min_score: float | None = None,
        max_score: float | None = None,
        absolute_margin: float | None = None,
        relative_margin: float | None = None,
        semi_hard_margin: float | None = None,
        distance_weighting: DistanceWeighting | None = None,
        max_per_group: int = 0,
        age: AgeWindow | None = None,
        model_version: VersionWindow | None = None,
        shortfall: Shortfall | str | None = None,
        exclude_ids: IdsLike | None = None,
        seed: int | None = None,
        fields: Collection[NegativeField] | Literal["all"] | None = None,
        timeout: float | None = None,
    ) -> MinedNegatives:
        """Mines negatives for each of many anchors. None takes the pool's or the service's default.

        Args:
            anchors: Integers or strings, shape (n,), at most 65,536; one named twice gets two independent draws.
            num_negatives: Wanted for each, 1 to 1,024; n times this is at most 1,048,576.
            strategy: ``"top"`` (default), ``"random"``, ``"proportional"``, ``"semi_hard"`` or
                ``"distance_weighted"``.
            alpha: Exponent of ``"proportional"``; default 1.
            random_fraction: Share drawn from the background, the ids reported for any anchor; default 0.
            range_min: Skip so many of the hardest that the filters left.
            range_max: Consider only the hardest so many.
            min_score: Score at least this.
            max_score: Score at most this.
            absolute_margin: Score at most the positive's less this (lower_is_harder: at least, plus).
            relative_margin: The same with a share of the positive's score, as 0.05.
            semi_hard_margin: With ``"semi_hard"``: how far from the positive; required there.
            distance_weighting: With ``"distance_weighted"``; required there.
            max_per_group: The most of one group among an anchor's negatives; 0 is no limit.
            age: Window of the reports' ages.
            model_version: Window of the model versions.
            shortfall: ``"fill"`` (default, from the background), ``"short"`` or ``"error"``.
            exclude_ids: Never these, for any anchor; at most 65,536.
            seed: The same seed on the same state gives the same negatives.
            fields: Columns wanted beside the ids, or ``"all"``. Default: scores, inclusion probabilities, sources.
            timeout: Seconds; default the client's.

        Raises:
            FailedPrecondition: ``shortfall="error"`` and an anchor with too few, or a flat pool.

        Example:
            >>> mined = pool.mine_negatives(query_ids, 7, strategy="top", relative_margin=0.05)
            >>> ids, mask = mined.dense()  # (n, 7) each
        """
        if num_negatives < 1:
            raise ValueError("num_negatives must be at least 1")
        policy = NegativePolicy(
            strategy=strategy,
            alpha=alpha,
            random_fraction=random_fraction,
            range_min=range_min,
            range_max=range_max,
            min_score=min_score,
            max_score=max_score,
            absolute_margin=absolute_margin,
            relative_margin=relative_margin,
            semi_hard_margin=semi_hard_margin,
            distance_weighting=distance_weighting,
            max_per_group=max_per_group,
            age=age,
            model_version=model_version,
            shortfall=shortfall,
        )
        request = mining_service_pb2.MineNegativesRequest(
            pool=self._resource,
            pool_uid=self.uid,
            anchors=_columns.encode_ids(_columns.normalize_ids(anchors, name="anchors")),
            num_negatives=num_negatives,
            policy=policy.to_proto(),
            encoding=columns_pb2.COLUMN_ENCODING_LITTLE_ENDIAN,
        )
        if exclude_ids is not None and len(known := _columns.normalize_ids(exclude_ids, name="exclude_ids")):
            request.exclude_ids.CopyFrom(_columns.encode_ids(known))
        if seed is not None:
            if not 0 <= seed < 2**64:
                raise ValueError("seed must be from 0 to 2^64-1")
            request.seed = seed
        if fields is not None:
            request.fields.SetInParent()
            for name in NEGATIVE_FIELDS if fields == "all" else fields:
                if name not in NEGATIVE_FIELDS:
                    raise ValueError(f"fields must be of {', '.join(NEGATIVE_FIELDS)}, not {name!r}")
                setattr(request.fields, name, True)
        answer = self._transport.call("mining", "MineNegatives", request, timeout=timeout)
        return MinedNegatives.from_proto(answer, num_negatives)

    def add_positives(
        self,
        anchors: IdsLike,
        positives: IdsLike,
        scores: FloatsLike | None = None,
        *,
        model_version: int = 0,
        timeout: float | None = None,
    ) -> PairCounts:
        """Names known positives of anchors: never served as their negatives.

        Args:
            anchors: Shape (n,); an anchor may be in several rows. More than 65,536 rows are sent in several calls.
            positives: The positive of each row.
            scores: Their scores, NaN where unknown. Of each positive the one told last is kept, and of an anchor the
                lowest counts for margins (the highest where lower is harder).
            model_version: Version of the model that computed the scores.
            timeout: Seconds a call.

        Raises:
            PairsRefused: There is no room for some of them; it names the rows. All others are known from now on.

        Example:
            >>> pool.add_positives([1, 1, 2], [10, 11, 20], scores=[0.9, 0.8, 0.95])
        """
        marked = _Marked()
        known, others = _pairs(anchors, positives, "positives")
        values = None if scores is None else _columns.normalize_floats(scores, len(known))
        for rows in _slices(len(known)):
            request = mining_service_pb2.AddPositivesRequest(
                pool=self._resource,
                pool_uid=self.uid,
                anchors=_columns.encode_ids(known[rows]),
                positives=_columns.encode_ids(others[rows]),
                scores=None if values is None else _columns.encode_floats(values[rows], absent=True),
                model_version=model_version,
            )
            marked.add(self._transport.call("mining", "AddPositives", request, timeout=timeout), rows.start)
        return marked.counts()

    def reject_negatives(self, anchors: IdsLike, negatives: IdsLike, *, timeout: float | None = None) -> PairCounts:
        """Vetoes negatives of anchors, by a cross-encoder's or a person's verdict: never served for them again.

        Args:
            anchors: Shape (n,); an anchor may be in several rows. More than 65,536 rows are sent in several calls.
            negatives: The vetoed negative of each row.
            timeout: Seconds a call.

        Raises:
            PairsRefused: As of `add_positives`.

        Example:
            >>> mined = pool.mine_negatives(queries, 7)
            >>> anchor_of_row = np.repeat(queries, mined.counts)
            >>> false = cross_encoder(anchor_of_row, mined.ids) > 0.5
            >>> pool.reject_negatives(anchor_of_row[false], mined.ids[false])
        """
        marked = _Marked()
        known, others = _pairs(anchors, negatives, "negatives")
        for rows in _slices(len(known)):
            request = mining_service_pb2.RejectNegativesRequest(
                pool=self._resource,
                pool_uid=self.uid,
                anchors=_columns.encode_ids(known[rows]),
                negatives=_columns.encode_ids(others[rows]),
            )
            marked.add(self._transport.call("mining", "RejectNegatives", request, timeout=timeout), rows.start)
        return marked.counts()


def _pairs(anchors: IdsLike, others: IdsLike, name: str) -> tuple[Ids, Ids]:
    known, paired = _columns.normalize_ids(anchors, name="anchors"), _columns.normalize_ids(others, name=name)
    if len(paired) != len(known):
        raise ValueError(f"{name} must have {len(known)} entries, one per anchor, not {len(paired)}")
    return known, paired


def _slices(rows: int) -> Iterator[slice]:
    return (slice(start, start + _columns.ROWS_MAX) for start in range(0, rows, _columns.ROWS_MAX))


class _Marked:
    """What became of the pairs of several calls."""

    def __init__(self) -> None:
        self.added = self.removed = 0
        self.rows: list[int] = []
        self.limits: list[ReachedLimit] = []

    def add(
        self,
        answer: mining_service_pb2.AddPositivesResponse | mining_service_pb2.RejectNegativesResponse,
        first: int,
    ) -> None:
        """The answer to the rows from `first` on."""
        self.added += answer.added_count
        self.removed += answer.removed_count
        self.rows += [first + row for row in answer.refused.rows]
        self.limits += [
            ReachedLimit(first + reached.row, reached.limit, reached.max) for reached in answer.refused.limits
        ]

    def counts(self) -> PairCounts:
        """The sums.

        Raises:
            PairsRefused: Some were refused.
        """
        counts = PairCounts(self.added, self.removed)
        if self.rows:
            raise PairsRefused(counts, np.array(self.rows, dtype=np.int64), tuple(self.limits))
        return counts
