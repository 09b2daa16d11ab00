"""The server under audit, pools of known populations, and draws from them."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

import hardneg
import numpy as np
import numpy.typing as npt
from hardneg import MinedBatch, Pool
from real_server import RealServer

from .population import Population

#: The columns that the audit reads.
FIELDS: Final = ("scores", "importance_weights", "inclusion_probabilities", "sources")


class World:
    """One server process, and the pools that the audit makes in it. A context manager."""

    def __init__(self) -> None:
        self._server = RealServer()
        self._pools = 0
        #: Batches drawn so far.
        self.draws = 0

    def __enter__(self) -> World:
        self._server.start()
        self.client = hardneg.Client(self._server.target, timeout=60).wait_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        self._pools += 1
        defaults: dict[str, Any] = {"half_life": hardneg.NEVER, "shards": 1, "rotate_background": False}
        made = self.client.create_pool(f"audit-{self._pools}", **{**defaults, **population.law.options, **spec})
        if report:
            made.report(population.ids, population.scores, **(columns or {}))
        return made

    def draw(self, pool: Pool, size: int, count: int, seed: int, **policy: Any) -> Iterator[MinedBatch]:
        """Independent draws from one state of a pool: `count` batches that serve and lease nothing."""
        for number in range(count):
            self.draws += 1
            yield pool.mine(size, dry_run=True, seed=seed + number, fields=FIELDS, **policy)


def places(pool: Pool, population: Population) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which samples are in the hard store, and which in the background that is served: two masks of shape (n,)."""
    found = pool.get_samples(population.ids)
    hard = np.array([sample.place == hardneg.SamplePlace.HARD for sample in found])
    return hard, np.array([sample.in_background for sample in found])
