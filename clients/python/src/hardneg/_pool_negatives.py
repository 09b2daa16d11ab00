"""The part of a pool's handle that serves anchored pools: negatives, known positives and vetoes of anchors."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import numpy as np
from typing_extensions import Unpack

from . import _columns
from ._checks import check_uint
from ._columns import FloatsLike, Ids, IdsLike, IntsLike
from ._mine_request import exclude_ids_to_proto, select_fields
from ._mined_negatives import MinedNegatives, NegativeField
from ._negative_policy import NegativePolicy, NegativePolicyOptions
from ._options import dataclass_from, takes
from ._pairs import PairCounts, PairsRefused, ReachedLimit
from ._pool_handle import PoolHandle
from ._proto import columns_pb2, mining_service_pb2


class MineNegativesOptions(NegativePolicyOptions, total=False):
    """Keyword arguments of `Pool.mine_negatives`, which describes them. None is as if not given.

    Example:
        >>> retrieval: hardneg.MineNegativesOptions = {"relative_margin": 0.05, "max_per_group": 1}
        >>> mined = pool.mine_negatives(query_ids, 7, **retrieval)
    """

    exclude_ids: IdsLike | None
    seed: int | None
    fields: Collection[NegativeField] | Literal["all"] | None
    timeout: float | None


class PoolNegatives(PoolHandle):
    """The methods of `Pool` for anchored pools, which ``anchored=hardneg.Anchored(...)`` makes."""

    @takes(MineNegativesOptions)
    def mine_negatives(
        self,
        anchors: IdsLike,
        num_negatives: int | IntsLike,
        **options: Unpack[MineNegativesOptions],
    ) -> MinedNegatives:
        """Mines negatives for each of many anchors.

        An option that is not given, or None, takes the pool's default, and then the service's.

        Args:
            anchors: Integers or strings, shape (n,), at most 65,536; an anchor named twice gets two independent draws.
            num_negatives: Negatives wanted for each anchor, 1 to 1,024; or one number per anchor, shape (n,), 0 to
                1,024, where an anchor with 0 gets none. All anchors together want at most 1,048,576.
            strategy: ``"top"`` (default), ``"random"``, ``"proportional"``, ``"semi_hard"`` or
                ``"distance_weighted"``.
            alpha: Exponent of ``"proportional"``; default 1.
            random_fraction: Share drawn from the background, the ids reported for any anchor, 0 to 1; default 0. It is
                applied as 0 where a filter below (or a margin of the pool) cannot judge samples without a score for the
                anchor, unless shortfall is ``"fill_unscored"``.
            range_min: Rank, after the filters, of the first negative considered; 0, the default, is the hardest.
            range_max: Rank after the last negative considered; default no limit.
            min_score: Least score of a negative; default no limit.
            max_score: Greatest score of a negative; default no limit.
            absolute_margin: A negative scores at most the positive's score less this (where lower is harder, at least
                the positive's score plus this); default the pool's margin.
            relative_margin: As absolute_margin, as a share of the positive's score: 0.05 asks for at most 95 % of it.
            hard_margin: A negative scores over the positive's score less this (where lower is harder, below the
                positive's score plus this), and so has a loss above 0 in a triplet loss of this margin; 0 asks for
                negatives harder than the positive.
            semi_hard_margin: Greatest distance from the positive's score, for ``"semi_hard"``, which needs it.
            distance_weighting: The density to sample by, for ``"distance_weighted"``, which needs it.
            max_per_group: Greatest number of negatives of one group for an anchor; default 0, no limit.
            age: Window of the reports' ages, in seconds, or in steps where the pool ages by steps; default all.
            model_version: Window of the reports' model versions; default all.
            shortfall: When an anchor has too few: ``"fill"`` from the background (default), ``"short"``, ``"error"``,
                or ``"fill_unscored"``. Every filter holds for every negative: samples of the background without a score
                for the anchor are not served under a filter by score, margin, rank, age or version, and the anchor gets
                fewer, unless ``"fill_unscored"`` asks for them (``filtered.unscored_passed`` counts these).
            exclude_ids: Ids that are never served, for any anchor; at most 65,536.
            seed: 0 to 2^64-1; the same seed on the same state gives the same negatives. Default random.
            fields: Columns wanted beside the ids, or ``"all"``. Default: scores, inclusion_probabilities, sources.
            timeout: Seconds; default the client's.

        Raises:
            FailedPrecondition: An anchor has too few negatives, with ``shortfall="error"``, or the pool is flat.

        Example:
            >>> mined = pool.mine_negatives(query_ids, 7, strategy="top", relative_margin=0.05)
            >>> ids, mask = mined.dense()  # (n, 7) each
            >>> per_query = pool.mine_negatives(query_ids, 3 * positives_of_query, hard_margin=0.2)
        """
        anchor_ids = _columns.normalize_ids(anchors, name="anchors")
        each = _numbers_per_anchor(num_negatives, len(anchor_ids))
        check_uint(64, seed=options.get("seed"))
        request = mining_service_pb2.MineNegativesRequest(
            pool=self._resource,
            pool_uid=self.uid,
            anchors=_columns.encode_ids(anchor_ids),
            num_negatives=each if isinstance(each, int) else 0,
            num_negatives_per_anchor=[] if isinstance(each, int) else each,
            policy=dataclass_from(NegativePolicy, options).to_proto(),
            exclude_ids=exclude_ids_to_proto(options.get("exclude_ids")),
            seed=options.get("seed"),
            encoding=columns_pb2.COLUMN_ENCODING_LITTLE_ENDIAN,
        )
        select_fields(request, options.get("fields"), get_args(NegativeField))
        answer = self._transport.call("mining", "MineNegatives", request, timeout=options.get("timeout"))
        return MinedNegatives.from_proto(answer, each if isinstance(each, int) else max(each, default=0))

    def add_positives(
        self,
        anchors: IdsLike,
        positives: IdsLike,
        scores: FloatsLike | None = None,
        *,
        model_version: int = 0,
        timeout: float | None = None,
    ) -> PairCounts:
        """Names known positives of anchors, which are never served as their negatives.

        Args:
            anchors: Shape (n,); an anchor may be in several rows. More than 65,536 rows are sent in several calls.
            positives: The positive of each row.
            scores: The score of each positive, NaN where unknown. The last score of a positive replaces earlier ones;
                margins use the lowest of an anchor (the highest where lower is harder).
            model_version: Version of the model that computed the scores.
            timeout: Seconds a call.

        Raises:
            PairsRefused: The pool has no room for some of them; the error names the rows. It has taken all others.

        Example:
            >>> pool.add_positives([1, 1, 2], [10, 11, 20], scores=[0.9, 0.8, 0.95])
        """
        results = _PairResults()
        anchor_ids, positive_ids = _pair_columns(anchors, positives, "positives")
        values = None if scores is None else _columns.normalize_floats(scores, len(anchor_ids))
        for rows in _columns.row_slices(len(anchor_ids)):
            request = mining_service_pb2.AddPositivesRequest(
                pool=self._resource,
                pool_uid=self.uid,
                anchors=_columns.encode_ids(anchor_ids[rows]),
                positives=_columns.encode_ids(positive_ids[rows]),
                scores=None if values is None else _columns.encode_floats(values[rows], nan_is_absent=True),
                model_version=model_version,
            )
            results.add(self._transport.call("mining", "AddPositives", request, timeout=timeout), rows.start)
        return results.counts()

    def reject_negatives(self, anchors: IdsLike, negatives: IdsLike, *, timeout: float | None = None) -> PairCounts:
        """Vetoes negatives of anchors, as judged by a cross-encoder or a person. They are never served for them again.

        Args:
            anchors: Shape (n,); an anchor may be in several rows. More than 65,536 rows are sent in several calls.
            negatives: The vetoed negative of each row.
            timeout: Seconds a call.

        Raises:
            PairsRefused: As in `add_positives`.

        Example:
            >>> mined = pool.mine_negatives(queries, 7)
            >>> anchor_of_row = np.repeat(queries, mined.counts)
            >>> false = cross_encoder(anchor_of_row, mined.ids) > 0.5
            >>> pool.reject_negatives(anchor_of_row[false], mined.ids[false])
        """
        results = _PairResults()
        anchor_ids, negative_ids = _pair_columns(anchors, negatives, "negatives")
        for rows in _columns.row_slices(len(anchor_ids)):
            request = mining_service_pb2.RejectNegativesRequest(
                pool=self._resource,
                pool_uid=self.uid,
                anchors=_columns.encode_ids(anchor_ids[rows]),
                negatives=_columns.encode_ids(negative_ids[rows]),
            )
            results.add(self._transport.call("mining", "RejectNegatives", request, timeout=timeout), rows.start)
        return results.counts()


def _numbers_per_anchor(num_negatives: int | IntsLike, anchors: int) -> int | list[int]:
    """The number of negatives of every anchor, or one for each of them.

    Raises:
        ValueError: Numbers that are out of range, or not one per anchor.
    """
    if isinstance(num_negatives, (int, np.integer)):
        if num_negatives < 1:
            raise ValueError("num_negatives must be at least 1")
        return int(num_negatives)
    each = _columns.normalize_numbers(num_negatives, anchors, name="num_negatives", row="anchor")
    return [int(number) for number in each]


def _pair_columns(anchors: IdsLike, samples: IdsLike, name: str) -> tuple[Ids, Ids]:
    """The two columns of pairs; `name` is what errors call the second."""
    anchor_ids = _columns.normalize_ids(anchors, name="anchors")
    return anchor_ids, _columns.normalize_row_ids(samples, len(anchor_ids), name=name, row="anchor")


class _PairResults:
    """Sums what became of the pairs of several calls."""

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
