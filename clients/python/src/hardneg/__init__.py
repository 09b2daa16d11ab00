"""hardneg: hard negatives for distributed training, over gRPC.

import hardneg

with hardneg.Client("localhost:50051") as client:
    pool = client.create_pool("faces", capacity=100_000, half_life=hardneg.Steps(500))
    with pool.score_stream(worker_id="rank-0") as stream:
        stream.report(ids, losses, step=1)
    batch = pool.mine(256, random_fraction=0.25)
    loss = (batch.importance_weights * per_sample_loss(batch.ids)).mean()
"""

from ._acks import Ack, Rejection, ReportCounts, StreamStats
from ._activity import (
    ActivityTick,
    HardSample,
    LatencyPercentiles,
    NoiseSuspect,
    PoolActivity,
    PoolView,
    SampleHistogram,
    VersionCount,
    WorkerActivity,
)
from ._anchored_spec import Anchored
from ._balance import Balance
from ._batch_stream import BatchStream
from ._client import Client
from ._curriculum import Curriculum, Schedule, linear, sqrt
from ._durations import NEVER, OFF, ScorePerSecond, ScorePerStep, Steps
from ._enums import (
    AckStatus,
    Approximation,
    Durability,
    Estimand,
    HardnessFunction,
    IdKind,
    NegativeStrategy,
    Normalization,
    SamplePlace,
    ScheduleShape,
    ScoreUpdate,
    Shortfall,
    Source,
    Strategy,
)
from ._errors import (
    Aborted,
    AlreadyExists,
    BatchesRejected,
    DeadlineExceeded,
    FailedPrecondition,
    HardnegError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    QueueFull,
    ResourceExhausted,
    RunEnded,
    RunMissing,
    StaleScores,
    StepBehind,
    StreamClosed,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from ._flow import Flow
from ._mine_request import MineOptions
from ._mined_batch import MinedBatch
from ._mined_negatives import AnchorNegatives, MinedNegatives
from ._mining_policy import MiningPolicy, Wait
from ._negative_policy import DistanceWeighting, NegativePolicy
from ._negative_ratio import NegativeRatio
from ._pairs import PairCounts, PairsRefused, ReachedLimit
from ._pool import Pool
from ._pool_negatives import MineNegativesOptions
from ._pool_spec import LivePoolOptions, PoolInfo, PoolOptions
from ._pool_stats import AnchoredStats, BiasFigures, FilterCounts, FlowStats, PoolSizes, PoolStats, StratumShare
from ._quarantine import Quarantine
from ._report_rows import ReportColumns
from ._rounds import Round
from ._runs import Run, run_id_from_env
from ._samples import BlockCounts, QuarantinedSample, ReleaseCounts, Sample, SetAsideCounts
from ._score_stream import ScoreStream
from ._selection import Selection
from ._windows import AgeWindow, QuantileWindow, RankWindow, ScoreWindow, VersionWindow

__version__ = "0.1.0"

__all__ = [
    "Aborted",
    "Ack",
    "AckStatus",
    "ActivityTick",
    "AgeWindow",
    "AlreadyExists",
    "AnchorNegatives",
    "Anchored",
    "AnchoredStats",
    "Approximation",
    "Balance",
    "BatchStream",
    "BatchesRejected",
    "BiasFigures",
    "BlockCounts",
    "Client",
    "Curriculum",
    "DeadlineExceeded",
    "DistanceWeighting",
    "Durability",
    "Estimand",
    "FailedPrecondition",
    "FilterCounts",
    "Flow",
    "FlowStats",
    "HardSample",
    "HardnegError",
    "HardnessFunction",
    "IdKind",
    "InvalidArgument",
    "LatencyPercentiles",
    "LivePoolOptions",
    "MineNegativesOptions",
    "MineOptions",
    "MinedBatch",
    "MinedNegatives",
    "MiningPolicy",
    "NEVER",
    "OFF",
    "NegativePolicy",
    "NegativeRatio",
    "NegativeStrategy",
    "NoiseSuspect",
    "Normalization",
    "NotFound",
    "PairCounts",
    "PairsRefused",
    "PermissionDenied",
    "Pool",
    "PoolActivity",
    "PoolInfo",
    "PoolOptions",
    "PoolSizes",
    "PoolStats",
    "PoolView",
    "QuantileWindow",
    "Quarantine",
    "QuarantinedSample",
    "QueueFull",
    "RankWindow",
    "ReachedLimit",
    "Rejection",
    "ReleaseCounts",
    "ReportColumns",
    "ReportCounts",
    "ResourceExhausted",
    "Round",
    "Run",
    "RunEnded",
    "RunMissing",
    "Sample",
    "SampleHistogram",
    "SamplePlace",
    "Schedule",
    "ScheduleShape",
    "ScorePerSecond",
    "ScorePerStep",
    "ScoreStream",
    "ScoreUpdate",
    "ScoreWindow",
    "Selection",
    "SetAsideCounts",
    "Shortfall",
    "Source",
    "StaleScores",
    "StepBehind",
    "Steps",
    "Strategy",
    "StratumShare",
    "StreamClosed",
    "StreamStats",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "VersionCount",
    "VersionWindow",
    "Wait",
    "WorkerActivity",
    "__version__",
    "linear",
    "run_id_from_env",
    "sqrt",
]
