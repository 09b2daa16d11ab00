"""The policies that the audit draws with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import hardneg


@dataclass(frozen=True)
class Policy:
    """A policy and a batch size.

    Attributes:
        name: What the table calls it.
        size: Samples of a batch.
        options: As `hardneg.Pool.mine` takes them.
    """

    name: str
    size: int
    options: Mapping[str, Any]

    @property
    def random_fraction(self) -> float:
        """The share asked from the background."""
        return float(self.options["random_fraction"])


def policy(strategy: str, random_fraction: float, size: int = 64, **options: Any) -> Policy:
    """A policy, named by what it asks for."""
    alpha = f" α={options['alpha']:g}" if "alpha" in options else ""
    extra = "".join(f" {name}" for name in options if name not in ("alpha", "shortfall"))
    name = f"{strategy}{alpha} ε={random_fraction:g} B={size}{extra}"
    return Policy(name, size, {"strategy": strategy, "random_fraction": random_fraction, **options})


_WINDOW = [hardneg.RankWindow(min=40, max=300)]

#: Draws from pools at rest. Those that the short form draws are first.
AT_REST = (
    policy("proportional", 0.25, alpha=1.0),
    policy("rank", 0.25, alpha=1.0),
    policy("uniform", 0.25),
    policy("top", 0.25),
    policy("top", 0.01, 32),
    policy("proportional", 0.0, alpha=1.0),
    policy("proportional", 0.0, alpha=1.0, windows=_WINDOW),
    policy("proportional", 0.25, alpha=0.6),
    policy("proportional", 0.05, alpha=6.0),
    policy("proportional", 0.25, alpha=1.0, windows=_WINDOW),
    policy("proportional", 1.0, alpha=1.0),
    policy("rank", 0.0, alpha=0.7),
    policy("uniform", 0.0),
    policy("uniform", 0.5, 8),
)
SHORT = 7
