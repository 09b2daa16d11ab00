"""Enums of the contract. Their members equal their lower-case names, so that a caller may give a plain string."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeVar


class Choice(str, Enum):
    """An enum whose members are their lower-case names, so that a plain string will do."""

    def __str__(self) -> str:
        return str(self.value)


_E = TypeVar("_E", bound=Choice)


def parse_choice(kind: type[_E], value: _E | str, name: str) -> _E:
    """The member that a caller gave, as itself or by its lower-case name.

    Raises:
        ValueError: There is no such member; `name` is what the text calls the argument.
    """
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(repr(str(member)) for member in kind)
        raise ValueError(f"{name} must be one of {allowed}, not {value!r}") from None


class Strategy(Choice):
    """How hard samples are chosen."""

    #: The hardest. Deterministic, so it has no importance weights at random_fraction 0.
    TOP = "top"
    #: Probability proportional to weight^alpha.
    PROPORTIONAL = "proportional"
    #: Probability proportional to rank^-alpha: robust to outliers.
    RANK = "rank"
    #: Every sample of the hard store with the same probability.
    UNIFORM = "uniform"
    #: The samples whose last report is oldest: those that a trainer should score again.
    STALEST = "stalest"


class Normalization(Choice):
    """How importance weights are scaled."""

    #: mean(w * f) estimates the mean of f; a uniform draw has w = 1.
    NONE = "none"
    #: Divided by the batch's largest.
    MAX = "max"
    #: Divided by the batch's mean.
    MEAN = "mean"


class Shortfall(Choice):
    """What happens when there are fewer hard samples than the batch needs."""

    #: The batch is smaller, and keeps the requested mixture.
    SHORT = "short"
    #: The background fills the batch.
    FILL = "fill"
    #: `FailedPrecondition`.
    ERROR = "error"
    #: Only for `Pool.mine_negatives`: as FILL, and the background also serves samples that no filter can judge, because
    #: they have no score for the anchor.
    FILL_UNSCORED = "fill_unscored"


class Estimand(Choice):
    """What ``mean(importance_weights * f)`` over a batch estimates."""

    #: The mean of f over all ids reported.
    ALL = "all"
    #: The mean of f over the hard store, or over its samples in the rank and quantile windows (random_fraction 0).
    HARD_STORE = "hard_store"
    #: The sum of f over the eligible ids divided by the number of all ids. Divided by
    #: `MinedBatch.eligible_fraction` it is the mean over the eligible.
    ELIGIBLE = "eligible"
    #: Nothing: the batch carries no weights.
    NONE = "none"
    #: As ALL or ELIGIBLE, approximately; `MinedBatch.approximations` says why.
    APPROXIMATE = "approximate"


class Approximation(Choice):
    """Why importance weights are approximate."""

    #: The server stopped counting at its scan limit.
    SCAN_LIMIT = "scan_limit"
    #: The membership of the hard store depends on that of the background by more than chance
    #: (`PoolSizes.closed_loop_ratio`), so that weights count ids outside the background too often or too seldom.
    #: Reporting ids that were not mined cures it.
    CLOSED_LOOP = "closed_loop"


class ScheduleShape(Choice):
    """How a schedule gets from one value to the other."""

    LINEAR = "linear"
    #: Fast at first.
    SQRT = "sqrt"


class NegativeStrategy(Choice):
    """How an anchor's negatives are chosen."""

    #: The hardest.
    TOP = "top"
    #: Every eligible one with the same probability.
    RANDOM = "random"
    #: Probability proportional to weight^alpha.
    PROPORTIONAL = "proportional"
    #: Those just easier than the positive, each with the same probability. Schroff et al. 2015 (FaceNet).
    SEMI_HARD = "semi_hard"
    #: Probability proportional to the inverse density of distances on a sphere. Wu et al. 2017.
    DISTANCE_WEIGHTED = "distance_weighted"


class SamplePlace(Choice):
    """Where a pool holds a sample."""

    HARD = "hard"
    #: In the background only.
    BACKGROUND = "background"
    QUARANTINE = "quarantine"
    BLOCKED = "blocked"
    #: Never reported, dropped as too easy, evicted, or removed.
    NOWHERE = "nowhere"


class Source(int, Enum):
    """Where a sample was drawn from."""

    HARD = 1
    BACKGROUND = 2


class AckStatus(Choice):
    """The outcome of a reported batch."""

    APPLIED = "applied"
    #: The batch is a resend of one that was applied; it did nothing.
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    #: Applied, but over half of the rows were older than what is stored.
    STALE = "stale"


class HardnessFunction(Choice):
    """How a score becomes a weight."""

    #: b = max(score, 0) + offset: for a loss or a probability.
    POWER = "power"
    #: b = exp(score / temperature): for a similarity or a logit.
    EXPONENTIAL = "exponential"


class ScoreUpdate(Choice):
    """What a new report of a known id does to its score."""

    LAST = "last"
    MAX = "max"
    EMA = "ema"


class IdKind(Choice):
    """The kind of a pool's ids."""

    U64 = "u64"
    STRING = "string"


class Durability(Choice):
    """What an acknowledged report survives. Servers of this version offer NONE."""

    NONE = "none"
    ASYNC = "async"
    SYNC = "sync"


def enum_to_proto(wrapper: Any, choice: Choice) -> Any:
    """The number of a member in the contract: that of `STRATEGY_TOP` for `Strategy.TOP`."""
    return wrapper.Value(wrapper.Name(0).removesuffix("UNSPECIFIED") + choice.name)


def enum_from_proto(kind: type[_E], wrapper: Any, number: int) -> _E | None:
    """The member of a number in the contract; None where it is unspecified, or newer than this client."""
    if number == 0 or number not in wrapper.values():
        return None
    prefix = wrapper.Name(0).removesuffix("UNSPECIFIED")
    return kind[wrapper.Name(number).removeprefix(prefix)]
