"""What `Pool.watch` yields: the activity of a pool."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from ._messages import dataclass_of, datetime_of, optional_of
from ._pool_stats import PoolStats
from ._proto import activity_pb2, pool_service_pb2


@dataclass(frozen=True)
class LatencyPercentiles:
    """Latencies in seconds: half of the calls were faster than `p50`, 99 in 100 faster than `p99`."""

    p50: float
    p99: float

    @classmethod
    def from_proto(cls, message: activity_pb2.LatencyPercentiles) -> LatencyPercentiles:
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class ActivityTick:
    """About a second in the life of a pool.

    Attributes:
        time: The end of the tick, in UTC.
        seconds: Its length.
        reported_rows: Rows of accepted batches.
        reported_batches: Accepted batches.
        mined_batches: Mined batches.
        served_hard: Samples served from the hard store.
        served_background: Samples served from the background.
        evicted: Samples that harder ones pushed out.
        hard: Samples in the hard store at its end.
        floor_log2: Lowest priority in a full hard store at its end.
        report: Latencies of reported batches; None without any.
        mine: Latencies of mined batches, without waits; None when none was mined.
    """

    time: datetime.datetime
    seconds: float
    reported_rows: int
    reported_batches: int
    mined_batches: int
    served_hard: int
    served_background: int
    evicted: int
    hard: int
    floor_log2: float | None
    report: LatencyPercentiles | None
    mine: LatencyPercentiles | None

    @classmethod
    def from_proto(cls, message: activity_pb2.ActivityTick) -> ActivityTick:
        return dataclass_of(
            cls,
            message,
            time=datetime_of(message.time),
            report=optional_of(LatencyPercentiles.from_proto, message, "report"),
            mine=optional_of(LatencyPercentiles.from_proto, message, "mine"),
        )


@dataclass(frozen=True)
class SampleHistogram:
    """Samples stored beside samples served: bar i is between ``bounds[i]`` and ``bounds[i + 1]``."""

    bounds: tuple[float, ...]
    stored: tuple[int, ...]
    served: tuple[int, ...]

    @classmethod
    def from_proto(cls, message: activity_pb2.SampleHistogram) -> SampleHistogram:
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class VersionCount:
    """Samples of one model version: of the hard store, and served lately."""

    version: int
    stored: int
    served: int


@dataclass(frozen=True)
class WorkerActivity:
    """The latest process of a reporting worker; `rows_per_second` is its present rate."""

    worker_id: str
    silent_seconds: float
    rows_per_second: float
    rows: int
    batches: int
    step: int
    model_version: int


@dataclass(frozen=True)
class HardSample:
    """A sample of the hard store; `id` is its string key in a pool of strings."""

    id: int | str
    score: float
    weight_log2: float
    age: float
    serves: int
    model_version: int


@dataclass(frozen=True)
class NoiseSuspect:
    """A sample that stays among the hardest through fresh scores: look at its label.

    Attributes:
        id: Its id, or its string key.
        score: Raw score now.
        reports: Fresh scores seen while it stayed among the hardest.
        looks: Checks, about one a second, that found it among the hardest.
    """

    id: int | str
    score: float
    reports: int
    looks: int


@dataclass(frozen=True)
class PoolActivity:
    """What a pool is doing. Statistics of samples come from some thousand of them, drawn uniformly.

    Attributes:
        ticks: Oldest first: the last five minutes in the first answer, in each later one those since the last answer.
        stored_samples: Samples of the hard store from which the histograms are made.
        served_samples: The last samples served, from which the histograms are made.
        scores: Histogram of raw scores.
        ages: Histogram of seconds, or steps, since the report.
        serves: Histogram of serves since the report.
        versions: Samples of the newest eight model versions.
        workers: Workers that reported in the last five minutes; at most 64.
        worker_count: Number of workers that reported in the last five minutes.
        hardest: The 32 hardest samples.
        suspects: Samples that stay among the hardest; at most 16.
    """

    ticks: tuple[ActivityTick, ...]
    stored_samples: int
    served_samples: int
    scores: SampleHistogram
    ages: SampleHistogram
    serves: SampleHistogram
    versions: tuple[VersionCount, ...]
    workers: tuple[WorkerActivity, ...]
    worker_count: int
    hardest: tuple[HardSample, ...]
    suspects: tuple[NoiseSuspect, ...]

    @classmethod
    def from_proto(cls, message: activity_pb2.PoolActivity) -> PoolActivity:
        return dataclass_of(
            cls,
            message,
            ticks=tuple(map(ActivityTick.from_proto, message.ticks)),
            scores=SampleHistogram.from_proto(message.scores),
            ages=SampleHistogram.from_proto(message.ages),
            serves=SampleHistogram.from_proto(message.serves),
            versions=tuple(dataclass_of(VersionCount, version) for version in message.versions),
            workers=tuple(dataclass_of(WorkerActivity, worker) for worker in message.workers),
            hardest=tuple(dataclass_of(HardSample, one, id=one.name or one.id) for one in message.hardest),
            suspects=tuple(dataclass_of(NoiseSuspect, one, id=one.name or one.id) for one in message.suspects),
        )


@dataclass(frozen=True)
class PoolView:
    """A pool at one moment: its statistics, and what it is doing."""

    stats: PoolStats
    activity: PoolActivity

    @classmethod
    def from_proto(cls, message: pool_service_pb2.WatchPoolStatsResponse) -> PoolView:
        return cls(PoolStats.from_proto(message.stats), PoolActivity.from_proto(message.activity))
