"""What a pool is, and its figures."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from ._anchors import Anchored
from ._choices import HardnessFunction, IdKind, ScoreUpdate, from_enum
from ._flow import Flow
from ._policy import MiningPolicy
from ._proto import pool_pb2
from ._quarantine import Quarantine
from ._reports import ReportCounts
from ._runs import Run
from ._stats import AnchoredStats, BiasFigures, FilterCounts, FlowStats


@dataclass(frozen=True)
class Steps:
    """A half-life in training steps: the pool ages by the `step` of its reports, not by the clock on the wall."""

    count: float


class _Never(Enum):
    NEVER = "never"

    def __repr__(self) -> str:
        return "hardneg.NEVER"


#: As a half-life: scores do not age.
NEVER = _Never.NEVER


class _Off(Enum):
    OFF = "off"

    def __repr__(self) -> str:
        return "hardneg.OFF"


#: As the quarantine, the flow or the sample_ttl of `Pool.update`: none from now on.
OFF = _Off.OFF
#: What switches a part of a spec off.
Off: TypeAlias = _Off

#: A half-life: a timedelta, seconds, `Steps`, or `NEVER`.
HalfLife: TypeAlias = datetime.timedelta | float | int | Steps | _Never


def half_life_to_proto(half_life: HalfLife, decay: pool_pb2.Decay) -> None:
    """Writes a half-life into a Decay."""
    if half_life is NEVER or half_life == math.inf:
        decay.disabled = True
    elif isinstance(half_life, Steps):
        decay.half_life_steps = half_life.count
    elif isinstance(half_life, datetime.timedelta):
        decay.half_life_time.FromTimedelta(half_life)
    elif isinstance(half_life, (int, float)) and not isinstance(half_life, bool):
        decay.half_life_time.FromNanoseconds(round(half_life * 1e9))
    else:
        raise TypeError(f"half_life must be a timedelta, seconds, Steps or NEVER, not {half_life!r}")


def half_life_from_proto(decay: pool_pb2.Decay) -> HalfLife:
    """The half-life of a Decay."""
    kind = decay.WhichOneof("half_life")
    if kind == "disabled":
        return NEVER
    if kind == "half_life_steps":
        return Steps(decay.half_life_steps)
    return datetime.timedelta(microseconds=decay.half_life_time.ToMicroseconds())


def sample_ttl_to_proto(sample_ttl: datetime.timedelta | float | Steps, spec: pool_pb2.PoolSpec) -> None:
    """Writes a time to live into a spec."""
    if isinstance(sample_ttl, Steps):
        if sample_ttl.count != int(sample_ttl.count):
            raise ValueError(f"sample_ttl must be a whole number of steps, not {sample_ttl.count!r}")
        spec.sample_ttl_steps = int(sample_ttl.count)
    elif isinstance(sample_ttl, datetime.timedelta):
        spec.sample_ttl_time.FromTimedelta(sample_ttl)
    elif isinstance(sample_ttl, (int, float)) and not isinstance(sample_ttl, bool):
        spec.sample_ttl_time.FromNanoseconds(round(sample_ttl * 1e9))
    else:
        raise TypeError(f"sample_ttl must be a timedelta, seconds or Steps, not {sample_ttl!r}")


def sample_ttl_from_proto(spec: pool_pb2.PoolSpec) -> datetime.timedelta | Steps | None:
    """The time to live of a spec; None: for ever."""
    kind = spec.WhichOneof("sample_ttl")
    if kind is None:
        return None
    if kind == "sample_ttl_steps":
        return Steps(spec.sample_ttl_steps)
    return datetime.timedelta(microseconds=spec.sample_ttl_time.ToMicroseconds())


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
        """From the message."""
        return cls(
            hard=message.hard,
            background=message.background,
            distinct=message.distinct,
            background_probability=message.background_probability,
            closed_loop_ratio=message.closed_loop_ratio,
            floor_log2=message.floor_log2 if message.HasField("floor_log2") else None,
        )


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
        """From the message."""
        special: dict[str, Any] = {
            "sizes": PoolSizes.from_proto(message.sizes),
            "counts": ReportCounts.from_proto(message.counts),
            "run": Run.from_proto(message.run) if message.HasField("run") else None,
            "name": message.name.removeprefix("pools/"),
            "filtered": FilterCounts.from_proto(message.filtered),
            "flow": FlowStats.from_proto(message.flow),
            "bias": BiasFigures.from_proto(message.bias),
            "anchored": AnchoredStats.from_proto(message.anchored) if message.HasField("anchored") else None,
        }
        plain = {name: getattr(message, name) for name in cls.__dataclass_fields__ if name not in special}
        return cls(**special, **plain)


@dataclass(frozen=True)
class PoolInfo:
    """What a pool is, every default filled in.

    Attributes:
        name: Its name.
        uid: Differs between two pools that had the same name one after the other.
        etag: Changes with every update.
        create_time: In UTC.
        capacity: Samples kept in the hard store.
        background_size: Size of the kept uniform sample; None with `dense_ids`.
        dense_ids: The ids are exactly 0 to this, exclusive; None with `background_size`.
        shards: Locks of the store.
        id_kind: Integers or strings.
        hardness: How a score becomes a weight.
        lower_is_harder: Set for distances.
        offset: Of POWER; None with EXPONENTIAL.
        temperature: Of EXPONENTIAL; None with POWER.
        half_life: How priorities age.
        max_step_jump: A report further ahead of its run is refused; None where the pool does not age by steps.
        score_update: What a new report of a known id does.
        ema_weight: Weight of the new score with EMA; None with another rule.
        default_policy: Of mining requests that do not give their own.
        serve_penalty: Factor on a sample's weight for each serve; 1 is off.
        max_serves: Serves between two reports; 0 is no limit.
        max_payload_bytes: Longest payload; 0: none are kept.
        rotate_background: Whether the background sample is replaced by a fresh one from time to time.
        anchored: What it keeps of each anchor; None for a flat pool.
        quarantine: When samples are set aside; None: never.
        flow: How much is mined for each reported sample; None: uncoupled.
        control_fraction: Share of rounds that get a uniform batch.
        sample_ttl: How long a sample lives that is not reported; None: for ever.
        lease: How long a served sample rests; None: it does not.
        run: The current training run; None where the pool does not age by steps, and before its first report.
    """

    name: str
    uid: int
    etag: str
    create_time: datetime.datetime
    capacity: int
    background_size: int | None
    dense_ids: int | None
    shards: int
    id_kind: IdKind
    hardness: HardnessFunction
    lower_is_harder: bool
    offset: float | None
    temperature: float | None
    half_life: HalfLife
    max_step_jump: int | None
    score_update: ScoreUpdate
    ema_weight: float | None
    default_policy: MiningPolicy
    serve_penalty: float
    max_serves: int
    max_payload_bytes: int
    rotate_background: bool
    anchored: Anchored | None
    quarantine: Quarantine | None
    flow: Flow | None
    control_fraction: float
    sample_ttl: datetime.timedelta | Steps | None
    lease: datetime.timedelta | None
    run: Run | None

    @classmethod
    def from_proto(cls, message: pool_pb2.Pool) -> PoolInfo:
        """From the message."""
        spec = message.spec
        function = from_enum(HardnessFunction, pool_pb2.HardnessFunction, spec.hardness.function)
        rule = from_enum(ScoreUpdate, pool_pb2.ScoreUpdateRule, spec.score_update.rule)
        by_steps = spec.decay.WhichOneof("half_life") == "half_life_steps"
        dense = spec.WhichOneof("background") == "dense_ids"
        lease = datetime.timedelta(microseconds=spec.serve_limits.lease.ToMicroseconds())
        return cls(
            name=message.name.removeprefix("pools/"),
            uid=message.uid,
            etag=message.etag,
            create_time=message.create_time.ToDatetime(datetime.timezone.utc),
            capacity=spec.capacity,
            background_size=None if dense else spec.background_size,
            dense_ids=spec.dense_ids if dense else None,
            shards=spec.shards,
            id_kind=from_enum(IdKind, pool_pb2.IdKind, spec.id_kind) or IdKind.U64,
            hardness=function or HardnessFunction.POWER,
            lower_is_harder=spec.hardness.lower_is_harder,
            offset=spec.hardness.offset if function is not HardnessFunction.EXPONENTIAL else None,
            temperature=spec.hardness.temperature if function is HardnessFunction.EXPONENTIAL else None,
            half_life=half_life_from_proto(spec.decay),
            max_step_jump=spec.decay.max_step_jump if by_steps else None,
            score_update=rule or ScoreUpdate.LAST,
            ema_weight=spec.score_update.ema_weight if rule is ScoreUpdate.EMA else None,
            default_policy=MiningPolicy.from_proto(spec.default_policy),
            serve_penalty=spec.serve_limits.serve_penalty,
            max_serves=spec.serve_limits.max_serves,
            max_payload_bytes=spec.max_payload_bytes,
            rotate_background=not spec.background_rotation.disabled,
            anchored=Anchored.from_proto(spec.anchored) if spec.kind == pool_pb2.POOL_KIND_ANCHORED else None,
            quarantine=Quarantine.from_proto(spec.quarantine) if spec.HasField("quarantine") else None,
            flow=Flow.from_proto(spec.flow) if spec.HasField("flow") else None,
            control_fraction=spec.control_fraction,
            sample_ttl=sample_ttl_from_proto(spec),
            lease=lease or None,
            run=Run.from_proto(message.run) if message.HasField("run") else None,
        )
