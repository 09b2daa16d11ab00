"""The laws of scores that the audit reports, and what docs/methods.md 2.1 says they weigh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: POWER adds this to a score unless a pool says otherwise.
OFFSET = 0.001


@dataclass(frozen=True)
class Law:
    """A distribution of scores, with the pool that suits it.

    Attributes:
        name: What the table calls it.
        draw: Draws scores of shape (n,) with a generator of random numbers.
        options: `hardness` and the like, as `hardneg.Client.create_pool` takes them.
        heavy: Whether a few scores are most of the sum of all.
    """

    name: str
    draw: Callable[[np.random.Generator, int], Floats]
    options: Mapping[str, Any] = field(default_factory=dict)
    heavy: bool = False

    @property
    def lower_is_harder(self) -> bool:
        """Whether the lowest scores are the hardest."""
        return bool(self.options.get("lower_is_harder", False))

    def log_weights(self, scores: Floats) -> Floats:
        """Natural logarithms of the base weights of scores: docs/methods.md 2.1."""
        if self.options.get("hardness") == "exponential":
            sign = -1.0 if self.lower_is_harder else 1.0
            return sign * scores / float(self.options.get("temperature", 1.0))
        power = np.log(np.maximum(scores, 0.0) + OFFSET)
        return -power if self.lower_is_harder else power


def _bimodal(rng: np.random.Generator, n: int) -> Floats:
    easy, hard = rng.normal(0.05, 0.01, n), rng.normal(5.0, 0.5, n)
    return np.where(rng.random(n) < 0.1, hard, easy)


_COSINES = {"hardness": "exponential", "temperature": 0.02}

_ALL = (
    Law("lognormal σ=3", lambda rng, n: rng.lognormal(0.0, 3.0, n), heavy=True),
    Law("Pareto 1.2", lambda rng, n: 1.0 + rng.pareto(1.2, n), heavy=True),
    Law("cosines N(.3,.1) T=.02", lambda rng, n: np.clip(rng.normal(0.3, 0.1, n), -1.0, 1.0), _COSINES),
    Law("clustered U(.92,1)", lambda rng, n: rng.uniform(0.92, 1.0, n)),
    Law("sigmoid(N(4,1))", lambda rng, n: 1.0 / (1.0 + np.exp(-rng.normal(4.0, 1.0, n)))),
    Law("all equal", lambda rng, n: np.full(n, 0.5)),
    Law("bimodal", _bimodal),
    Law("distances", lambda rng, n: np.abs(rng.normal(1.0, 0.3, n)), {"lower_is_harder": True}),
    Law("cosines U(.60,.68) T=.02", lambda rng, n: rng.uniform(0.60, 0.68, n), _COSINES),
)

#: Every law by name.
LAWS: dict[str, Law] = {law.name: law for law in _ALL}
