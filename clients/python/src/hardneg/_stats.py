"""Figures of a pool that are messages of their own: filters, flow, bias, anchors."""

from __future__ import annotations

from dataclasses import dataclass

from ._proto import pool_pb2


@dataclass(frozen=True)
class FilterCounts:
    """Candidates that each filter turned away, in the order in which they are applied; one counts once, at the first.

    Attributes:
        excluded: `exclude_ids`.
        known_positives: Known positives of the anchor.
        vetoed: Vetoed for the anchor.
        leased: Under a lease.
        max_serves: Served `max_serves` times.
        model_version: Window of model versions.
        age: Window of ages.
        score: Window of scores.
        positive_aware: Positive-aware margins, and the window of SEMI_HARD.
        rank: Rank and quantile windows.
        stratum: A stratum was full.
        group: A group was full.
        unscored_passed: Background negatives that a score filter passed, having no score; turned away by none.
    """

    excluded: int = 0
    known_positives: int = 0
    vetoed: int = 0
    leased: int = 0
    max_serves: int = 0
    model_version: int = 0
    age: int = 0
    score: int = 0
    positive_aware: int = 0
    rank: int = 0
    stratum: int = 0
    group: int = 0
    unscored_passed: int = 0

    @classmethod
    def from_proto(cls, message: pool_pb2.FilterCounts) -> FilterCounts:
        """From the message."""
        return cls(**{name: getattr(message, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class FlowStats:
    """How the flow of a pool went.

    Attributes:
        balance: reported x mined_per_reported - mined now, samples.
        report_waits: Reports that waited.
        report_timeouts: Reports refused at the end of their wait.
        mine_waits: Mines that waited.
        mine_timeouts: Mines that got a partial batch at the end of their wait.
    """

    balance: float = 0.0
    report_waits: int = 0
    report_timeouts: int = 0
    mine_waits: int = 0
    mine_timeouts: int = 0

    @classmethod
    def from_proto(cls, message: pool_pb2.FlowStats) -> FlowStats:
        """From the message."""
        return cls(**{name: getattr(message, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class StratumShare:
    """One stratum: its share of the distinct samples reported, and of what was served."""

    stratum: int
    reported: float
    served: float


@dataclass(frozen=True)
class BiasFigures:
    """What the bias of mining looks like, over the batches mined lately.

    Attributes:
        strata: By share of what is reported: the 64 largest.
        strata_total_variation: Served against reported distribution: half the sum of |difference|, 0 to 1.
        strata_kl: KL(served || reported), nats.
        serves_gini: Of serves over the samples of the hard store, 0 (alike) to 1 (one has all).
        effective_sample_share: Effective sample size over batch size, its mean over batches with weights.
        lift: (mean score served - mean of the background) / standard deviation of the background.
        served_age_quantiles: 0.5, 0.9 and 0.99, seconds or steps.
        served_score_quantiles: 0.01, 0.1, 0.5, 0.9 and 0.99.
        background_score_quantiles: The same of the background.
    """

    strata: tuple[StratumShare, ...] = ()
    strata_total_variation: float = 0.0
    strata_kl: float = 0.0
    serves_gini: float = 0.0
    effective_sample_share: float = 0.0
    lift: float = 0.0
    served_age_quantiles: tuple[float, ...] = ()
    served_score_quantiles: tuple[float, ...] = ()
    background_score_quantiles: tuple[float, ...] = ()

    @classmethod
    def from_proto(cls, message: pool_pb2.BiasFigures) -> BiasFigures:
        """From the message."""
        return cls(
            strata=tuple(StratumShare(share.stratum, share.reported, share.served) for share in message.strata),
            strata_total_variation=message.strata_total_variation,
            strata_kl=message.strata_kl,
            serves_gini=message.serves_gini,
            effective_sample_share=message.effective_sample_share,
            lift=message.lift,
            served_age_quantiles=tuple(message.served_age_quantiles),
            served_score_quantiles=tuple(message.served_score_quantiles),
            background_score_quantiles=tuple(message.background_score_quantiles),
        )


@dataclass(frozen=True)
class AnchoredStats:
    """What an anchored pool holds, over all anchors.

    Attributes:
        anchors: Anchors.
        negatives: Their negatives.
        positives: Their known positives.
        vetoes: Their vetoes.
        anchors_refused: Rows dropped because their anchor was one too many.
        pairs_refused: Known positives and vetoes that were not remembered, because a limit was reached.
    """

    anchors: int = 0
    negatives: int = 0
    positives: int = 0
    vetoes: int = 0
    anchors_refused: int = 0
    pairs_refused: int = 0

    @classmethod
    def from_proto(cls, message: pool_pb2.AnchoredStats) -> AnchoredStats:
        """From the message."""
        return cls(**{name: getattr(message, name) for name in cls.__dataclass_fields__})
