"""hardneg: hard negatives for distributed training, over gRPC.

import hardneg

with hardneg.Client("localhost:50051") as client:
    pool = client.create_pool("faces", capacity=100_000, half_life=hardneg.Steps(500))
    with pool.score_stream(worker_id="rank-0") as stream:
        stream.report(ids, losses, step=1)
    batch = pool.mine(256, random_fraction=0.25)
    loss = (batch.importance_weights * per_sample_loss(batch.ids)).mean()
"""

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
from ._anchored import PairCounts, PairsRefused, ReachedLimit
from ._anchors import Anchored, DistanceWeighting, NegativePolicy
from ._balance import Balance
from ._batches import BatchStream
from ._choices import (
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
from ._client import Client
from ._curriculum import Curriculum, Schedule, linear, sqrt
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
from ._mined import MinedBatch
from ._negatives import AnchorNegatives, MinedNegatives
from ._policy import (
    AgeWindow,
    MiningPolicy,
    QuantileWindow,
    RankWindow,
    ScoreWindow,
    VersionWindow,
    Wait,
)
from ._pool import Pool
from ._pools import NEVER, OFF, PoolInfo, PoolSizes, PoolStats, Steps
from ._quarantine import BlockCounts, Quarantine, QuarantinedSample, ReleaseCounts, Sample, SetAsideCounts
from ._reports import Ack, Rejection, ReportCounts, StreamStats
from ._rounds import NegativeRatio, Round
from ._runs import Run, run_id_from_env
from ._stats import AnchoredStats, BiasFigures, FilterCounts, FlowStats, StratumShare
from ._stream import ScoreStream

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
    "ScoreStream",
    "ScoreUpdate",
    "ScoreWindow",
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
