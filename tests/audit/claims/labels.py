"""What a batch says that it estimates follows from the state before the draw: keeping batches by label is harmless."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from hardneg import Balance, Pool, ScoreWindow

from ..check import Check
from ..judge import functions_of, means
from ..laws import LAWS
from ..measure import measure
from ..plan import Plan
from ..population import Population
from ..world import World

N, CAPACITY, SIZE = 4_000, 500, 32
Mask = npt.NDArray[np.bool_]


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """A few ids excluded, leased or worn out, and limits that some draws meet; the background whole, and a sample."""
    for law in ("lognormal σ=3", "clustered U(.92,1)") if plan.full else ("clustered U(.92,1)",):
        population = Population(LAWS[law], N, plan.seed)
        few = _few(population, plan.seed)
        for background in (4_096, 512):
            how = "p=1" if background >= N else "p=1/8"
            yield from _excluded(world, plan, population, background, how, few)
            yield from _served(world, plan, population, background, how)
            yield from _limited(world, plan, population, background, how)


def _few(population: Population, seed: int) -> Mask:
    """Five of the hardest 250, and fifteen others."""
    rng = np.random.default_rng([seed, 17])
    few = np.zeros(population.n, dtype=bool)
    few[rng.choice(population.hardest_first[:250], 5, replace=False)] = True
    few[rng.choice(population.hardest_first[CAPACITY:], 15, replace=False)] = True
    return few


def _judge(
    world: World, plan: Plan, population: Population, pool: Pool, name: str, how: str, left: Mask, **options: Any
) -> Iterator[Check]:
    policy = {"strategy": "proportional", "alpha": 1.0, "random_fraction": 0.25, **options}
    # The bias of the minima is small: more draws show it beyond doubt.
    count = 4 * plan.draws if "min_per" in name else plan.draws
    drawn = measure(world.draw(pool, SIZE, count, plan.seed, **policy), population)
    labels, law = sorted(set(drawn.labels)), population.law.name
    figure = f"labels of {len(drawn.labels)} draws from one state: {', '.join(labels)}"
    yield Check(f"one state, one label, {how}", name, law, figure, len(labels), 1)
    if how != "p=1":
        return
    whole = np.ones(4)
    eligible = population.functions[:, left].sum(axis=1) / population.n
    yield from means(
        f"mean by label, {how}",
        name,
        law,
        drawn,
        lambda label: whole if label.startswith("all") else eligible,
        functions_of(population.law, policy),
    )


def _excluded(
    world: World, plan: Plan, population: Population, background: int, how: str, few: Mask
) -> Iterator[Check]:
    pool = world.pool(population, capacity=CAPACITY, background_size=background)
    one = np.zeros(population.n, dtype=bool)
    one[population.hardest_first[20]] = True
    for name, mask in (("20 ids excluded", few), ("a hard id excluded", one)):
        for strategy in ("proportional", "uniform", "top") if plan.full else ("proportional",):
            options = {"strategy": strategy, "exclude_ids": population.ids[mask]}
            yield from _judge(world, plan, population, pool, f"{strategy}, {name}", how, ~mask, **options)
    pool.delete()


def _served(world: World, plan: Plan, population: Population, background: int, how: str) -> Iterator[Check]:
    """One batch of 20 was leased, or worn out, before the draws."""
    for name, spec in (("20 leased", {"lease": 3_600}), ("20 worn, max_serves=1", {"max_serves": 1})):
        pool = world.pool(population, capacity=CAPACITY, background_size=background, **spec)  # type: ignore[arg-type]
        batch = pool.mine(20, seed=plan.seed, random_fraction=0.5)
        left = np.ones(population.n, dtype=bool)
        left[population.index(np.asarray(batch.ids))] = False
        for strategy in ("proportional", "top") if plan.full else ("proportional",):
            yield from _judge(world, plan, population, pool, f"{strategy}, {name}", how, left, strategy=strategy)
        pool.delete()


def _limited(world: World, plan: Plan, population: Population, background: int, how: str) -> Iterator[Check]:
    """Limits that some draws meet and others do not. Stratum 2 is what the function `rare` counts."""
    strata = np.where(population.functions[3] > 0, 2, 1).astype(np.uint32)
    groups = np.empty(population.n, dtype=np.uint64)
    groups[population.hardest_first] = np.arange(population.n) // 4 + 1
    columns = {"strata": strata, "groups": groups}
    pool = world.pool(population, columns=columns, capacity=CAPACITY, background_size=background)
    median = float(np.median(population.scores[population.hardest_first[:CAPACITY]]))
    cases: list[tuple[str, dict[str, Any]]] = [
        ("min_per_stratum 1", {"balance": Balance(min_per_stratum=1)}),
        ("cap 1 of a rare stratum", {"balance": Balance(stratum_caps={2: 1})}),
        ("max_per_group 1", {"balance": Balance(max_per_group=1)}),
        ("score window over half", {"windows": [ScoreWindow(min=median)]}),
    ]
    left = np.ones(population.n, dtype=bool)
    for name, options in cases if plan.full else cases[1:]:
        yield from _judge(world, plan, population, pool, f"proportional, {name}", how, left, **options)
    pool.delete()
