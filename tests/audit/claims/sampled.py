"""Pools whose background is a sample (p < 1): means and what 1/π counts, over pools with salts of their own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..check import Check, of_mean
from ..judge import functions_of, loose, pooled_means
from ..laws import Floats
from ..measure import Draws, measure
from ..plan import Plan
from ..policies import AT_REST, Policy
from ..population import FUNCTIONS, Population
from ..world import World

N, CAPACITY, BACKGROUND, DRAWS = 4_000, 500, 512, 8
#: 1/N̂ is biased by 1/m: docs/methods.md 4.1.
BIAS = 1.2 / BACKGROUND


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """Every policy with a background, on every law; one partition, and four."""
    policies = [each for each in AT_REST if each.random_fraction > 0]
    for law in plan.laws if plan.full else plan.laws[:1]:
        population = Population(law, N, plan.seed)
        yield from _pools(world, plan, population, policies if plan.full else policies[:4], shards=1)
    if plan.full:
        yield from _pools(world, plan, Population(plan.laws[0], N, plan.seed), policies[:3], shards=4)


def _pools(world: World, plan: Plan, population: Population, policies: list[Policy], shards: int) -> Iterator[Check]:

    distinct = np.zeros(plan.pools)

    def one(number: int) -> list[Draws]:
        pool = world.pool(population, capacity=CAPACITY, background_size=BACKGROUND * shards, shards=shards)
        seed = plan.seed + DRAWS * number
        found = [measure(world.draw(pool, each.size, DRAWS, seed, **each.options), population) for each in policies]
        distinct[number] = pool.stats().sizes.distinct
        pool.delete()
        return found

    of_pools = list(world.each(plan.pools, one))
    law = population.law.name
    ones = np.ones((DRAWS, len(FUNCTIONS)))
    yield from _distinct(population, distinct, BACKGROUND * shards)
    parts = "" if shards == 1 else f", {shards} partitions"
    for policy, pools in zip(policies, zip(*of_pools, strict=True), strict=True):
        name, functions = policy.name, functions_of(population.law, policy.options)
        # A batch of 8 seldom has a sample that counts in the mean score of a heavy law.
        if population.law.heavy and policy.size < 64:
            functions = tuple(function for function in functions if function != "score")
        claim = f"mean over pools, p=1/8{parts}" if shards == 1 else f"mean over pools{parts}"
        yield from pooled_means(claim, name, law, pools, [ones] * len(pools), BIAS, functions)
        if "windows" in name or not all(draws.weighted for draws in pools):
            continue
        counted = np.array([draws.counted.mean() for draws in pools])
        label = str(pools[0].labels[0])
        allowed = population.n * (BIAS + loose(label))
        yield of_mean(f"Σ1/π over pools{parts}", name, law, label, counted, population.n, allowed)


def _distinct(population: Population, found: Floats, size: int) -> Iterator[Check]:
    """N̂ is unbiased, and one background of m ids errs by sqrt((1 - p) / m) for as long as it serves."""
    law, name, ratios = population.law.name, f"m={size}", found / population.n
    yield of_mean("number of ids, N̂", name, law, "N̂/N", ratios, 1.0)
    deviation = float(ratios.std(ddof=1))
    error = deviation / np.sqrt(2 * (len(ratios) - 1))
    truth = float(np.sqrt((1 - size / population.n) / size))
    yield Check("number of ids, N̂", name, law, "sd of N̂/N over pools", deviation, truth, error, len(ratios), truth / 20)
