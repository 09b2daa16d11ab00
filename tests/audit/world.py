"""The server under audit, pools of known populations, and draws from them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, TypeVar

import hardneg
import numpy as np
import numpy.typing as npt
from hardneg import MinedBatch, Pool
from real_server import RealServer

from .population import Population

_T = TypeVar("_T")

#: The columns that the audit reads.
FIELDS: Final = ("scores", "importance_weights", "inclusion_probabilities", "sources")


class World:
    """One server process, and the pools that the audit makes in it. A context manager."""

    def __init__(self) -> None:
        self._server = RealServer()
        self._pools = itertools.count(1)
        # Of their own for draws and for pools: a thread that fills a pool waits for its draws.
        self._drawers, self._fillers = ThreadPoolExecutor(8), ThreadPoolExecutor(8)

    def __enter__(self) -> World:
        self._server.start()
        self.client = hardneg.Client(self._server.target, timeout=60).wait_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for threads in (self._fillers, self._drawers):
            threads.shutdown(cancel_futures=True)
        self.client.close()
        self._server.stop()

    def pool(
        self, population: Population, *, report: bool = True, columns: dict[str, Any] | None = None, **spec: Any
    ) -> Pool:
        """A new pool that holds the population, which does not age. Its salts are the server's, so they are random.

        Args:
            population: What is reported to it, in one pass.
            report: False leaves the pool empty.
            columns: Further columns of the report, such as strata.
            **spec: As `hardneg.Client.create_pool`; by default one partition, and a background that stays.
        """
        defaults: dict[str, Any] = {"half_life": hardneg.NEVER, "shards": 1, "rotate_background": False}
        made = self.client.create_pool(f"audit-{next(self._pools)}", **{**defaults, **population.law.options, **spec})
        if report:
            made.report(population.ids, population.scores, **(columns or {}))
        return made

    def anchored(self, **spec: Any) -> Pool:
        """A new, empty pool of the given spec, which does not age."""
        return self.client.create_pool(f"audit-{next(self._pools)}", **{"half_life": hardneg.NEVER, **spec})

    def draw(self, pool: Pool, size: int, count: int, seed: int, **policy: Any) -> Iterator[MinedBatch]:
        """Independent draws from one state of a pool: `count` batches that serve and lease nothing."""

        def mine(number: int) -> MinedBatch:
            return pool.mine(size, dry_run=True, seed=seed + number, fields=FIELDS, **policy)

        return self._drawers.map(mine, range(count))

    def each(self, count: int, work: Callable[[int], _T]) -> Iterator[_T]:
        """What `work` returns for 0 to count - 1, in order; several are at work at a time."""
        return self._fillers.map(work, range(count))


def places(pool: Pool, population: Population) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which samples are in the hard store, and which in the background that is served: two masks of shape (n,)."""
    found = pool.get_samples(population.ids)
    hard = np.array([sample.place == hardneg.SamplePlace.HARD for sample in found])
    return hard, np.array([sample.in_background for sample in found])
