"""The part of a pool's handle that serves anchored pools: negatives, known positives and vetoes of anchors."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import numpy as np
from typing_extensions import Unpack

from . import _columns
from ._checks import check_uint
from ._columns import FloatsLike, Ids, IdsLike
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
    """What `Pool` can do with anchors: a pool made with ``anchored=hardneg.Anchored(...)``."""

    @takes(MineNegativesOptions)
    def mine_negatives(
        self,
        anchors: IdsLike,
        num_negatives: int,
        **options: Unpack[MineNegativesOptions],
    ) -> MinedNegatives:
        """Mines negatives for each of many anchors.

        An option that is not given, or None, takes the pool's default, and then the service's.

        Args:
            anchors: Integers or strings, shape (n,), at most 65,536; one named twice gets two independent draws.
            num_negatives: Wanted for each, 1 to 1,024; n times this is at most 1,048,576.
            strategy: ``"top"`` (default), ``"random"``, ``"proportional"``, ``"semi_hard"`` or
                ``"distance_weighted"``.
            alpha: Exponent of ``"proportional"``; default 1.
            random_fraction: Share drawn from the background, the ids reported for any anchor; default 0.
            range_min: Skip so many of the hardest that the filters left; default 0.
            range_max: Consider only the hardest so many; default all.
            min_score: Score at least this.
            max_score: Score at most this.
            absolute_margin: Score at most the positive's less this (lower_is_harder: at least, plus).
            relative_margin: The same with a share of the positive's score, as 0.05.
            semi_hard_margin: With ``"semi_hard"``: how far from the positive; required there.
            distance_weighting: With ``"distance_weighted"``; required there.
            max_per_group: The most of one group among an anchor's negatives; default 0, no limit.
            age: Window of the reports' ages, in seconds, or in steps where the pool ages by steps.
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
        check_uint(64, seed=options.get("seed"))
        request = mining_service_pb2.MineNegativesRequest(
            pool=self._resource,
            pool_uid=self.uid,
            anchors=_columns.encode_ids(_columns.normalize_ids(anchors, name="anchors")),
            num_negatives=num_negatives,
            policy=dataclass_from(NegativePolicy, options).to_proto(),
            exclude_ids=exclude_ids_to_proto(options.get("exclude_ids")),
            seed=options.get("seed"),
            encoding=columns_pb2.COLUMN_ENCODING_LITTLE_ENDIAN,
        )
        select_fields(request, options.get("fields"), get_args(NegativeField))
        answer = self._transport.call("mining", "MineNegatives", request, timeout=options.get("timeout"))
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
