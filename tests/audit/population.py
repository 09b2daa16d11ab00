"""A population of samples: ids, scores, and functions whose means are known."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from .laws import Floats, Law

#: The functions of a sample whose means are estimated. Each has mean 1 over the population.
FUNCTIONS = ("one", "score", "independent", "rare")


class Population:
    """Samples 1 to n with scores of one law.

    Attributes:
        law: Where the scores are from.
        n: Number of samples.
        ids: uint64 (n,), 1 to n.
        scores: float64 (n,), each exactly representable in float32, which is what a pool keeps.
        functions: (4, n), the values of `FUNCTIONS` for each sample, with mean 1.
    """

    def __init__(self, law: Law, n: int, seed: int) -> None:
        rng = np.random.default_rng([seed, n])
        self.law, self.n = law, n
        self.ids = np.arange(1, n + 1, dtype=np.uint64)
        self.scores: Floats = law.draw(rng, n).astype(np.float32).astype(np.float64)
        rare = np.zeros(n)
        rare[rng.choice(n, max(n // 20, 1), replace=False)] = 1.0
        shifted = self.scores - min(self.scores.min(), 0.0)
        values = np.stack([np.ones(n), shifted, rng.uniform(0.5, 1.5, n), rare])
        self.functions: Floats = values / values.mean(axis=1, keepdims=True)

    @cached_property
    def hardest_first(self) -> npt.NDArray[np.int64]:
        """Indices of the samples, the hardest first. Where scores are equal the service's own order is unknown."""
        return np.argsort(self.scores if self.law.lower_is_harder else -self.scores, kind="stable")

    @cached_property
    def log_weights(self) -> Floats:
        """Natural logarithms of weights."""
        return self.law.log_weights(self.scores)

    def masses(self, alpha: float) -> Floats:
        """Masses of PROPORTIONAL, weight^alpha, divided by the largest."""
        logs = alpha * self.log_weights
        return np.asarray(np.exp(logs - logs.max()))

    def index(self, ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Indices of samples by their ids."""
        return np.asarray(ids, dtype=np.int64) - 1
