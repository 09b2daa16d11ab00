"""Writers while mining, and the renewal of the background: the estimates stay right before, while and after."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
from hardneg import MinedBatch, Pool

from ..check import Check
from ..judge import pooled_means
from ..laws import LAWS
from ..measure import measure
from ..plan import Plan
from ..population import FUNCTIONS, Population
from ..world import World

#: A background is renewed after 2^20 reported rows at the least.
N, BACKGROUND, PASSES = 20_000, 512, 110
#: About 1 of 257 ids is missing after a renewal: docs/methods.md 4.2. And 1/N̂ is biased by 1/m.
ALLOWED = 1.2 / 257 + 1.2 / BACKGROUND


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """Pools that a thread reports to, over and over, while batches are mined."""
    if not plan.full:
        return
    population = Population(LAWS["lognormal σ=3"], N, plan.seed)
    draws, renewed, count = [], 0, 40
    for number in range(count):
        pool = world.pool(population, capacity=1_000, background_size=BACKGROUND, rotate_background=True)
        draws.append(measure(_while_written(world, pool, population, plan.seed + 10_000 * number), population))
        renewed += pool.stats().background_generations > 1
        pool.delete()
    name, law = "proportional α=1 ε=0.25 B=64", population.law.name
    truths = [np.ones((len(each.means), len(FUNCTIONS))) for each in draws]
    yield Check("a background is renewed", name, law, f"not renewed of {count}", count - renewed, 0)
    yield from pooled_means("mean while writers report and R is renewed", name, law, draws, truths, ALLOWED)


def _while_written(world: World, pool: Pool, population: Population, seed: int) -> Iterator[MinedBatch]:
    """Batches mined until the writer has reported everything so often."""
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(PASSES):
                pool.report(population.ids, population.scores)
        except BaseException as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    number = 0
    while writer.is_alive() or number < 20:
        options = {"strategy": "proportional", "alpha": 1.0, "random_fraction": 0.25}
        yield from world.draw(pool, 64, 1, seed + number, **options)
        number += 1
    writer.join()
    if failed:
        raise failed[0]
