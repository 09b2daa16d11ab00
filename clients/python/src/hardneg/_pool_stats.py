"""Statistics of a pool, one dataclass for each message of the contract."""

from __future__ import annotations

from dataclasses import dataclass

from ._acks import ReportCounts
from ._messages import dataclass_of, optional_of
from ._proto import pool_pb2
from ._runs import Run


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
        return dataclass_of(cls, message)


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
        return dataclass_of(cls, message)


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
        strata = tuple(dataclass_of(StratumShare, share) for share in message.strata)
        return dataclass_of(cls, message, strata=strata)


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
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class PoolSizes:
    """Sizes of a pool at one moment.

    Attributes:
        hard: Samples in the hard store.
        background: Samples in the serving background.
        distinct: Distinct ids reported, an estimate once they outnumber the background.
        background_probability: Inclusion probability of the background; 1 while it holds every id.
        closed_loop_ratio: How many ids the hard store and the background together stand for, over `distinct`. 1, but
            for chance, where it does not depend on the background who is in the hard store.
        floor_log2: Lowest priority in the hard store, log2; None while there is room.
    """

    hard: int
    background: int
    distinct: float
    background_probability: float
    closed_loop_ratio: float
    floor_log2: float | None

    @classmethod
    def from_proto(cls, message: pool_pb2.PoolSizes) -> PoolSizes:
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class PoolStats:
    """A pool's figures; counters count since it was created. See `PoolStats` in `pool.proto`.

    `clamped` and `floored` are scores whose weights do not tell them apart: beyond 2^±4,096, and below 0 where hardness
    is POWER. `leased`, `quarantined`, `blocked` and `trusted` are samples now, `set_aside` and `released` so far;
    `rounds` were mined, `round_replays` answered from one mined before; `anchored` is None for a flat pool, `run` for
    one that does not age by steps or has had no report. `distinct_by_witness` is the number of ids by witnesses that
    are never served: with a `sample_ttl` the background is not renewed while it is below 9/10 of `sizes.distinct`.
    """

    name: str
    uid: int
    sizes: PoolSizes
    counts: ReportCounts
    reported_rows: int
    reported_batches: int
    rejected_batches: int
    duplicate_batches: int
    evicted: int
    removed: int
    expired: int
    mined_batches: int
    served_hard: int
    served_background: int
    shortfalls: int
    proposals: int
    memory_bytes: int
    run: Run | None
    background_generations: int
    distinct_by_witness: int
    clamped: int
    floored: int
    leased: int
    quarantined: int
    quarantine_overflows: int
    blocked: int
    trusted: int
    set_aside: int
    released: int
    rounds: int
    round_replays: int
    control_batches: int
    filtered: FilterCounts
    flow: FlowStats
    bias: BiasFigures
    anchored: AnchoredStats | None

    @classmethod
    def from_proto(cls, message: pool_pb2.PoolStats) -> PoolStats:
        return dataclass_of(
            cls,
            message,
            name=message.name.removeprefix("pools/"),
            sizes=PoolSizes.from_proto(message.sizes),
            counts=ReportCounts.from_proto(message.counts),
            run=optional_of(Run.from_proto, message, "run"),
            filtered=FilterCounts.from_proto(message.filtered),
            flow=FlowStats.from_proto(message.flow),
            bias=BiasFigures.from_proto(message.bias),
            anchored=optional_of(AnchoredStats.from_proto, message, "anchored"),
        )
