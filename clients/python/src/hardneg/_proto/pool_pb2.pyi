import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from . import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IdKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ID_KIND_UNSPECIFIED: _ClassVar[IdKind]
    ID_KIND_U64: _ClassVar[IdKind]
    ID_KIND_STRING: _ClassVar[IdKind]

class PoolKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POOL_KIND_UNSPECIFIED: _ClassVar[PoolKind]
    POOL_KIND_FLAT: _ClassVar[PoolKind]
    POOL_KIND_ANCHORED: _ClassVar[PoolKind]

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    DURABILITY_NONE: _ClassVar[Durability]
    DURABILITY_ASYNC: _ClassVar[Durability]
    DURABILITY_SYNC: _ClassVar[Durability]

class HardnessFunction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HARDNESS_FUNCTION_UNSPECIFIED: _ClassVar[HardnessFunction]
    HARDNESS_FUNCTION_POWER: _ClassVar[HardnessFunction]
    HARDNESS_FUNCTION_EXPONENTIAL: _ClassVar[HardnessFunction]

class ScoreUpdateRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCORE_UPDATE_RULE_UNSPECIFIED: _ClassVar[ScoreUpdateRule]
    SCORE_UPDATE_RULE_LAST: _ClassVar[ScoreUpdateRule]
    SCORE_UPDATE_RULE_MAX: _ClassVar[ScoreUpdateRule]
    SCORE_UPDATE_RULE_EMA: _ClassVar[ScoreUpdateRule]
ID_KIND_UNSPECIFIED: IdKind
ID_KIND_U64: IdKind
ID_KIND_STRING: IdKind
POOL_KIND_UNSPECIFIED: PoolKind
POOL_KIND_FLAT: PoolKind
POOL_KIND_ANCHORED: PoolKind
DURABILITY_UNSPECIFIED: Durability
DURABILITY_NONE: Durability
DURABILITY_ASYNC: Durability
DURABILITY_SYNC: Durability
HARDNESS_FUNCTION_UNSPECIFIED: HardnessFunction
HARDNESS_FUNCTION_POWER: HardnessFunction
HARDNESS_FUNCTION_EXPONENTIAL: HardnessFunction
SCORE_UPDATE_RULE_UNSPECIFIED: ScoreUpdateRule
SCORE_UPDATE_RULE_LAST: ScoreUpdateRule
SCORE_UPDATE_RULE_MAX: ScoreUpdateRule
SCORE_UPDATE_RULE_EMA: ScoreUpdateRule

class Pool(_message.Message):
    __slots__ = ("name", "uid", "spec", "create_time", "etag", "run")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: int
    spec: PoolSpec
    create_time: _timestamp_pb2.Timestamp
    etag: str
    run: Run
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[int] = ..., spec: _Optional[_Union[PoolSpec, _Mapping[str, object]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., etag: _Optional[str] = ..., run: _Optional[_Union[Run, _Mapping[str, object]]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "first_step", "step", "tick")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_STEP_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    first_step: int
    step: int
    tick: int
    def __init__(self, run_id: _Optional[str] = ..., first_step: _Optional[int] = ..., step: _Optional[int] = ..., tick: _Optional[int] = ...) -> None: ...

class PoolSpec(_message.Message):
    __slots__ = ("capacity", "background_size", "dense_ids", "background_rotation", "shards", "id_kind", "hardness", "decay", "score_update", "default_policy", "serve_limits", "max_payload_bytes", "kind", "durability", "anchored", "quarantine", "flow", "control_fraction", "sample_ttl_time", "sample_ttl_steps")
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_SIZE_FIELD_NUMBER: _ClassVar[int]
    DENSE_IDS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_ROTATION_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    ID_KIND_FIELD_NUMBER: _ClassVar[int]
    HARDNESS_FIELD_NUMBER: _ClassVar[int]
    DECAY_FIELD_NUMBER: _ClassVar[int]
    SCORE_UPDATE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_POLICY_FIELD_NUMBER: _ClassVar[int]
    SERVE_LIMITS_FIELD_NUMBER: _ClassVar[int]
    MAX_PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    ANCHORED_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FRACTION_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_TTL_TIME_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_TTL_STEPS_FIELD_NUMBER: _ClassVar[int]
    capacity: int
    background_size: int
    dense_ids: int
    background_rotation: BackgroundRotation
    shards: int
    id_kind: IdKind
    hardness: Hardness
    decay: Decay
    score_update: ScoreUpdate
    default_policy: _policy_pb2.MiningPolicy
    serve_limits: ServeLimits
    max_payload_bytes: int
    kind: PoolKind
    durability: Durability
    anchored: AnchoredSpec
    quarantine: Quarantine
    flow: Flow
    control_fraction: float
    sample_ttl_time: _duration_pb2.Duration
    sample_ttl_steps: int
    def __init__(self, capacity: _Optional[int] = ..., background_size: _Optional[int] = ..., dense_ids: _Optional[int] = ..., background_rotation: _Optional[_Union[BackgroundRotation, _Mapping[str, object]]] = ..., shards: _Optional[int] = ..., id_kind: _Optional[_Union[IdKind, str]] = ..., hardness: _Optional[_Union[Hardness, _Mapping[str, object]]] = ..., decay: _Optional[_Union[Decay, _Mapping[str, object]]] = ..., score_update: _Optional[_Union[ScoreUpdate, _Mapping[str, object]]] = ..., default_policy: _Optional[_Union[_policy_pb2.MiningPolicy, _Mapping[str, object]]] = ..., serve_limits: _Optional[_Union[ServeLimits, _Mapping[str, object]]] = ..., max_payload_bytes: _Optional[int] = ..., kind: _Optional[_Union[PoolKind, str]] = ..., durability: _Optional[_Union[Durability, str]] = ..., anchored: _Optional[_Union[AnchoredSpec, _Mapping[str, object]]] = ..., quarantine: _Optional[_Union[Quarantine, _Mapping[str, object]]] = ..., flow: _Optional[_Union[Flow, _Mapping[str, object]]] = ..., control_fraction: _Optional[float] = ..., sample_ttl_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ..., sample_ttl_steps: _Optional[int] = ...) -> None: ...

class AnchoredSpec(_message.Message):
    __slots__ = ("negatives_per_anchor", "max_anchors", "max_positives_per_anchor", "max_vetoes_per_anchor", "absolute_margin", "relative_margin", "anchor_id_kind", "max_pairs", "anchors_are_samples")
    NEGATIVES_PER_ANCHOR_FIELD_NUMBER: _ClassVar[int]
    MAX_ANCHORS_FIELD_NUMBER: _ClassVar[int]
    MAX_POSITIVES_PER_ANCHOR_FIELD_NUMBER: _ClassVar[int]
    MAX_VETOES_PER_ANCHOR_FIELD_NUMBER: _ClassVar[int]
    ABSOLUTE_MARGIN_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_MARGIN_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_ID_KIND_FIELD_NUMBER: _ClassVar[int]
    MAX_PAIRS_FIELD_NUMBER: _ClassVar[int]
    ANCHORS_ARE_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    negatives_per_anchor: int
    max_anchors: int
    max_positives_per_anchor: int
    max_vetoes_per_anchor: int
    absolute_margin: float
    relative_margin: float
    anchor_id_kind: IdKind
    max_pairs: int
    anchors_are_samples: bool
    def __init__(self, negatives_per_anchor: _Optional[int] = ..., max_anchors: _Optional[int] = ..., max_positives_per_anchor: _Optional[int] = ..., max_vetoes_per_anchor: _Optional[int] = ..., absolute_margin: _Optional[float] = ..., relative_margin: _Optional[float] = ..., anchor_id_kind: _Optional[_Union[IdKind, str]] = ..., max_pairs: _Optional[int] = ..., anchors_are_samples: bool = ...) -> None: ...

class Quarantine(_message.Message):
    __slots__ = ("quantile", "reports", "capacity")
    QUANTILE_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    quantile: float
    reports: int
    capacity: int
    def __init__(self, quantile: _Optional[float] = ..., reports: _Optional[int] = ..., capacity: _Optional[int] = ...) -> None: ...

class Flow(_message.Message):
    __slots__ = ("mined_per_reported", "error_buffer", "min_reported", "max_wait")
    MINED_PER_REPORTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_BUFFER_FIELD_NUMBER: _ClassVar[int]
    MIN_REPORTED_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_FIELD_NUMBER: _ClassVar[int]
    mined_per_reported: float
    error_buffer: float
    min_reported: int
    max_wait: _duration_pb2.Duration
    def __init__(self, mined_per_reported: _Optional[float] = ..., error_buffer: _Optional[float] = ..., min_reported: _Optional[int] = ..., max_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ...) -> None: ...

class Hardness(_message.Message):
    __slots__ = ("function", "lower_is_harder", "offset", "temperature")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    LOWER_IS_HARDER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    function: HardnessFunction
    lower_is_harder: bool
    offset: float
    temperature: float
    def __init__(self, function: _Optional[_Union[HardnessFunction, str]] = ..., lower_is_harder: bool = ..., offset: _Optional[float] = ..., temperature: _Optional[float] = ...) -> None: ...

class Decay(_message.Message):
    __slots__ = ("half_life_time", "half_life_steps", "disabled", "score_per_second", "score_per_step", "max_step_jump")
    HALF_LIFE_TIME_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_STEPS_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    SCORE_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    SCORE_PER_STEP_FIELD_NUMBER: _ClassVar[int]
    MAX_STEP_JUMP_FIELD_NUMBER: _ClassVar[int]
    half_life_time: _duration_pb2.Duration
    half_life_steps: float
    disabled: bool
    score_per_second: float
    score_per_step: float
    max_step_jump: int
    def __init__(self, half_life_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ..., half_life_steps: _Optional[float] = ..., disabled: bool = ..., score_per_second: _Optional[float] = ..., score_per_step: _Optional[float] = ..., max_step_jump: _Optional[int] = ...) -> None: ...

class BackgroundRotation(_message.Message):
    __slots__ = ("after_reports", "disabled")
    AFTER_REPORTS_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    after_reports: int
    disabled: bool
    def __init__(self, after_reports: _Optional[int] = ..., disabled: bool = ...) -> None: ...

class ScoreUpdate(_message.Message):
    __slots__ = ("rule", "ema_weight")
    RULE_FIELD_NUMBER: _ClassVar[int]
    EMA_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    rule: ScoreUpdateRule
    ema_weight: float
    def __init__(self, rule: _Optional[_Union[ScoreUpdateRule, str]] = ..., ema_weight: _Optional[float] = ...) -> None: ...

class ServeLimits(_message.Message):
    __slots__ = ("serve_penalty", "max_serves", "lease")
    SERVE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    MAX_SERVES_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    serve_penalty: float
    max_serves: int
    lease: _duration_pb2.Duration
    def __init__(self, serve_penalty: _Optional[float] = ..., max_serves: _Optional[int] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping[str, object]]] = ...) -> None: ...

class PoolStats(_message.Message):
    __slots__ = ("name", "uid", "sizes", "reported_rows", "reported_batches", "counts", "evicted", "removed", "mined_batches", "served_hard", "served_background", "shortfalls", "proposals", "rejected_batches", "duplicate_batches", "memory_bytes", "background_generations", "clamped", "leased", "quarantined", "quarantine_overflows", "filtered", "rounds", "round_replays", "control_batches", "flow", "bias", "anchored", "run", "floored", "blocked", "trusted", "set_aside", "released", "expired", "distinct_by_witness", "worn", "half_life_in_score")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    REPORTED_ROWS_FIELD_NUMBER: _ClassVar[int]
    REPORTED_BATCHES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    EVICTED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    MINED_BATCHES_FIELD_NUMBER: _ClassVar[int]
    SERVED_HARD_FIELD_NUMBER: _ClassVar[int]
    SERVED_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    SHORTFALLS_FIELD_NUMBER: _ClassVar[int]
    PROPOSALS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_BATCHES_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_BATCHES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_GENERATIONS_FIELD_NUMBER: _ClassVar[int]
    CLAMPED_FIELD_NUMBER: _ClassVar[int]
    LEASED_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_OVERFLOWS_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    ROUND_REPLAYS_FIELD_NUMBER: _ClassVar[int]
    CONTROL_BATCHES_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    ANCHORED_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    FLOORED_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_FIELD_NUMBER: _ClassVar[int]
    SET_ASIDE_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_BY_WITNESS_FIELD_NUMBER: _ClassVar[int]
    WORN_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_IN_SCORE_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: int
    sizes: PoolSizes
    reported_rows: int
    reported_batches: int
    counts: ReportCounts
    evicted: int
    removed: int
    mined_batches: int
    served_hard: int
    served_background: int
    shortfalls: int
    proposals: int
    rejected_batches: int
    duplicate_batches: int
    memory_bytes: int
    background_generations: int
    clamped: int
    leased: int
    quarantined: int
    quarantine_overflows: int
    filtered: FilterCounts
    rounds: int
    round_replays: int
    control_batches: int
    flow: FlowStats
    bias: BiasFigures
    anchored: AnchoredStats
    run: Run
    floored: int
    blocked: int
    trusted: int
    set_aside: int
    released: int
    expired: int
    distinct_by_witness: int
    worn: int
    half_life_in_score: float
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[int] = ..., sizes: _Optional[_Union[PoolSizes, _Mapping[str, object]]] = ..., reported_rows: _Optional[int] = ..., reported_batches: _Optional[int] = ..., counts: _Optional[_Union[ReportCounts, _Mapping[str, object]]] = ..., evicted: _Optional[int] = ..., removed: _Optional[int] = ..., mined_batches: _Optional[int] = ..., served_hard: _Optional[int] = ..., served_background: _Optional[int] = ..., shortfalls: _Optional[int] = ..., proposals: _Optional[int] = ..., rejected_batches: _Optional[int] = ..., duplicate_batches: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., background_generations: _Optional[int] = ..., clamped: _Optional[int] = ..., leased: _Optional[int] = ..., quarantined: _Optional[int] = ..., quarantine_overflows: _Optional[int] = ..., filtered: _Optional[_Union[FilterCounts, _Mapping[str, object]]] = ..., rounds: _Optional[int] = ..., round_replays: _Optional[int] = ..., control_batches: _Optional[int] = ..., flow: _Optional[_Union[FlowStats, _Mapping[str, object]]] = ..., bias: _Optional[_Union[BiasFigures, _Mapping[str, object]]] = ..., anchored: _Optional[_Union[AnchoredStats, _Mapping[str, object]]] = ..., run: _Optional[_Union[Run, _Mapping[str, object]]] = ..., floored: _Optional[int] = ..., blocked: _Optional[int] = ..., trusted: _Optional[int] = ..., set_aside: _Optional[int] = ..., released: _Optional[int] = ..., expired: _Optional[int] = ..., distinct_by_witness: _Optional[int] = ..., worn: _Optional[int] = ..., half_life_in_score: _Optional[float] = ...) -> None: ...

class FilterCounts(_message.Message):
    __slots__ = ("excluded", "known_positives", "vetoed", "leased", "max_serves", "model_version", "age", "score", "positive_aware", "rank", "stratum", "group", "unscored_passed", "anchor_itself", "same_label", "unscored")
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    KNOWN_POSITIVES_FIELD_NUMBER: _ClassVar[int]
    VETOED_FIELD_NUMBER: _ClassVar[int]
    LEASED_FIELD_NUMBER: _ClassVar[int]
    MAX_SERVES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_AWARE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    STRATUM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UNSCORED_PASSED_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_ITSELF_FIELD_NUMBER: _ClassVar[int]
    SAME_LABEL_FIELD_NUMBER: _ClassVar[int]
    UNSCORED_FIELD_NUMBER: _ClassVar[int]
    excluded: int
    known_positives: int
    vetoed: int
    leased: int
    max_serves: int
    model_version: int
    age: int
    score: int
    positive_aware: int
    rank: int
    stratum: int
    group: int
    unscored_passed: int
    anchor_itself: int
    same_label: int
    unscored: int
    def __init__(self, excluded: _Optional[int] = ..., known_positives: _Optional[int] = ..., vetoed: _Optional[int] = ..., leased: _Optional[int] = ..., max_serves: _Optional[int] = ..., model_version: _Optional[int] = ..., age: _Optional[int] = ..., score: _Optional[int] = ..., positive_aware: _Optional[int] = ..., rank: _Optional[int] = ..., stratum: _Optional[int] = ..., group: _Optional[int] = ..., unscored_passed: _Optional[int] = ..., anchor_itself: _Optional[int] = ..., same_label: _Optional[int] = ..., unscored: _Optional[int] = ...) -> None: ...

class FlowStats(_message.Message):
    __slots__ = ("balance", "report_waits", "report_timeouts", "mine_waits", "mine_timeouts")
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    REPORT_WAITS_FIELD_NUMBER: _ClassVar[int]
    REPORT_TIMEOUTS_FIELD_NUMBER: _ClassVar[int]
    MINE_WAITS_FIELD_NUMBER: _ClassVar[int]
    MINE_TIMEOUTS_FIELD_NUMBER: _ClassVar[int]
    balance: float
    report_waits: int
    report_timeouts: int
    mine_waits: int
    mine_timeouts: int
    def __init__(self, balance: _Optional[float] = ..., report_waits: _Optional[int] = ..., report_timeouts: _Optional[int] = ..., mine_waits: _Optional[int] = ..., mine_timeouts: _Optional[int] = ...) -> None: ...

class BiasFigures(_message.Message):
    __slots__ = ("strata", "strata_total_variation", "strata_kl", "serves_gini", "effective_sample_share", "lift", "served_age_quantiles", "served_score_quantiles", "background_score_quantiles")
    STRATA_FIELD_NUMBER: _ClassVar[int]
    STRATA_TOTAL_VARIATION_FIELD_NUMBER: _ClassVar[int]
    STRATA_KL_FIELD_NUMBER: _ClassVar[int]
    SERVES_GINI_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SAMPLE_SHARE_FIELD_NUMBER: _ClassVar[int]
    LIFT_FIELD_NUMBER: _ClassVar[int]
    SERVED_AGE_QUANTILES_FIELD_NUMBER: _ClassVar[int]
    SERVED_SCORE_QUANTILES_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_SCORE_QUANTILES_FIELD_NUMBER: _ClassVar[int]
    strata: _containers.RepeatedCompositeFieldContainer[StratumShare]
    strata_total_variation: float
    strata_kl: float
    serves_gini: float
    effective_sample_share: float
    lift: float
    served_age_quantiles: _containers.RepeatedScalarFieldContainer[float]
    served_score_quantiles: _containers.RepeatedScalarFieldContainer[float]
    background_score_quantiles: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, strata: _Optional[_Iterable[_Union[StratumShare, _Mapping[str, object]]]] = ..., strata_total_variation: _Optional[float] = ..., strata_kl: _Optional[float] = ..., serves_gini: _Optional[float] = ..., effective_sample_share: _Optional[float] = ..., lift: _Optional[float] = ..., served_age_quantiles: _Optional[_Iterable[float]] = ..., served_score_quantiles: _Optional[_Iterable[float]] = ..., background_score_quantiles: _Optional[_Iterable[float]] = ...) -> None: ...

class StratumShare(_message.Message):
    __slots__ = ("stratum", "reported", "served")
    STRATUM_FIELD_NUMBER: _ClassVar[int]
    REPORTED_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    stratum: int
    reported: float
    served: float
    def __init__(self, stratum: _Optional[int] = ..., reported: _Optional[float] = ..., served: _Optional[float] = ...) -> None: ...

class AnchoredStats(_message.Message):
    __slots__ = ("anchors", "negatives", "positives", "vetoes", "anchors_refused", "pairs_refused")
    ANCHORS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVES_FIELD_NUMBER: _ClassVar[int]
    POSITIVES_FIELD_NUMBER: _ClassVar[int]
    VETOES_FIELD_NUMBER: _ClassVar[int]
    ANCHORS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    PAIRS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    anchors: int
    negatives: int
    positives: int
    vetoes: int
    anchors_refused: int
    pairs_refused: int
    def __init__(self, anchors: _Optional[int] = ..., negatives: _Optional[int] = ..., positives: _Optional[int] = ..., vetoes: _Optional[int] = ..., anchors_refused: _Optional[int] = ..., pairs_refused: _Optional[int] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: bytes
    def __init__(self, token: _Optional[bytes] = ...) -> None: ...

class PoolSizes(_message.Message):
    __slots__ = ("hard", "background", "distinct", "background_probability", "floor_log2", "closed_loop_ratio")
    HARD_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FLOOR_LOG2_FIELD_NUMBER: _ClassVar[int]
    CLOSED_LOOP_RATIO_FIELD_NUMBER: _ClassVar[int]
    hard: int
    background: int
    distinct: float
    background_probability: float
    floor_log2: float
    closed_loop_ratio: float
    def __init__(self, hard: _Optional[int] = ..., background: _Optional[int] = ..., distinct: _Optional[float] = ..., background_probability: _Optional[float] = ..., floor_log2: _Optional[float] = ..., closed_loop_ratio: _Optional[float] = ...) -> None: ...

class ReportCounts(_message.Message):
    __slots__ = ("inserted", "updated", "background_only", "dropped", "non_finite", "coalesced", "stale", "out_of_range", "quarantined", "anchor_limit", "not_negative", "duplicate", "blocked")
    INSERTED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_ONLY_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_FIELD_NUMBER: _ClassVar[int]
    COALESCED_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_RANGE_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_LIMIT_FIELD_NUMBER: _ClassVar[int]
    NOT_NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    inserted: int
    updated: int
    background_only: int
    dropped: int
    non_finite: int
    coalesced: int
    stale: int
    out_of_range: int
    quarantined: int
    anchor_limit: int
    not_negative: int
    duplicate: int
    blocked: int
    def __init__(self, inserted: _Optional[int] = ..., updated: _Optional[int] = ..., background_only: _Optional[int] = ..., dropped: _Optional[int] = ..., non_finite: _Optional[int] = ..., coalesced: _Optional[int] = ..., stale: _Optional[int] = ..., out_of_range: _Optional[int] = ..., quarantined: _Optional[int] = ..., anchor_limit: _Optional[int] = ..., not_negative: _Optional[int] = ..., duplicate: _Optional[int] = ..., blocked: _Optional[int] = ...) -> None: ...
