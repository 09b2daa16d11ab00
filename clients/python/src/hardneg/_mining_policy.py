"""How a batch is mined: the policy, its windows, and the wait before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from ._balance import Balance
from ._curriculum import Curriculum
from ._enums import Normalization, Shortfall, Strategy, enum_from_proto, enum_to_proto, parse_choice
from ._messages import dataclass_of
from ._proto import policy_pb2
from ._windows import Window, window_from_proto, window_to_proto


class PolicyOptions(TypedDict, total=False):
    """The fields of `MiningPolicy` as keyword arguments."""

    strategy: Strategy | str | None
    alpha: float | None
    random_fraction: float | None
    beta: float | None
    normalization: Normalization | str | None
    windows: Sequence[Window] | None
    shortfall: Shortfall | str | None
    curriculum: Curriculum | None
    balance: Balance | None


@dataclass(frozen=True)
class MiningPolicy:
    """How a batch is mined: the keyword arguments of the same names of `Pool.mine`, which describes them.

    A field that is None, and an empty `windows`, takes the pool's default policy, and then the service's. An empty
    `Curriculum` or `Balance` switches the pool's off.

    Example:
        >>> pool.update(default_policy=hardneg.MiningPolicy(alpha=0.5, random_fraction=0.1))
    """

    strategy: Strategy | str | None = None
    alpha: float | None = None
    random_fraction: float | None = None
    beta: float | None = None
    normalization: Normalization | str | None = None
    windows: Sequence[Window] = ()
    shortfall: Shortfall | str | None = None
    curriculum: Curriculum | None = None
    balance: Balance | None = None

    def to_proto(self) -> policy_pb2.MiningPolicy:
        message = policy_pb2.MiningPolicy(windows=map(window_to_proto, self.windows))
        if self.strategy is not None:
            choice = parse_choice(Strategy, self.strategy, "strategy")
            message.strategy = enum_to_proto(policy_pb2.Strategy, choice)
        if self.normalization is not None:
            scale = parse_choice(Normalization, self.normalization, "normalization")
            message.normalization = enum_to_proto(policy_pb2.Normalization, scale)
        if self.shortfall is not None:
            rule = parse_choice(Shortfall, self.shortfall, "shortfall")
            message.shortfall = enum_to_proto(policy_pb2.Shortfall, rule)
        for name in ("alpha", "random_fraction", "beta"):
            value = getattr(self, name)
            if value is not None:
                setattr(message, name, float(value))
        # An empty one is sent too: it switches the pool's off.
        if self.curriculum is not None:
            message.curriculum.SetInParent()
            message.curriculum.CopyFrom(self.curriculum.to_proto())
        if self.balance is not None:
            message.balance.SetInParent()
            message.balance.CopyFrom(self.balance.to_proto())
        return message

    @classmethod
    def from_proto(cls, message: policy_pb2.MiningPolicy) -> MiningPolicy:
        return dataclass_of(
            cls,
            message,
            strategy=enum_from_proto(Strategy, policy_pb2.Strategy, message.strategy),
            normalization=enum_from_proto(Normalization, policy_pb2.Normalization, message.normalization),
            windows=tuple(map(window_from_proto, message.windows)),
            shortfall=enum_from_proto(Shortfall, policy_pb2.Shortfall, message.shortfall),
            # A server may answer with an empty message or with none: both are off.
            curriculum=Curriculum.from_proto(message.curriculum) if message.curriculum.ByteSize() else None,
            balance=Balance.from_proto(message.balance) if message.balance.ByteSize() else None,
        )


@dataclass(frozen=True)
class Wait:
    """The server waits until the hard store holds `min_size` samples, or `timeout` seconds (at most 300) are over."""

    min_size: int
    timeout: float = 10.0
