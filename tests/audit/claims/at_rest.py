"""Pools at rest whose background holds every id (p = 1): means, what 1/π counts, the share of background."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import hardneg
import numpy as np

from ..check import Check, of_mean
from ..judge import LEAST_DRAWS, functions_of, loose, means
from ..measure import Draws, measure
from ..plan import Plan
from ..policies import AT_REST, SHORT, Policy
from ..population import FUNCTIONS, Population
from ..world import World, places

N, CAPACITY = 4_000, 500


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """Every policy on every law."""
    for law in plan.laws:
        population = Population(law, N, plan.seed)
        pool = world.pool(population, capacity=CAPACITY, background_size=4_096)
        hard, _ = places(pool, population)
        for policy in AT_REST if plan.full else AT_REST[:SHORT]:
            draws = measure(world.draw(pool, policy.size, plan.draws, plan.seed, **policy.options), population)
            yield from _judge(population, policy, hard, draws)
        pool.delete()


def _judge(population: Population, policy: Policy, hard: np.ndarray, draws: Draws) -> Iterator[Check]:
    name, law = policy.name, population.law.name
    functions = functions_of(population.law, policy.options)
    if "windows" in policy.options and np.ptp(population.scores) == 0:
        # Which of equal scores are in a window of ranks only the service knows.
        functions = ("one", "score")
    truths = functools.partial(_truths, population, policy, hard)
    yield from means("mean at rest, p=1", name, law, draws, truths, functions)
    if "windows" not in policy.options:
        candidates = float(hard.sum() if policy.random_fraction == 0 else population.n)
        for label, group in draws.groups(LEAST_DRAWS):
            if group.weighted:
                allowed = loose(label) * candidates
                yield of_mean("Σ1/π at rest, p=1", name, law, label, group.counted, candidates, allowed)
    asked = policy.random_fraction
    yield of_mean("share of background", name, law, "rows from background", draws.background, asked, 0.03 * asked)


def _truths(population: Population, policy: Policy, hard: np.ndarray, label: str) -> np.ndarray:
    """The mean of each function over what the label says: (4,)."""
    if not label.startswith("hard_store"):
        return np.ones(len(FUNCTIONS))
    if "windows" not in policy.options:
        return np.asarray(population.functions[:, hard].mean(axis=1))
    (window,) = policy.options["windows"]
    assert isinstance(window, hardneg.RankWindow)
    return np.asarray(population.functions[:, population.hardest_first[window.min : window.max]].mean(axis=1))
