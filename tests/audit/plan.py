"""How much is drawn: the whole audit, or the short form that every test run has."""

from __future__ import annotations

from dataclasses import dataclass

from .laws import LAWS, Law


@dataclass(frozen=True)
class Plan:
    """Sizes of an audit.

    Attributes:
        full: Whether it is the whole audit.
        draws: Draws from one pool.
        pools: Pools with salts of their own, where the background is a sample.
        seed: Of the populations and of every draw.
    """

    full: bool
    draws: int
    pools: int
    seed: int = 1

    @property
    def laws(self) -> list[Law]:
        """The laws to report."""
        names = LAWS if self.full else ("lognormal σ=3", "clustered U(.92,1)")
        return [LAWS[name] for name in names]


FULL = Plan(full=True, draws=600, pools=60)
QUICK = Plan(full=False, draws=400, pools=40)
