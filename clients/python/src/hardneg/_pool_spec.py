"""The spec of a pool: how one is written into a request, and what a pool answers that it is."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TypedDict

from ._anchored_spec import Anchored
from ._checks import check_positive
from ._durations import (
    OFF,
    HalfLife,
    HalfLifeLike,
    Off,
    Span,
    Steps,
    half_life_from_proto,
    half_life_to_proto,
    lease_to_proto,
    sample_ttl_from_proto,
    sample_ttl_to_proto,
)
from ._enums import Durability, HardnessFunction, IdKind, ScoreUpdate, enum_from_proto, enum_to_proto, parse_choice
from ._flow import Flow
from ._messages import datetime_of, optional_of, timedelta_of
from ._mining_policy import MiningPolicy
from ._proto import pool_pb2
from ._quarantine import Quarantine
from ._runs import Run


@dataclass(frozen=True)
class PoolInfo:
    """The spec and identity of a pool, with every default filled in.

    Attributes:
        name: Its name.
        uid: Tells two pools apart that had the same name one after the other.
        etag: Changes with every update.
        create_time: When it was created, in UTC.
        capacity: Samples kept in the hard store.
        background_size: Size of the uniform sample of all ids; None with `dense_ids`.
        dense_ids: Number of ids in a dense pool, whose ids are 0..dense_ids-1; None with `background_size`.
        shards: Partitions of the pool.
        id_kind: Whether ids are integers or strings.
        hardness: How a score becomes a weight.
        lower_is_harder: Whether lower scores are harder, as with distances.
        offset: Added to the score with POWER; None with EXPONENTIAL.
        temperature: Divides the score with EXPONENTIAL; None with POWER.
        half_life: How priorities age.
        max_step_jump: The pool refuses a report that is more steps ahead of its run; None where it does not age by
            steps.
        score_update: What a new report of a known id does.
        ema_weight: Weight of the new score with EMA; None with another rule.
        default_policy: The policy of requests, for the fields that they do not give.
        serve_penalty: Factor on a sample's weight for each serve; 1 is off.
        max_serves: Serves of a sample between two reports of it; 0 is no limit.
        max_payload_bytes: Longest payload kept with a sample; 0 where none are kept.
        rotate_background: Whether the background sample is replaced by a fresh one from time to time.
        anchored: What it keeps of each anchor; None for a flat pool.
        quarantine: When it sets samples aside; None where it does not.
        flow: The rate limiter: how much is mined for each reported sample; None where there is none.
        control_fraction: Share of rounds that get a uniform batch.
        sample_ttl: How long a sample lives that is not reported; None where it lives for ever.
        lease: How long a served sample is not served again; None where there are no leases.
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
        spec = message.spec
        function = enum_from_proto(HardnessFunction, pool_pb2.HardnessFunction, spec.hardness.function)
        rule = enum_from_proto(ScoreUpdate, pool_pb2.ScoreUpdateRule, spec.score_update.rule)
        by_steps = spec.decay.WhichOneof("half_life") == "half_life_steps"
        dense = spec.WhichOneof("background") == "dense_ids"
        return cls(
            name=message.name.removeprefix("pools/"),
            uid=message.uid,
            etag=message.etag,
            create_time=datetime_of(message.create_time),
            capacity=spec.capacity,
            background_size=None if dense else spec.background_size,
            dense_ids=spec.dense_ids if dense else None,
            shards=spec.shards,
            id_kind=enum_from_proto(IdKind, pool_pb2.IdKind, spec.id_kind) or IdKind.U64,
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
            quarantine=optional_of(Quarantine.from_proto, spec, "quarantine"),
            flow=optional_of(Flow.from_proto, spec, "flow"),
            control_fraction=spec.control_fraction,
            sample_ttl=sample_ttl_from_proto(spec),
            lease=timedelta_of(spec.serve_limits.lease) or None,
            run=optional_of(Run.from_proto, message, "run"),
        )


class LivePoolOptions(TypedDict, total=False):
    """The part of a pool's spec that may change in a live pool, as keyword arguments.

    `Pool.update` takes them, and `Client.create_pool`, which describes them. None is as if not given.
    """

    half_life: HalfLifeLike | None
    max_step_jump: int | None
    score_update: ScoreUpdate | str | None
    ema_weight: float | None
    default_policy: MiningPolicy | None
    serve_penalty: float | None
    max_serves: int | None
    lease: Span | None
    rotate_background: bool | None
    quarantine: Quarantine | Off | None
    flow: Flow | Off | None
    control_fraction: float | None
    sample_ttl: Span | Steps | Off | None


class PoolOptions(LivePoolOptions, total=False):
    """A pool's whole spec as keyword arguments of `Client.create_pool`, which describes them.

    Example:
        >>> spec: hardneg.PoolOptions = {"capacity": 100_000, "half_life": hardneg.Steps(500)}
        >>> train, holdout = (client.create_pool(name, **spec) for name in ("train", "holdout"))
    """

    capacity: int | None
    background_size: int | None
    dense_ids: int | None
    shards: int | None
    id_kind: IdKind | str | None
    hardness: HardnessFunction | str | None
    lower_is_harder: bool | None
    offset: float | None
    temperature: float | None
    max_payload_bytes: int | None
    durability: Durability | str | None
    anchored: Anchored | None


def pool_spec(options: PoolOptions) -> pool_pb2.PoolSpec:
    """A whole spec; what is not given stays at the default of the contract.

    Raises:
        ValueError: An argument is out of range; the text names it.
    """
    background_size, dense_ids = options.get("background_size"), options.get("dense_ids")
    if background_size is not None and dense_ids is not None:
        raise ValueError("background_size and dense_ids exclude each other")
    check_positive(
        capacity=options.get("capacity"),
        background_size=background_size,
        dense_ids=dense_ids,
        shards=options.get("shards"),
        offset=options.get("offset"),
        temperature=options.get("temperature"),
    )
    kind = parse_choice(IdKind, options.get("id_kind") or IdKind.U64, "id_kind")
    function = parse_choice(HardnessFunction, options.get("hardness") or HardnessFunction.POWER, "hardness")
    spec = pool_pb2.PoolSpec(
        capacity=options.get("capacity") or 0,
        shards=options.get("shards") or 0,
        id_kind=enum_to_proto(pool_pb2.IdKind, kind),
        hardness=pool_pb2.Hardness(
            function=enum_to_proto(pool_pb2.HardnessFunction, function),
            lower_is_harder=bool(options.get("lower_is_harder")),
            offset=options.get("offset") or 0.0,
            temperature=options.get("temperature") or 0.0,
        ),
        max_payload_bytes=options.get("max_payload_bytes") or 0,
    )
    if background_size is not None:
        spec.background_size = background_size
    if dense_ids is not None:
        spec.dense_ids = dense_ids
    if (durability := options.get("durability")) is not None:
        choice = parse_choice(Durability, durability, "durability")
        spec.durability = enum_to_proto(pool_pb2.Durability, choice)
    if (anchored := options.get("anchored")) is not None:
        spec.kind = pool_pb2.POOL_KIND_ANCHORED
        spec.anchored.CopyFrom(anchored.to_proto())
    apply_live_options(spec, options)
    return spec


def apply_live_options(spec: pool_pb2.PoolSpec, options: LivePoolOptions) -> None:
    """Writes the options that may change in a live pool into a spec; what is not given stays as it is.

    Raises:
        ValueError: An argument is out of range; the text names it.
        TypeError: A span of time is of the wrong type.
    """
    check_positive(
        max_step_jump=options.get("max_step_jump"),
        ema_weight=options.get("ema_weight"),
        serve_penalty=options.get("serve_penalty"),
    )
    if (half_life := options.get("half_life")) is not None:
        half_life_to_proto(half_life, spec.decay)
    if (max_step_jump := options.get("max_step_jump")) is not None:
        spec.decay.max_step_jump = max_step_jump
    if (score_update := options.get("score_update")) is not None:
        rule = parse_choice(ScoreUpdate, score_update, "score_update")
        if rule is not ScoreUpdate.LAST or spec.HasField("score_update"):
            spec.score_update.rule = enum_to_proto(pool_pb2.ScoreUpdateRule, rule)
    if (ema_weight := options.get("ema_weight")) is not None:
        spec.score_update.ema_weight = ema_weight
    if (default_policy := options.get("default_policy")) is not None:
        spec.default_policy.CopyFrom(default_policy.to_proto())
    if (serve_penalty := options.get("serve_penalty")) is not None:
        spec.serve_limits.serve_penalty = serve_penalty
    if (max_serves := options.get("max_serves")) is not None:
        spec.serve_limits.max_serves = max_serves
    if (lease := options.get("lease")) is not None:
        lease_to_proto(lease, spec.serve_limits.lease)
    rotate_background = options.get("rotate_background")
    if rotate_background is not None and rotate_background == spec.background_rotation.disabled:
        spec.background_rotation.disabled = not rotate_background
    if (control_fraction := options.get("control_fraction")) is not None:
        spec.control_fraction = control_fraction
    _apply_switched_parts(spec, options)


def _apply_switched_parts(spec: pool_pb2.PoolSpec, options: LivePoolOptions) -> None:
    """Writes the options that `OFF` switches off."""
    quarantine, flow, sample_ttl = options.get("quarantine"), options.get("flow"), options.get("sample_ttl")
    if quarantine is OFF:
        spec.ClearField("quarantine")
    elif isinstance(quarantine, Quarantine):
        spec.quarantine.SetInParent()  # also when every field takes its default
        spec.quarantine.CopyFrom(quarantine.to_proto())
    if flow is OFF:
        spec.ClearField("flow")
    elif isinstance(flow, Flow):
        spec.flow.CopyFrom(flow.to_proto())
    if sample_ttl is OFF:
        if spec.WhichOneof("sample_ttl") is not None:
            spec.ClearField("sample_ttl")
    elif sample_ttl is not None:
        sample_ttl_to_proto(sample_ttl, spec)


#: Parts of a spec that `apply_live_options` writes: the paths of an update.
LIVE_PARTS = (
    "decay",
    "score_update",
    "default_policy",
    "serve_limits",
    "background_rotation",
    "quarantine",
    "flow",
    "control_fraction",
    "sample_ttl",
)
