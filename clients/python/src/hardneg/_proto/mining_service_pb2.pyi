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
    ACK_STATUS_STALE: _ClassVar[AckStatus]

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

class Approximation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPROXIMATION_UNSPECIFIED: _ClassVar[Approximation]
    APPROXIMATION_SCAN_LIMIT: _ClassVar[Approximation]
    APPROXIMATION_CLOSED_LOOP: _ClassVar[Approximation]

class SamplePlace(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAMPLE_PLACE_UNSPECIFIED: _ClassVar[SamplePlace]
    SAMPLE_PLACE_HARD: _ClassVar[SamplePlace]
    SAMPLE_PLACE_BACKGROUND: _ClassVar[SamplePlace]
    SAMPLE_PLACE_QUARANTINE: _ClassVar[SamplePlace]
    SAMPLE_PLACE_NOWHERE: _ClassVar[SamplePlace]
    SAMPLE_PLACE_BLOCKED: _ClassVar[SamplePlace]

class NegativeStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NEGATIVE_STRATEGY_UNSPECIFIED: _ClassVar[NegativeStrategy]
    NEGATIVE_STRATEGY_TOP: _ClassVar[NegativeStrategy]
    NEGATIVE_STRATEGY_RANDOM: _ClassVar[NegativeStrategy]
    NEGATIVE_STRATEGY_PROPORTIONAL: _ClassVar[NegativeStrategy]
    NEGATIVE_STRATEGY_SEMI_HARD: _ClassVar[NegativeStrategy]
    NEGATIVE_STRATEGY_DISTANCE_WEIGHTED: _ClassVar[NegativeStrategy]
ACK_STATUS_UNSPECIFIED: AckStatus
ACK_STATUS_APPLIED: AckStatus
ACK_STATUS_DUPLICATE: AckStatus
ACK_STATUS_REJECTED: AckStatus
ACK_STATUS_STALE: AckStatus
SOURCE_UNSPECIFIED: Source
SOURCE_HARD: Source
SOURCE_BACKGROUND: Source
ESTIMAND_UNSPECIFIED: Estimand
ESTIMAND_ALL: Estimand
ESTIMAND_HARD_STORE: Estimand
ESTIMAND_ELIGIBLE: Estimand
ESTIMAND_NONE: Estimand
ESTIMAND_APPROXIMATE: Estimand
APPROXIMATION_UNSPECIFIED: Approximation
APPROXIMATION_SCAN_LIMIT: Approximation
APPROXIMATION_CLOSED_LOOP: Approximation
SAMPLE_PLACE_UNSPECIFIED: SamplePlace
SAMPLE_PLACE_HARD: SamplePlace
SAMPLE_PLACE_BACKGROUND: SamplePlace
SAMPLE_PLACE_QUARANTINE: SamplePlace
SAMPLE_PLACE_NOWHERE: SamplePlace
SAMPLE_PLACE_BLOCKED: SamplePlace
NEGATIVE_STRATEGY_UNSPECIFIED: NegativeStrategy
NEGATIVE_STRATEGY_TOP: NegativeStrategy
NEGATIVE_STRATEGY_RANDOM: NegativeStrategy
NEGATIVE_STRATEGY_PROPORTIONAL: NegativeStrategy
NEGATIVE_STRATEGY_SEMI_HARD: NegativeStrategy
NEGATIVE_STRATEGY_DISTANCE_WEIGHTED: NegativeStrategy

class ScoreBatch(_message.Message):
    __slots__ = ("pool", "pool_uid", "worker_id", "worker_epoch", "sequence", "step", "model_version", "ids", "scores", "payloads", "anchors", "positive_scores", "strata", "groups", "reference_scores", "labels", "anchor_labels", "run_id")
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
    REFERENCE_SCORES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_LABELS_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
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
    reference_scores: _columns_pb2.FloatColumn
    labels: _containers.RepeatedScalarFieldContainer[int]
    anchor_labels: _containers.RepeatedScalarFieldContainer[int]
    run_id: str
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., worker_id: _Optional[str] = ..., worker_epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., step: _Optional[int] = ..., model_version: _Optional[int] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., payloads: _Optional[_Iterable[bytes]] = ..., anchors: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., positive_scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., strata: _Optional[_Iterable[int]] = ..., groups: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., reference_scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., labels: _Optional[_Iterable[int]] = ..., anchor_labels: _Optional[_Iterable[int]] = ..., run_id: _Optional[str] = ...) -> None: ...

class ScoreAck(_message.Message):
    __slots__ = ("sequence", "status", "error", "counts", "floor_log2", "position", "durable_position", "pool_uid", "clamped", "floored")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    FLOOR_LOG2_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DURABLE_POSITION_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    CLAMPED_FIELD_NUMBER: _ClassVar[int]
    FLOORED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    status: AckStatus
    error: _status_pb2.Status
    counts: _pool_pb2.ReportCounts
    floor_log2: float
    position: _pool_pb2.Position
    durable_position: _pool_pb2.Position
    pool_uid: int
    clamped: int
    floored: int
    def __init__(self, sequence: _Optional[int] = ..., status: _Optional[_Union[AckStatus, str]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping[str, object]]] = ..., counts: _Optional[_Union[_pool_pb2.ReportCounts, _Mapping[str, object]]] = ..., floor_log2: _Optional[float] = ..., position: _Optional[_Union[_pool_pb2.Position, _Mapping[str, object]]] = ..., durable_position: _Optional[_Union[_pool_pb2.Position, _Mapping[str, object]]] = ..., pool_uid: _Optional[int] = ..., clamped: _Optional[int] = ..., floored: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("pool", "pool_uid", "batch_size", "policy", "exclude_ids", "seed", "wait", "encoding", "fields", "request_id", "dry_run", "lease", "round", "step", "negative_ratio")
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
    STEP_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_RATIO_FIELD_NUMBER: _ClassVar[int]
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
    step: int
    negative_ratio: NegativeRatio
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., batch_size: _Optional[int] = ..., policy: _Optional[_Union[_policy_pb2.MiningPolicy, _Mapping[str, object]]] = ..., exclude_ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., seed: _Optional[int] = ..., wait: _Optional[_Union[Wait, _Mapping[str, object]]] = ..., encoding: _Optional[_Union[_columns_pb2.ColumnEncoding, str]] = ..., fields: _Optional[_Union[BatchFields, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ..., dry_run: bool = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ..., round: _Optional[_Union[Round, _Mapping[str, object]]] = ..., step: _Optional[int] = ..., negative_ratio: _Optional[_Union[NegativeRatio, _Mapping[str, object]]] = ...) -> None: ...

class NegativeRatio(_message.Message):
    __slots__ = ("positives", "negatives_per_positive", "min_size")
    POSITIVES_FIELD_NUMBER: _ClassVar[int]
    NEGATIVES_PER_POSITIVE_FIELD_NUMBER: _ClassVar[int]
    MIN_SIZE_FIELD_NUMBER: _ClassVar[int]
    positives: int
    negatives_per_positive: float
    min_size: int
    def __init__(self, positives: _Optional[int] = ..., negatives_per_positive: _Optional[float] = ..., min_size: _Optional[int] = ...) -> None: ...

class BatchFields(_message.Message):
    __slots__ = ("scores", "importance_weights", "inclusion_probabilities", "sources", "ages", "model_versions", "serves", "payloads", "strata", "groups")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    AGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    STRATA_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    scores: bool
    importance_weights: bool
    inclusion_probabilities: bool
    sources: bool
    ages: bool
    model_versions: bool
    serves: bool
    payloads: bool
    strata: bool
    groups: bool
    def __init__(self, scores: bool = ..., importance_weights: bool = ..., inclusion_probabilities: bool = ..., sources: bool = ..., ages: bool = ..., model_versions: bool = ..., serves: bool = ..., payloads: bool = ..., strata: bool = ..., groups: bool = ...) -> None: ...

class Wait(_message.Message):
    __slots__ = ("min_size", "timeout")
    MIN_SIZE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    min_size: int
    timeout: _duration_pb2.Duration
    def __init__(self, min_size: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("number", "rank", "world_size", "run_id")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    number: int
    rank: int
    world_size: int
    run_id: str
    def __init__(self, number: _Optional[int] = ..., rank: _Optional[int] = ..., world_size: _Optional[int] = ..., run_id: _Optional[str] = ...) -> None: ...

class MinedBatch(_message.Message):
    __slots__ = ("ids", "scores", "importance_weights", "inclusion_probabilities", "sources", "ages", "model_versions", "serves", "payloads", "estimand", "policy", "seed", "hard_count", "background_count", "realized_random_fraction", "shortfall_count", "timed_out", "sizes", "pool_uid", "position", "round", "strata", "groups", "control", "warmup", "approximations", "filtered", "eligible_fraction")
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
    STRATA_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    WARMUP_FIELD_NUMBER: _ClassVar[int]
    APPROXIMATIONS_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    ELIGIBLE_FRACTION_FIELD_NUMBER: _ClassVar[int]
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
    position: _pool_pb2.Position
    round: Round
    strata: _containers.RepeatedScalarFieldContainer[int]
    groups: _columns_pb2.IdColumn
    control: bool
    warmup: bool
    approximations: _containers.RepeatedScalarFieldContainer[Approximation]
    filtered: _pool_pb2.FilterCounts
    eligible_fraction: float
    def __init__(self, ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., importance_weights: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., inclusion_probabilities: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., sources: _Optional[bytes] = ..., ages: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., model_versions: _Optional[_Iterable[int]] = ..., serves: _Optional[_Iterable[int]] = ..., payloads: _Optional[_Iterable[bytes]] = ..., estimand: _Optional[_Union[Estimand, str]] = ..., policy: _Optional[_Union[_policy_pb2.MiningPolicy, _Mapping[str, object]]] = ..., seed: _Optional[int] = ..., hard_count: _Optional[int] = ..., background_count: _Optional[int] = ..., realized_random_fraction: _Optional[float] = ..., shortfall_count: _Optional[int] = ..., timed_out: bool = ..., sizes: _Optional[_Union[_pool_pb2.PoolSizes, _Mapping[str, object]]] = ..., pool_uid: _Optional[int] = ..., position: _Optional[_Union[_pool_pb2.Position, _Mapping[str, object]]] = ..., round: _Optional[_Union[Round, _Mapping[str, object]]] = ..., strata: _Optional[_Iterable[int]] = ..., groups: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., control: bool = ..., warmup: bool = ..., approximations: _Optional[_Iterable[_Union[Approximation, str]]] = ..., filtered: _Optional[_Union[_pool_pb2.FilterCounts, _Mapping[str, object]]] = ..., eligible_fraction: _Optional[float] = ...) -> None: ...

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
    position: _pool_pb2.Position
    def __init__(self, removed_count: _Optional[int] = ..., position: _Optional[_Union[_pool_pb2.Position, _Mapping[str, object]]] = ...) -> None: ...

class ReleaseLeaseRequest(_message.Message):
    __slots__ = ("pool", "pool_uid", "ids")
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    pool_uid: int
    ids: _columns_pb2.IdColumn
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ...) -> None: ...

class ReleaseLeaseResponse(_message.Message):
    __slots__ = ("released_count",)
    RELEASED_COUNT_FIELD_NUMBER: _ClassVar[int]
    released_count: int
    def __init__(self, released_count: _Optional[int] = ...) -> None: ...

class GetSamplesRequest(_message.Message):
    __slots__ = ("pool", "pool_uid", "ids")
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    pool_uid: int
    ids: _columns_pb2.IdColumn
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ...) -> None: ...

class GetSamplesResponse(_message.Message):
    __slots__ = ("samples",)
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    samples: _containers.RepeatedCompositeFieldContainer[Sample]
    def __init__(self, samples: _Optional[_Iterable[_Union[Sample, _Mapping[str, object]]]] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("place", "score", "weight_log2", "age", "model_version", "serves", "stratum", "group", "lease_left", "in_background")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_LOG2_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    STRATUM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LEASE_LEFT_FIELD_NUMBER: _ClassVar[int]
    IN_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    place: SamplePlace
    score: float
    weight_log2: float
    age: float
    model_version: int
    serves: int
    stratum: int
    group: int
    lease_left: _duration_pb2.Duration
    in_background: bool
    def __init__(self, place: _Optional[_Union[SamplePlace, str]] = ..., score: _Optional[float] = ..., weight_log2: _Optional[float] = ..., age: _Optional[float] = ..., model_version: _Optional[int] = ..., serves: _Optional[int] = ..., stratum: _Optional[int] = ..., group: _Optional[int] = ..., lease_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ..., in_background: bool = ...) -> None: ...

class MineNegativesRequest(_message.Message):
    __slots__ = ("pool", "pool_uid", "anchors", "num_negatives", "policy", "exclude_ids", "seed", "encoding", "fields", "num_negatives_per_anchor")
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    ANCHORS_FIELD_NUMBER: _ClassVar[int]
    NUM_NEGATIVES_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_IDS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    NUM_NEGATIVES_PER_ANCHOR_FIELD_NUMBER: _ClassVar[int]
    pool: str
    pool_uid: int
    anchors: _columns_pb2.IdColumn
    num_negatives: int
    policy: NegativePolicy
    exclude_ids: _columns_pb2.IdColumn
    seed: int
    encoding: _columns_pb2.ColumnEncoding
    fields: NegativeFields
    num_negatives_per_anchor: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., anchors: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., num_negatives: _Optional[int] = ..., policy: _Optional[_Union[NegativePolicy, _Mapping[str, object]]] = ..., exclude_ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., seed: _Optional[int] = ..., encoding: _Optional[_Union[_columns_pb2.ColumnEncoding, str]] = ..., fields: _Optional[_Union[NegativeFields, _Mapping[str, object]]] = ..., num_negatives_per_anchor: _Optional[_Iterable[int]] = ...) -> None: ...

class NegativePolicy(_message.Message):
    __slots__ = ("strategy", "alpha", "random_fraction", "range_min", "range_max", "min_score", "max_score", "absolute_margin", "relative_margin", "semi_hard_margin", "distance_weighting", "max_per_group", "age", "model_version", "shortfall", "hard_margin")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    RANDOM_FRACTION_FIELD_NUMBER: _ClassVar[int]
    RANGE_MIN_FIELD_NUMBER: _ClassVar[int]
    RANGE_MAX_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    MAX_SCORE_FIELD_NUMBER: _ClassVar[int]
    ABSOLUTE_MARGIN_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_MARGIN_FIELD_NUMBER: _ClassVar[int]
    SEMI_HARD_MARGIN_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_WEIGHTING_FIELD_NUMBER: _ClassVar[int]
    MAX_PER_GROUP_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    HARD_MARGIN_FIELD_NUMBER: _ClassVar[int]
    strategy: NegativeStrategy
    alpha: float
    random_fraction: float
    range_min: int
    range_max: int
    min_score: float
    max_score: float
    absolute_margin: float
    relative_margin: float
    semi_hard_margin: float
    distance_weighting: DistanceWeighting
    max_per_group: int
    age: _policy_pb2.AgeWindow
    model_version: _policy_pb2.VersionWindow
    shortfall: _policy_pb2.Shortfall
    hard_margin: float
    def __init__(self, strategy: _Optional[_Union[NegativeStrategy, str]] = ..., alpha: _Optional[float] = ..., random_fraction: _Optional[float] = ..., range_min: _Optional[int] = ..., range_max: _Optional[int] = ..., min_score: _Optional[float] = ..., max_score: _Optional[float] = ..., absolute_margin: _Optional[float] = ..., relative_margin: _Optional[float] = ..., semi_hard_margin: _Optional[float] = ..., distance_weighting: _Optional[_Union[DistanceWeighting, _Mapping[str, object]]] = ..., max_per_group: _Optional[int] = ..., age: _Optional[_Union[_policy_pb2.AgeWindow, _Mapping[str, object]]] = ..., model_version: _Optional[_Union[_policy_pb2.VersionWindow, _Mapping[str, object]]] = ..., shortfall: _Optional[_Union[_policy_pb2.Shortfall, str]] = ..., hard_margin: _Optional[float] = ...) -> None: ...

class DistanceWeighting(_message.Message):
    __slots__ = ("dimension", "cutoff", "max_distance")
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    CUTOFF_FIELD_NUMBER: _ClassVar[int]
    MAX_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    dimension: int
    cutoff: float
    max_distance: float
    def __init__(self, dimension: _Optional[int] = ..., cutoff: _Optional[float] = ..., max_distance: _Optional[float] = ...) -> None: ...

class NegativeFields(_message.Message):
    __slots__ = ("scores", "inclusion_probabilities", "sources", "ages", "positive_scores", "labels")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    AGES_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_SCORES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    scores: bool
    inclusion_probabilities: bool
    sources: bool
    ages: bool
    positive_scores: bool
    labels: bool
    def __init__(self, scores: bool = ..., inclusion_probabilities: bool = ..., sources: bool = ..., ages: bool = ..., positive_scores: bool = ..., labels: bool = ...) -> None: ...

class MineNegativesResponse(_message.Message):
    __slots__ = ("offsets", "ids", "scores", "inclusion_probabilities", "sources", "ages", "positive_scores", "policy", "seed", "shortfall_count", "unknown_anchor_count", "background_count", "filtered", "pool_uid", "labels", "anchor_labels", "filled_count", "sizes", "no_positive_count")
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    AGES_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_SCORES_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ANCHOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_LABELS_FIELD_NUMBER: _ClassVar[int]
    FILLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    NO_POSITIVE_COUNT_FIELD_NUMBER: _ClassVar[int]
    offsets: _containers.RepeatedScalarFieldContainer[int]
    ids: _columns_pb2.IdColumn
    scores: _columns_pb2.FloatColumn
    inclusion_probabilities: _columns_pb2.FloatColumn
    sources: bytes
    ages: _columns_pb2.FloatColumn
    positive_scores: _columns_pb2.FloatColumn
    policy: NegativePolicy
    seed: int
    shortfall_count: int
    unknown_anchor_count: int
    background_count: int
    filtered: _pool_pb2.FilterCounts
    pool_uid: int
    labels: _containers.RepeatedScalarFieldContainer[int]
    anchor_labels: _containers.RepeatedScalarFieldContainer[int]
    filled_count: int
    sizes: _pool_pb2.PoolSizes
    no_positive_count: int
    def __init__(self, offsets: _Optional[_Iterable[int]] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., inclusion_probabilities: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., sources: _Optional[bytes] = ..., ages: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., positive_scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., policy: _Optional[_Union[NegativePolicy, _Mapping[str, object]]] = ..., seed: _Optional[int] = ..., shortfall_count: _Optional[int] = ..., unknown_anchor_count: _Optional[int] = ..., background_count: _Optional[int] = ..., filtered: _Optional[_Union[_pool_pb2.FilterCounts, _Mapping[str, object]]] = ..., pool_uid: _Optional[int] = ..., labels: _Optional[_Iterable[int]] = ..., anchor_labels: _Optional[_Iterable[int]] = ..., filled_count: _Optional[int] = ..., sizes: _Optional[_Union[_pool_pb2.PoolSizes, _Mapping[str, object]]] = ..., no_positive_count: _Optional[int] = ...) -> None: ...

class AddPositivesRequest(_message.Message):
    __slots__ = ("pool", "pool_uid", "anchors", "positives", "scores", "model_version")
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    ANCHORS_FIELD_NUMBER: _ClassVar[int]
    POSITIVES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    pool: str
    pool_uid: int
    anchors: _columns_pb2.IdColumn
    positives: _columns_pb2.IdColumn
    scores: _columns_pb2.FloatColumn
    model_version: int
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., anchors: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., positives: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., model_version: _Optional[int] = ...) -> None: ...

class AddPositivesResponse(_message.Message):
    __slots__ = ("added_count", "removed_count", "refused")
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    added_count: int
    removed_count: int
    refused: RefusedPairs
    def __init__(self, added_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., refused: _Optional[_Union[RefusedPairs, _Mapping[str, object]]] = ...) -> None: ...

class RefusedPairs(_message.Message):
    __slots__ = ("rows", "limits")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedScalarFieldContainer[int]
    limits: _containers.RepeatedCompositeFieldContainer[ReachedLimit]
    def __init__(self, rows: _Optional[_Iterable[int]] = ..., limits: _Optional[_Iterable[_Union[ReachedLimit, _Mapping[str, object]]]] = ...) -> None: ...

class ReachedLimit(_message.Message):
    __slots__ = ("row", "limit", "max")
    ROW_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    row: int
    limit: str
    max: int
    def __init__(self, row: _Optional[int] = ..., limit: _Optional[str] = ..., max: _Optional[int] = ...) -> None: ...

class RejectNegativesRequest(_message.Message):
    __slots__ = ("pool", "pool_uid", "anchors", "negatives")
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_UID_FIELD_NUMBER: _ClassVar[int]
    ANCHORS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVES_FIELD_NUMBER: _ClassVar[int]
    pool: str
    pool_uid: int
    anchors: _columns_pb2.IdColumn
    negatives: _columns_pb2.IdColumn
    def __init__(self, pool: _Optional[str] = ..., pool_uid: _Optional[int] = ..., anchors: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., negatives: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ...) -> None: ...

class RejectNegativesResponse(_message.Message):
    __slots__ = ("added_count", "removed_count", "refused")
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    added_count: int
    removed_count: int
    refused: RefusedPairs
    def __init__(self, added_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., refused: _Optional[_Union[RefusedPairs, _Mapping[str, object]]] = ...) -> None: ...

class SelectFromRequest(_message.Message):
    __slots__ = ("scores", "ids", "reference_scores", "batch_size", "strategy", "alpha", "hardness", "replacement", "beta", "normalization", "seed", "encoding")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_SCORES_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    HARDNESS_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    NORMALIZATION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    scores: _columns_pb2.FloatColumn
    ids: _columns_pb2.IdColumn
    reference_scores: _columns_pb2.FloatColumn
    batch_size: int
    strategy: _policy_pb2.Strategy
    alpha: float
    hardness: _pool_pb2.Hardness
    replacement: bool
    beta: float
    normalization: _policy_pb2.Normalization
    seed: int
    encoding: _columns_pb2.ColumnEncoding
    def __init__(self, scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., reference_scores: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., batch_size: _Optional[int] = ..., strategy: _Optional[_Union[_policy_pb2.Strategy, str]] = ..., alpha: _Optional[float] = ..., hardness: _Optional[_Union[_pool_pb2.Hardness, _Mapping[str, object]]] = ..., replacement: bool = ..., beta: _Optional[float] = ..., normalization: _Optional[_Union[_policy_pb2.Normalization, str]] = ..., seed: _Optional[int] = ..., encoding: _Optional[_Union[_columns_pb2.ColumnEncoding, str]] = ...) -> None: ...

class SelectFromResponse(_message.Message):
    __slots__ = ("rows", "ids", "inclusion_probabilities", "importance_weights", "estimand", "seed", "non_finite_count")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    ESTIMAND_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_COUNT_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedScalarFieldContainer[int]
    ids: _columns_pb2.IdColumn
    inclusion_probabilities: _columns_pb2.FloatColumn
    importance_weights: _columns_pb2.FloatColumn
    estimand: Estimand
    seed: int
    non_finite_count: int
    def __init__(self, rows: _Optional[_Iterable[int]] = ..., ids: _Optional[_Union[_columns_pb2.IdColumn, _Mapping[str, object]]] = ..., inclusion_probabilities: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., importance_weights: _Optional[_Union[_columns_pb2.FloatColumn, _Mapping[str, object]]] = ..., estimand: _Optional[_Union[Estimand, str]] = ..., seed: _Optional[int] = ..., non_finite_count: _Optional[int] = ...) -> None: ...
