"""hardneg: hard negatives for distributed training, over gRPC.

import hardneg

with hardneg.Client("localhost:50051") as client:
    pool = client.create_pool("faces", capacity=100_000, half_life=hardneg.Steps(500))
    with pool.score_stream(worker_id="rank-0") as stream:
        stream.report(ids, losses, step=1)
    batch = pool.mine(256, random_fraction=0.25)
    loss = (batch.importance_weights * per_sample_loss(batch.ids)).mean()
"""

from ._batches import BatchStream
from ._client import Client, Pool
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
    StreamClosed,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from ._stream import ScoreStream
from ._types import (
    NEVER,
    Ack,
    AckStatus,
    AgeWindow,
    Durability,
    Estimand,
    HardnessFunction,
    IdKind,
    MinedBatch,
    MiningPolicy,
    Normalization,
    PoolInfo,
    PoolSizes,
    PoolStats,
    QuantileWindow,
    RankWindow,
    Rejection,
    ReportCounts,
    ScoreUpdate,
    ScoreWindow,
    Shortfall,
    Source,
    Steps,
    Strategy,
    StreamStats,
    VersionWindow,
    Wait,
)

__version__ = "0.1.0"

__all__ = [
    "NEVER",
    "Aborted",
    "Ack",
    "AckStatus",
    "AgeWindow",
    "AlreadyExists",
    "BatchStream",
    "BatchesRejected",
    "Client",
    "DeadlineExceeded",
    "Durability",
    "Estimand",
    "FailedPrecondition",
    "HardnegError",
    "HardnessFunction",
    "IdKind",
    "InvalidArgument",
    "MinedBatch",
    "MiningPolicy",
    "Normalization",
    "NotFound",
    "PermissionDenied",
    "Pool",
    "PoolInfo",
    "PoolSizes",
    "PoolStats",
    "QuantileWindow",
    "QueueFull",
    "RankWindow",
    "Rejection",
    "ReportCounts",
    "ResourceExhausted",
    "ScoreStream",
    "ScoreUpdate",
    "ScoreWindow",
    "Shortfall",
    "Source",
    "Steps",
    "Strategy",
    "StreamClosed",
    "StreamStats",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "VersionWindow",
    "Wait",
    "__version__",
]
