"""Limits on strata and groups: means stay those of all ids, whatever label a batch got."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hardneg
import numpy as np
import numpy.typing as npt
from hardneg import Balance

from ..check import Check
from ..judge import functions_of, means, pooled_means
from ..laws import LAWS
from ..measure import Draws, measure
from ..plan import Plan
from ..population import FUNCTIONS, Population
from ..world import World

N, CAPACITY, SIZE, DRAWS = 4_000, 500, 64, 8
#: Shares of strata 1 to 6 among easy samples; of the 400 hardest, 7 of 10 are of stratum 1.
SHARES = (0.4, 0.3, 0.15, 0.1, 0.03, 0.02)


@dataclass(frozen=True)
class Case:
    """A limit.

    Attributes:
        name: What the table calls it.
        balance: The limit.
        left_out: A stratum that it keeps out; 0 is none.
    """

    name: str
    balance: Balance
    left_out: int = 0


CASES = (
    Case("max_stratum_fraction .3", Balance(max_stratum_fraction=0.3)),
    Case("max_per_group 1", Balance(max_per_group=1)),
    Case("equal_shares", Balance(equal_shares=True)),
    Case("stratum 2 kept out", Balance(stratum_caps={2: 0}), 2),
    Case("cap 5 of stratum 1", Balance(stratum_caps={1: 5})),
    Case("cap .3 and group 2", Balance(max_stratum_fraction=0.3, max_per_group=2)),
)


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """Each limit: many draws where p = 1, and over pools where the background is a sample."""
    laws = ("lognormal σ=3", "clustered U(.92,1)", "bimodal") if plan.full else ("lognormal σ=3",)
    for law in laws:
        population = Population(LAWS[law], N, plan.seed)
        strata, groups = _columns(population, plan.seed)
        columns: dict[str, Any] = {"strata": strata, "groups": groups}
        pool = world.pool(population, columns=columns, capacity=CAPACITY, background_size=4_096)
        for case in CASES if plan.full else CASES[:3]:
            for fraction in (0.25, 0.0) if plan.full else (0.25,):
                yield from _one(world, plan, population, pool, case, fraction, strata)
        pool.delete()
        if plan.full:
            yield from _over_pools(world, plan, population, columns, strata)


def _columns(population: Population, seed: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64]]:
    """The strata and the groups: groups are of four neighbours in hardness."""
    rng = np.random.default_rng([seed, 11])
    strata = rng.choice(np.arange(1, 7), population.n, p=SHARES).astype(np.uint32)
    hardest = population.hardest_first[:400]
    strata[hardest[rng.random(400) < 0.5]] = 1
    groups = np.empty(population.n, dtype=np.uint64)
    groups[population.hardest_first] = np.arange(population.n) // 4 + 1
    return strata, groups


def _one(
    world: World,
    plan: Plan,
    population: Population,
    pool: hardneg.Pool,
    case: Case,
    fraction: float,
    strata: npt.NDArray[np.uint32],
) -> Iterator[Check]:
    hard = np.zeros(population.n, dtype=bool)
    hard[population.hardest_first[:CAPACITY]] = True
    among = hard if fraction == 0 else np.ones(population.n, dtype=bool)
    inside = among & (strata != case.left_out)

    def truths(label: str) -> npt.NDArray[np.float64]:
        kept = among if label.startswith(("all", "hard_store")) else inside
        return np.asarray(population.functions[:, kept].sum(axis=1) / among.sum())

    policy = {"strategy": "proportional", "alpha": 1.0, "random_fraction": fraction, "balance": case.balance}
    drawn = measure(world.draw(pool, SIZE, plan.draws, plan.seed, **policy), population)
    name = f"proportional ε={fraction:g} B={SIZE} {case.name}"
    yield from means("mean under limits, p=1", name, population.law.name, drawn, truths, _functions(population, case))


def _over_pools(
    world: World,
    plan: Plan,
    population: Population,
    columns: dict[str, Any],
    strata: npt.NDArray[np.uint32],
) -> Iterator[Check]:
    def one(number: int) -> list[Draws]:
        found = []
        pool = world.pool(population, columns=columns, capacity=CAPACITY, background_size=512)
        for case in CASES:
            policy = {"strategy": "proportional", "alpha": 1.0, "random_fraction": 0.25, "balance": case.balance}
            found.append(measure(world.draw(pool, SIZE, DRAWS, plan.seed + DRAWS * number, **policy), population))
        pool.delete()
        return found

    for case, pools in zip(CASES, zip(*world.each(plan.pools, one), strict=True), strict=True):
        inside = population.functions[:, strata != case.left_out].sum(axis=1) / population.n
        truths = [
            np.where(np.char.startswith(draws.labels, "all")[:, None], np.ones(len(FUNCTIONS)), inside)
            for draws in pools
        ]
        name = f"proportional ε=0.25 B={SIZE} {case.name}"
        claim, law = "mean under limits, p=1/8", population.law.name
        yield from pooled_means(claim, name, law, pools, truths, 1.2 / 512, _functions(population, case))


def _functions(population: Population, case: Case) -> tuple[str, ...]:
    """Equal shares make a few weights very large, so that of something rare hundreds of batches tell nothing."""
    functions = functions_of(population.law, {"strategy": "proportional", "random_fraction": 0.25})
    return tuple(name for name in functions if name != "rare") if case.balance.equal_shares else functions
