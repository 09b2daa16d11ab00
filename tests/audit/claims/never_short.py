"""A batch has fewer rows than asked for only if both sources are exhausted."""

from __future__ import annotations

from collections.abc import Iterator

import hardneg
import numpy as np
from hardneg import Pool

from ..check import Check
from ..laws import LAWS
from ..plan import Plan
from ..population import Population
from ..world import FIELDS, World, places

FRACTIONS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.9, 1.0)
STRATEGIES = ("proportional", "rank", "uniform", "top")


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """Without leases around B = |R|, and with leases until a source runs dry."""
    laws = ("lognormal σ=3", "clustered U(.92,1)", "bimodal") if plan.full else ("lognormal σ=3",)
    for law in laws:
        population = Population(LAWS[law], 40_000, plan.seed)
        for background in (16, 256, 1_024, 4_096) if plan.full else (256,):
            pool = world.pool(population, capacity=20_000, background_size=background)
            hard, sampled = places(pool, population)
            for strategy in STRATEGIES:
                yield from _at_rest(world, plan, pool, strategy, population, hard, sampled)
            pool.delete()
        for strategy in STRATEGIES if plan.full else ():
            yield from _leased(world, plan, strategy, population)
    if not plan.full:
        population = Population(LAWS["clustered U(.92,1)"], 40_000, plan.seed)
        for strategy in ("proportional", "top"):
            yield from _leased(world, plan, strategy, population)


def _at_rest(
    world: World, plan: Plan, pool: Pool, strategy: str, population: Population, hard: np.ndarray, sampled: np.ndarray
) -> Iterator[Check]:
    for shortfall in ("fill", "short", "error"):
        short, silent, refused, total = 0, 0, 0, 0
        for fraction in FRACTIONS:
            for size in (32, 256, 1_024):
                reachable = hard if fraction == 0 else hard | sampled
                kept = hard.sum() >= (1 - fraction) * size and 0.8 * sampled.sum() >= fraction * size
                full = kept or (shortfall == "fill" and reachable.sum() >= size)
                for number in range(1 if plan.full else 3):
                    total += 1
                    rows = _rows(pool, size, plan.seed + number, strategy, fraction, shortfall)
                    refused += full and rows is None
                    short += full and rows is not None and rows < size
                    silent += shortfall == "error" and rows is not None and rows < size
        where = f"|R|={sampled.sum()}"
        yield Check(
            "never short",
            f"{strategy} {shortfall}",
            population.law.name,
            f"short batches of {total}, {where}",
            short,
            0,
        )
        if shortfall == "error":
            name = f"{strategy} {shortfall}"
            law = population.law.name
            yield Check("ERROR is no silence", name, law, f"short without an error, of {total}, {where}", silent, 0)
            yield Check("ERROR only where short", name, law, f"errors of full sources, of {total}, {where}", refused, 0)


def _rows(pool: Pool, size: int, seed: int, strategy: str, fraction: float, shortfall: str) -> int | None:
    """Rows of a batch; None where the service refuses it."""
    try:
        return len(
            pool.mine(
                size,
                dry_run=True,
                seed=seed,
                strategy=strategy,
                random_fraction=fraction,
                shortfall=shortfall,
                fields=FIELDS,
            )
        )
    except hardneg.FailedPrecondition:
        return None


def _leased(world: World, plan: Plan, strategy: str, population: Population) -> Iterator[Check]:
    """30 leased batches in a row, of which the later ones find the background leased."""
    for background in (256, 4_096) if plan.full else (256,):
        for fraction in (0.05, 0.25, 0.9) if plan.full else (0.25,):
            pool = world.pool(population, capacity=20_000, background_size=background)
            hard, sampled = places(pool, population)
            free = hard | sampled
            short = 0
            for number in range(30):
                batch = pool.mine(
                    512,
                    lease=3_600,
                    seed=plan.seed + number,
                    strategy=strategy,
                    random_fraction=fraction,
                    fields=FIELDS,
                )
                short += len(batch) < min(512, int(free.sum()))
                free[population.index(np.asarray(batch.ids))] = False
            figure = f"short of 30 leased, |R|={background}, ε={fraction:g}"
            yield Check("never short, leased", strategy, population.law.name, figure, short, 0)
            pool.delete()
