"""A check: one figure beside its truth, with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from .laws import Floats

#: The chance that a run of the audit fails although every claim holds.
FALSE_ALARM = 1e-3


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Attributes:
        claim: What should hold. Known failures are listed by claim and strategy.
        strategy: The policy of the draws.
        law: The law of the scores.
        figure: What was estimated.
        estimate: Its value.
        truth: What the claim says that it is, from the scores reported.
        error: Its standard error; 0 for a figure without chance.
        samples: Independent samples that the standard error is from.
        allowance: How far the claim lets the expectation be from the truth, either way.
        skewness: Of the samples.
    """

    claim: str
    strategy: str
    law: str
    figure: str
    estimate: float
    truth: float
    error: float = 0.0
    samples: int = 0
    allowance: float = 0.0
    skewness: float = 0.0

    @property
    def key(self) -> str:
        """By which it is listed."""
        return f"{self.claim} / {self.strategy}"

    @property
    def z(self) -> float:
        """How many standard errors it is beyond the allowance, as a standard normal variable.

        Means of skewed samples are low more often than they are high, so t is corrected for the skewness by Hall's
        cubic (Hall 1992, Journal of the Royal Statistical Society B 54), and then turned into a normal variable by
        Wallace's approximation (Wallace 1959, Annals of Mathematical Statistics 30).
        """
        beyond = max(abs(self.estimate - self.truth) - self.allowance, 0.0)
        if not self.error:
            return 0.0 if beyond <= 0 else math.inf
        t, freedom = math.copysign(beyond / self.error, self.estimate - self.truth), max(self.samples - 1, 1)
        skew = self.skewness / math.sqrt(freedom + 1) if beyond > 0 else 0.0
        t += skew * t * t / 3 + skew / 6 + skew * skew * t**3 / 27
        size = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
        return math.copysign(size, t)

    def passes(self, threshold: float) -> bool:
        """Whether it is no further from the truth than chance allows."""
        return math.isfinite(self.estimate) and abs(self.z) <= threshold


def threshold(checks: list[Check]) -> float:
    """The |z| beyond which a check fails, so that all together fail by chance in 1 of 1,000 runs (Šidák)."""
    tests = sum(check.error > 0 for check in checks)
    each = -math.expm1(math.log1p(-FALSE_ALARM) / max(tests, 1))
    return NormalDist().inv_cdf(1 - each / 2)


def mean_and_error(values: Floats) -> tuple[float, float]:
    """The mean of independent values and its standard error.

    Values that agree to 7 digits, as float32 columns do, are one figure without chance.
    """
    mean = float(values.mean())
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
    return mean, 0.0 if error < 1e-7 * abs(mean) else error


def skewness_of(values: Floats) -> float:
    """The third central moment over the cube of the standard deviation; 0 where values do not differ."""
    deviations = values - values.mean()
    spread = float((deviations**2).mean())
    return float((deviations**3).mean()) / spread**1.5 if spread > 1e-14 else 0.0


def of_mean(
    claim: str,
    strategy: str,
    law: str,
    figure: str,
    values: npt.NDArray[Any],
    truth: float,
    allowance: float = 0.0,
) -> Check:
    """A check of the mean of independent values."""
    numbers = np.asarray(values, dtype=np.float64)
    mean, error = mean_and_error(numbers)
    # What float32 columns round away is no failure.
    return Check(
        claim,
        strategy,
        law,
        figure,
        mean,
        truth,
        error,
        len(values),
        allowance + 1e-5 * abs(truth),
        skewness_of(numbers),
    )
