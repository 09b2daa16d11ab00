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
from ._choices import (
    AckStatus,
    Durability,
    Estimand,
    HardnessFunction,
    IdKind,
    Normalization,
    ScoreUpdate,
    Shortfall,
    Source,
    Strategy,
)
from ._client import Client
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
from ._mined import MinedBatch
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
from ._pools import NEVER, PoolInfo, PoolSizes, PoolStats, Steps
from ._reports import Ack, Rejection, ReportCounts, StreamStats
from ._stream import ScoreStream

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
