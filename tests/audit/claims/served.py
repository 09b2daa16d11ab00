"""Samples that were leased, worn out or excluded: the batch says ELIGIBLE, and its means are of those that are left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..check import Check
from ..judge import functions_of, means, pooled_means
from ..laws import LAWS, Floats
from ..measure import Draws, measure
from ..plan import Plan
from ..policies import Policy, policy
from ..population import FUNCTIONS, Population
from ..world import FIELDS, World

N, CAPACITY, BATCHES = 4_000, 500, 12
POLICIES = (
    policy("proportional", 0.25, alpha=1.0),
    policy("uniform", 0.25),
    policy("top", 0.25),
    policy("rank", 0.5, alpha=1.0),
    policy("uniform", 0.9, 256),
)


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """Twelve leased batches in a row, the same with max_serves, and exclusions; the background whole, and a sample."""
    laws = ("lognormal σ=3", "clustered U(.92,1)", "distances") if plan.full else ("clustered U(.92,1)",)
    policies = POLICIES if plan.full else POLICIES[:1]
    for law in laws:
        population = Population(LAWS[law], N, plan.seed)
        for background in (4_096, 512):
            for each in policies:
                # A limit of 2 wears fewer out, so that only the largest batches tell.
                for limit in (0, 1, 2) if each.size > 64 else (0, 1):
                    yield from _worn(world, plan, population, each, background, limit)
        yield from _excluded(world, plan, population)


def _worn(
    world: World, plan: Plan, population: Population, policy: Policy, background: int, limit: int
) -> Iterator[Check]:
    """Batches in a row; limit 0 leases what is served, else a sample may be served so often."""

    def one(number: int) -> tuple[Draws, Floats]:
        spec: dict[str, Any] = {"max_serves": limit} if limit else {"lease": 3_600}
        pool = world.pool(population, capacity=CAPACITY, background_size=background, **spec)
        served = np.zeros(population.n, dtype=np.int64)
        batches, expected = [], []
        for turn in range(BATCHES):
            seed = plan.seed + BATCHES * number + turn
            batch = pool.mine(policy.size, seed=seed, fields=FIELDS, **policy.options)
            left = served < (limit or 1)
            batches.append(batch)
            expected.append(population.functions[:, left].sum(axis=1) / population.n if not left.all() else np.ones(4))
            served[population.index(np.asarray(batch.ids))] += 1
        pool.delete()
        drawn = measure(batches, population)
        # A label without ELIGIBLE says that the mean is over all ids, whatever was left out.
        everything = np.array([label.startswith("all") for label in drawn.labels])
        return drawn, np.where(everything[:, None], 1.0, np.array(expected))

    count = plan.pools // 2 if plan.full else plan.pools
    pools, truths = zip(*world.each(count, one), strict=True)
    how = f"max_serves={limit}" if limit else "leases"
    whole = background >= population.n
    claim = f"mean under {how}, p={'1' if whole else '1/8'}"
    bias = 0.0 if whole else 1.2 / background
    # Once the hardest are served, the mean score of a heavy law is that of a few samples; and so few pools tell nothing
    # about what is rare.
    functions = ("one", "independent") if population.law.heavy else ("one", "score", "independent")
    yield from pooled_means(claim, policy.name, population.law.name, pools, truths, bias, functions)


def _excluded(world: World, plan: Plan, population: Population) -> Iterator[Check]:
    """A quarter of the ids excluded by the request."""
    rng = np.random.default_rng([plan.seed, 7])
    excluded = rng.random(population.n) < 0.25
    # Of the hardest, half.
    top = population.hardest_first[:100]
    excluded[top] = rng.random(len(top)) < 0.5
    pool = world.pool(population, capacity=CAPACITY, background_size=4_096)
    truth = population.functions[:, ~excluded].sum(axis=1) / population.n
    for each in POLICIES[:4] if plan.full else POLICIES[:1]:
        options = {**each.options, "exclude_ids": population.ids[excluded]}
        drawn: Draws = measure(world.draw(pool, each.size, plan.draws, plan.seed, **options), population)
        name = population.law.name
        yield from means(
            "mean under exclude_ids, p=1",
            each.name,
            name,
            drawn,
            lambda label: np.ones(len(FUNCTIONS)) if label.startswith("all") else truth,
            functions_of(population.law, options),
        )
    pool.delete()
