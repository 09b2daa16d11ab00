"""Limits on how much of a batch may come from one stratum or one group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real

from ._messages import dataclass_of
from ._proto import policy_pb2


@dataclass(frozen=True)
class Balance:
    """Limits on strata (classes, sources) and groups (near-duplicates). They hold exactly, over a whole batch or round.

    A share is a fraction of the requested batch size, rounded down, but at least one sample.

    Attributes:
        max_stratum_fraction: Greatest share of any stratum, over 0 to 1; None is no limit.
        stratum_caps: Limits of single strata, which override it: a float is a share (0.0 keeps the stratum out), an
            int a number of samples.
        equal_shares: Gives every stratum the same share. It excludes the two above.
        min_per_stratum: Least number of samples of each stratum, as far as the pool has them. Over 0 it makes the
            weights approximate.
        max_per_group: Greatest number of samples of one group; 0 is no limit.

    Example:
        >>> rare_first = hardneg.Balance(max_stratum_fraction=0.2, stratum_caps={0: 0.05, 7: 10}, max_per_group=2)
        >>> batch = pool.mine(256, balance=rare_first, fields="all")
    """

    max_stratum_fraction: float | None = None
    stratum_caps: Mapping[int, float | int] = field(default_factory=dict)
    equal_shares: bool = False
    min_per_stratum: int = 0
    max_per_group: int = 0

    def __post_init__(self) -> None:
        if self.max_stratum_fraction is not None and not 0 < self.max_stratum_fraction <= 1:
            raise ValueError(f"max_stratum_fraction must be over 0, at most 1, not {self.max_stratum_fraction}")
        if self.equal_shares and (self.max_stratum_fraction is not None or self.stratum_caps):
            raise ValueError("equal_shares excludes max_stratum_fraction and stratum_caps")
        for stratum, limit in self.stratum_caps.items():
            if isinstance(limit, bool) or not isinstance(limit, Real):
                raise TypeError(f"stratum_caps[{stratum}] must be a float (a share) or an int (samples), not {limit!r}")
            if not isinstance(limit, Integral) and not 0 <= limit <= 1:
                raise ValueError(f"stratum_caps[{stratum}], a share, must be 0 to 1, not {limit}")
            if limit < 0:
                raise ValueError(f"stratum_caps[{stratum}] must not be negative")

    def to_proto(self) -> policy_pb2.Balance:
        caps = [
            policy_pb2.StratumCap(stratum=stratum, max_count=int(limit))
            if isinstance(limit, Integral)
            else policy_pb2.StratumCap(stratum=stratum, max_fraction=float(limit))
            for stratum, limit in self.stratum_caps.items()
        ]
        return policy_pb2.Balance(
            max_stratum_fraction=self.max_stratum_fraction or 0.0,
            stratum_caps=caps,
            equal_shares=self.equal_shares,
            min_per_stratum=self.min_per_stratum,
            max_per_group=self.max_per_group,
        )

    @classmethod
    def from_proto(cls, message: policy_pb2.Balance) -> Balance:
        return dataclass_of(
            cls,
            message,
            max_stratum_fraction=message.max_stratum_fraction or None,
            stratum_caps={
                cap.stratum: cap.max_count if cap.WhichOneof("limit") == "max_count" else cap.max_fraction
                for cap in message.stratum_caps
            },
        )
