"""Mined batches as columns of numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from . import _columns
from ._columns import Ids
from ._enums import Approximation, Estimand, Source, Strategy, enum_from_proto
from ._messages import dataclass_of, optional_of
from ._mining_policy import MiningPolicy
from ._pool_stats import FilterCounts, PoolSizes
from ._proto import mining_service_pb2
from ._rounds import Round


@dataclass(frozen=True, eq=False)
class MinedBatch:
    """A mined batch: columns of n rows, in which no id stands twice. ``len(batch)`` is n.

    Arrays are read-only views of the answer: copy one before you change it.

    Attributes:
        ids: uint64 of shape (n,), or a list of n strings for pools of strings.
        scores: float32 (n,), raw as last reported; NaN where never reported; None if not asked for.
        importance_weights: float32 (n,), after beta and normalization; None when `estimand` is NONE.
        inclusion_probabilities: float32 (n,), probability of each sample to be in such a batch, for log-Q corrections;
            None if not asked for.
        sources: uint8 (n,), values of `Source`; None if not asked for.
        ages: float32 (n,), seconds (or steps) since reported; NaN where never reported; None if not asked for.
        model_versions: uint32 (n,); None if not asked for.
        serves: uint32 (n,), serves since last reported, this one included; None if not asked for.
        payloads: n bytes objects, empty where there is none; None if the pool keeps none.
        estimand: What ``mean(importance_weights * f)`` estimates.
        policy: The policy as applied, with every default filled in.
        seed: The seed as applied.
        hard_count: Rows from the hard store.
        background_count: Rows from the background.
        realized_random_fraction: The background's share of the rows.
        shortfall_count: The requested batch size less the number of rows.
        timed_out: Whether the wait ended before the pool was large enough.
        sizes: The pool's sizes when it was mined; None in a degraded batch.
        pool_uid: The uid of the pool.
        position: The state of the pool from which it was mined; None where the pool is not journalled. Opaque.
        degraded: Whether the client drew it uniformly because the service was unavailable
            (``on_unavailable="uniform"``).
        strata: uint32 (n,); None if not asked for.
        groups: uint64 (n,), of a group named by a string its 64-bit hash, 0: none; None if not asked for.
        round: The round of the request; in a stream of batches the number of each next one is one higher.
        control: Whether it is a uniform batch of the control arm. Leave those out when you judge mining, or compare.
        warmup: Whether it is a uniform batch because the step is before the curriculum's `warmup_steps`.
        approximations: Why the weights are approximate; empty where they are not.
        filtered: How many candidates each filter rejected.
        eligible_fraction: The share of the ids that were eligible, an estimate unless it is 1; None without weights.
    """

    ids: Ids
    scores: npt.NDArray[np.float32] | None
    importance_weights: npt.NDArray[np.float32] | None
    inclusion_probabilities: npt.NDArray[np.float32] | None
    sources: npt.NDArray[np.uint8] | None
    ages: npt.NDArray[np.float32] | None
    model_versions: npt.NDArray[np.uint32] | None
    serves: npt.NDArray[np.uint32] | None
    payloads: list[bytes] | None
    estimand: Estimand
    policy: MiningPolicy
    seed: int
    hard_count: int
    background_count: int
    realized_random_fraction: float
    shortfall_count: int
    timed_out: bool
    sizes: PoolSizes | None
    pool_uid: int
    position: bytes | None
    degraded: bool = False
    strata: npt.NDArray[np.uint32] | None = None
    groups: Ids | None = None
    round: Round | None = None
    control: bool = False
    warmup: bool = False
    approximations: tuple[Approximation, ...] = ()
    filtered: FilterCounts = field(default_factory=FilterCounts)
    eligible_fraction: float | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_background(self) -> npt.NDArray[np.bool_]:
        """Shape (n,): True where the background, not the hard store, gave the sample.

        Raises:
            ValueError: The batch has no `sources` column.
        """
        if self.sources is None:
            raise ValueError("the batch was mined without `sources` in its fields")
        background: npt.NDArray[np.bool_] = self.sources == Source.BACKGROUND.value
        return background

    def __repr__(self) -> str:
        degraded = ", degraded" if self.degraded else ""
        return (
            f"MinedBatch(n={len(self)}, hard={self.hard_count}, background={self.background_count}, "
            f"estimand={self.estimand}, shortfall={self.shortfall_count}{degraded})"
        )

    @classmethod
    def from_proto(cls, message: mining_service_pb2.MinedBatch) -> MinedBatch:
        """From the message; arrays of bytes columns are not copied.

        Raises:
            HardnegError: Columns of unequal length.
        """
        ids = _columns.decode_ids(message.ids)
        n = len(ids)

        def floats(name: str) -> npt.NDArray[np.float32] | None:
            return _columns.decode_floats(getattr(message, name), n, name=name)

        def numbers(name: str) -> npt.NDArray[np.uint32] | None:
            return _columns.decode_numbers(getattr(message, name), n, name=name)

        groups = _columns.decode_ids(message.groups) if message.groups.WhichOneof("encoding") else ()
        reasons = (enum_from_proto(Approximation, mining_service_pb2.Approximation, r) for r in message.approximations)
        return dataclass_of(
            cls,
            message,
            ids=ids,
            scores=floats("scores"),
            importance_weights=floats("importance_weights"),
            inclusion_probabilities=floats("inclusion_probabilities"),
            sources=_columns.decode_sources(message.sources, n),
            ages=floats("ages"),
            model_versions=numbers("model_versions"),
            serves=numbers("serves"),
            payloads=list(_columns.checked_length(message.payloads, n, "payloads")) if message.payloads else None,
            strata=numbers("strata"),
            groups=_columns.checked_length(groups, n, "groups") if len(groups) else None,
            estimand=enum_from_proto(Estimand, mining_service_pb2.Estimand, message.estimand) or Estimand.NONE,
            approximations=tuple(reason for reason in reasons if reason is not None),
            policy=MiningPolicy.from_proto(message.policy),
            filtered=FilterCounts.from_proto(message.filtered),
            sizes=PoolSizes.from_proto(message.sizes),
            position=message.position.token or None,
            eligible_fraction=optional_of(float, message, "eligible_fraction"),
            round=optional_of(Round.from_proto, message, "round"),
            degraded=False,
        )

    @classmethod
    def uniform(
        cls,
        rng: np.random.Generator,
        ids: int | Ids,
        batch_size: int,
        exclude: Ids | None = None,
        round: Round | None = None,
    ) -> MinedBatch:
        """Draws a degraded batch: uniformly, without replacement, with weights of 1.

        Args:
            rng: The source of randomness; unused with a round, whose ranks must draw alike.
            ids: A number N for the ids 0..N-1, or the ids to draw from.
            batch_size: Rows wanted; fewer come when there are fewer ids.
            exclude: Ids that are never drawn.
            round: This rank takes its share of one draw that all ranks repeat, so that their batches are disjoint.
        """
        ranks, rank = (1, 0) if round is None else (round.world_size, round.rank)
        if round is not None:
            rng = np.random.default_rng([round.number, *round.run_id.encode()])
        total = ids if isinstance(ids, int) else len(ids)
        spare = 0 if exclude is None else len(exclude)
        chosen = rng.choice(total, size=min(total, ranks * batch_size + spare), replace=False)
        drawn: Ids
        if isinstance(ids, int):
            drawn = chosen.astype(np.uint64)
        elif isinstance(ids, list):
            drawn = [ids[i] for i in chosen]
        else:
            drawn = ids[chosen]
        if exclude is not None and len(exclude):
            if isinstance(drawn, list):
                unwanted = set(exclude)
                drawn = [name for name in drawn if name not in unwanted]
            else:
                drawn = drawn[~np.isin(drawn, np.asarray(exclude, dtype=np.uint64))]
        drawn = drawn[: ranks * batch_size]
        share = len(drawn) / total if total else 0.0
        drawn = drawn[rank::ranks]
        n = len(drawn)
        return cls(
            ids=drawn,
            scores=np.full(n, np.nan, dtype=np.float32),
            importance_weights=np.ones(n, dtype=np.float32),
            inclusion_probabilities=np.full(n, share, dtype=np.float32),
            sources=np.full(n, Source.BACKGROUND.value, dtype=np.uint8),
            ages=None,
            model_versions=None,
            serves=None,
            payloads=None,
            estimand=Estimand.ALL if spare == 0 else Estimand.ELIGIBLE,
            policy=MiningPolicy(strategy=Strategy.UNIFORM, random_fraction=1.0),
            seed=0,
            hard_count=0,
            background_count=n,
            realized_random_fraction=1.0,
            shortfall_count=batch_size - n,
            timed_out=False,
            sizes=None,
            pool_uid=0,
            position=None,
            degraded=True,
            round=round,
        )
