import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2  # type: ignore[import-untyped, unused-ignore]
from . import columns_pb2 as _columns_pb2
from . import policy_pb2 as _policy_pb2
from . import pool_pb2 as _pool_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AckStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACK_STATUS_UNSPECIFIED: _ClassVar[AckStatus]
    ACK_STATUS_APPLIED: _ClassVar[AckStatus]
    ACK_STATUS_DUPLICATE: _ClassVar[AckStatus]
    ACK_STATUS_REJECTED: _ClassVar[AckStatus]

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_HARD: _ClassVar[Source]
    SOURCE_BACKGROUND: _ClassVar[Source]

class Estimand(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ESTIMAND_UNSPECIFIED: _ClassVar[Estimand]
    ESTIMAND_ALL: _ClassVar[Estimand]
    ESTIMAND_HARD_STORE: _ClassVar[Estimand]
    ESTIMAND_ELIGIBLE: _ClassVar[Estimand]
    ESTIMAND_NONE: _ClassVar[Estimand]
    ESTIMAND_APPROXIMATE: _ClassVar[Estimand]
ACK_STATUS_UNSPECIFIED: AckStatus
ACK_STATUS_APPLIED: AckStatus
ACK_STATUS_DUPLICATE: AckStatus
ACK_STATUS_REJECTED: AckStatus
SOURCE_UNSPECIFIED: Source
SOURCE_HARD: Source
SOURCE_BACKGROUND: Source
ESTIMAND_UNSPECIFIED: Estimand
ESTIMAND_ALL: Estimand
ESTIMAND_HARD_STORE: Estimand
ESTIMAND_ELIGIBLE: Estimand
ESTIMAND_NONE: Estimand
ESTIMAND_APPROXIMATE: Estimand

class ScoreBatch(_message.Message):
    __slots__ = ("pool", "pool_uid", "worker_id", "worker_epoch", "sequence", "step", "model_version", "ids", "scores", "payloads", "anchors", "positive_scores", "strata", "groups")
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    ANCHORS_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_SCORES_FIELD_NUMBER: _ClassVar[int]
    STRATA_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    pool_uid: int
    worker_id: str
    worker_epoch: int
    sequence: int
    step: int
    model_version: int
    ids: _columns_pb2.IdColumn
    scores: _columns_pb2.FloatColumn
    payloads: _containers.RepeatedScalarFieldContainer[bytes]
    anchors: _columns_pb2.IdColumn
    positive_scores: _columns_pb2.FloatColumn
    strata: _containers.RepeatedScalarFieldContainer[int]
    groups: _columns_pb2.IdColumn
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., worker_id: _Optional[str] = ..., worker_epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., step: _Optional[int] = ..., model_version: _Optional[int] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., payloads: _Optional[_Iterable[bytes]] = ..., anchors: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., positive_scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., strata: _Optional[_Iterable[int]] = ..., groups: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ...) -> None: ...

class ScoreAck(_message.Message):
    __slots__ = ("sequence", "status", "error", "counts", "floor_log2", "position", "durable_position", "pool_uid")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    FLOOR_LOG2_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DURABLE_POSITION_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    status: AckStatus
    error: _status_pb2.Status
    counts: _pool_pb2.ReportCounts
    floor_log2: float
    position: int
    durable_position: int
    pool_uid: int
    def __init__(self, sequence: _Optional[int] = ..., status: _Optional[_Union[AckStatus, str]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping[str, object]]] = ..., counts: _Optional[_Union[_pool_pb2.ReportCounts, _Mapping[str, object]]] = ..., floor_log2: _Optional[float] = ..., position: _Optional[int] = ..., durable_position: _Optional[int] = ..., pool_uid: _Optional[int] = ...) -> None: ...

class StreamScoresRequest(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: ScoreBatch
    def __init__(self, batch: _Optional[_Union[ScoreBatch, _Mapping[str, object]]] = ...) -> None: ...

class StreamScoresResponse(_message.Message):
    __slots__ = ("ack",)
    ACK_FIELD_NUMBER: _ClassVar[int]
    ack: ScoreAck
    def __init__(self, ack: _Optional[_Union[ScoreAck, _Mapping[str, object]]] = ...) -> None: ...

class ReportScoresRequest(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: ScoreBatch
    def __init__(self, batch: _Optional[_Union[ScoreBatch, _Mapping[str, object]]] = ...) -> None: ...

class ReportScoresResponse(_message.Message):
    __slots__ = ("ack",)
    ACK_FIELD_NUMBER: _ClassVar[int]
    ack: ScoreAck
    def __init__(self, ack: _Optional[_Union[ScoreAck, _Mapping[str, object]]] = ...) -> None: ...

class MineBatchRequest(_message.Message):
    __slots__ = ("pool", "pool_uid", "batch_size", "policy", "exclude_ids", "seed", "wait", "encoding", "fields", "request_id", "dry_run", "lease", "round")
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_IDS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    pool: str
    pool_uid: int
    batch_size: int
    policy: _policy_pb2.MiningPolicy
    exclude_ids: _columns_pb2.IdColumn
    seed: int
    wait: Wait
    encoding: _columns_pb2.ColumnEncoding
    fields: BatchFields
    request_id: str
    dry_run: bool
    lease: _duration_pb2.Duration
    round: Round
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., batch_size: _Optional[int] = ..., policy: _Optional[_Union[_policy_pb2.MiningPolicy, _Mapping[str, object]]] = ..., exclude_ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., seed: _Optional[int] = ..., wait: _Optional[_Union[Wait, _Mapping[str, object]]] = ..., encoding: _Optional[_Union[_columns_pb2.ColumnEncoding, str]] = ..., fields: _Optional[_Union[BatchFields, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ..., dry_run: bool = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ..., round: _Optional[_Union[Round, _Mapping[str, object]]] = ...) -> None: ...

class BatchFields(_message.Message):
    __slots__ = ("scores", "importance_weights", "inclusion_probabilities", "sources", "ages", "model_versions", "serves", "payloads")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    AGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    scores: bool
    importance_weights: bool
    inclusion_probabilities: bool
    sources: bool
    ages: bool
    model_versions: bool
    serves: bool
    payloads: bool
    def __init__(self, scores: bool = ..., importance_weights: bool = ..., inclusion_probabilities: bool = ..., sources: bool = ..., ages: bool = ..., model_versions: bool = ..., serves: bool = ..., payloads: bool = ...) -> None: ...

class Wait(_message.Message):
    __slots__ = ("min_size", "timeout")
    MIN_SIZE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    min_size: int
    timeout: _duration_pb2.Duration
    def __init__(self, min_size: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("number", "rank", "world_size")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    number: int
    rank: int
    world_size: int
    def __init__(self, number: _Optional[int] = ..., rank: _Optional[int] = ..., world_size: _Optional[int] = ...) -> None: ...

class MinedBatch(_message.Message):
    __slots__ = ("ids", "scores", "importance_weights", "inclusion_probabilities", "sources", "ages", "model_versions", "serves", "payloads", "estimand", "policy", "seed", "hard_count", "background_count", "realized_random_fraction", "shortfall_count", "timed_out", "sizes", "pool_uid", "position", "round")
    IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    AGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    ESTIMAND_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    HARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_COUNT_FIELD_NUMBER: _ClassVar[int]
    REALIZED_RANDOM_FRACTION_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ids: _columns_pb2.IdColumn
    scores: _columns_pb2.FloatColumn
    importance_weights: _columns_pb2.FloatColumn
    inclusion_probabilities: _columns_pb2.FloatColumn
    sources: bytes
    ages: _columns_pb2.FloatColumn
    model_versions: _containers.RepeatedScalarFieldContainer[int]
    serves: _containers.RepeatedScalarFieldContainer[int]
    payloads: _containers.RepeatedScalarFieldContainer[bytes]
    estimand: Estimand
    policy: _policy_pb2.MiningPolicy
    seed: int
    hard_count: int
    background_count: int
    realized_random_fraction: float
    shortfall_count: int
    timed_out: bool
    sizes: _pool_pb2.PoolSizes
    pool_uid: int
    position: int
    round: Round
    def __init__(self, ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., importance_weights: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., inclusion_probabilities: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., sources: _Optional[bytes] = ..., ages: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., model_versions: _Optional[_Iterable[int]] = ..., serves: _Optional[_Iterable[int]] = ..., payloads: _Optional[_Iterable[bytes]] = ..., estimand: _Optional[_Union[Estimand, str]] = ..., policy: _Optional[_Union[_policy_pb2.MiningPolicy, _Mapping[str, object]]] = ..., seed: _Optional[int] = ..., hard_count: _Optional[int] = ..., background_count: _Optional[int] = ..., realized_random_fraction: _Optional[float] = ..., shortfall_count: _Optional[int] = ..., timed_out: bool = ..., sizes: _Optional[_Union[_pool_pb2.PoolSizes, _Mapping[str, object]]] = ..., pool_uid: _Optional[int] = ..., position: _Optional[int] = ..., round: _Optional[_Union[Round, _Mapping[str, object]]] = ...) -> None: ...

class MineBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: MinedBatch
    def __init__(self, batch: _Optional[_Union[MinedBatch, _Mapping[str, object]]] = ...) -> None: ...

class StreamBatchesRequest(_message.Message):
    __slots__ = ("start", "credits")
    START_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    start: StreamBatchesStart
    credits: int
    def __init__(self, start: _Optional[_Union[StreamBatchesStart, _Mapping[str, object]]] = ..., credits: _Optional[int] = ...) -> None: ...

class StreamBatchesStart(_message.Message):
    __slots__ = ("request", "max_outstanding")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTSTANDING_FIELD_NUMBER: _ClassVar[int]
    request: MineBatchRequest
    max_outstanding: int
    def __init__(self, request: _Optional[_Union[MineBatchRequest, _Mapping[str, object]]] = ..., max_outstanding: _Optional[int] = ...) -> None: ...

class StreamBatchesResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: MinedBatch
    def __init__(self, batch: _Optional[_Union[MinedBatch, _Mapping[str, object]]] = ...) -> None: ...

class RemoveSamplesRequest(_message.Message):
    __slots__ = ("pool", "pool_uid", "ids")
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    pool_uid: int
    ids: _columns_pb2.IdColumn
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ...) -> None: ...

class RemoveSamplesResponse(_message.Message):
    __slots__ = ("removed_count", "position")
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    removed_count: int
    position: int
    def __init__(self, removed_count: _Optional[int] = ..., position: _Optional[int] = ...) -> None: ...
