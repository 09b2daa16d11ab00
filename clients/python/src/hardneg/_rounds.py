"""Rounds: each rank of data-parallel training takes its share of one draw."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ._checks import check_uint
from ._messages import dataclass_of
from ._proto import mining_service_pb2
from ._runs import checked_run_id, run_id_from_env


@dataclass(frozen=True)
class Round:
    """A training step in which every rank of data-parallel training wants its own share.

    The service draws all shares when the first rank asks; they are disjoint, of equal size and equally hard. A rank
    that asks again gets the same share. All ranks ask with the same arguments, but for `rank`, `wait` and `fields`.

    Attributes:
        number: The round: the training step, the same on every rank.
        rank: This rank, from 0.
        world_size: Number of ranks; ``batch_size * world_size`` is at most 1,048,576.
        run_id: Names the training run, at most 128 bytes. A training that starts again needs a new one, because the
            service refuses rounds of a run that are over.

    Example:
        >>> batch = pool.mine(32, round=hardneg.Round(step, rank, world_size, run_id="run-7"))
    """

    number: int
    rank: int
    world_size: int
    run_id: str = ""

    def __post_init__(self) -> None:
        check_uint(64, number=self.number)
        if not 1 <= self.world_size <= 65_536:
            raise ValueError(f"world_size must be 1 to 65,536, not {self.world_size}")
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank must be 0 to {self.world_size - 1}, not {self.rank}")
        checked_run_id(self.run_id)

    @classmethod
    def from_env(cls, number: int, *, run_id: str | None = None, environ: Mapping[str, str] | None = None) -> Round:
        """This process's share of a round, from ``RANK`` and ``WORLD_SIZE`` as torchrun and accelerate set them.

        Without both this process is the only rank, so that the same program runs on one device.

        Args:
            number: The round, the same on every rank: the training step.
            run_id: As the attribute; default that of `run_id_from_env`.
            environ: Default ``os.environ``.

        Raises:
            ValueError: One of the two is missing, or they are no rank of a world.

        Example:
            >>> for step, positives in enumerate(loader):
            ...     batch = pool.mine(32, round=hardneg.Round.from_env(step))
        """
        found = os.environ if environ is None else environ
        run_id = run_id_from_env(found) if run_id is None else run_id
        rank, world_size = found.get("RANK"), found.get("WORLD_SIZE")
        if rank is None and world_size is None:
            return cls(number, 0, 1, run_id)
        if rank is None or world_size is None:
            raise ValueError(f"RANK is {rank!r} but WORLD_SIZE is {world_size!r}: set both or neither")
        try:
            return cls(number, int(rank), int(world_size), run_id)
        except ValueError as wrong:
            raise ValueError(f"RANK={rank!r}, WORLD_SIZE={world_size!r}: {wrong}") from None

    def to_proto(self) -> mining_service_pb2.Round:
        return mining_service_pb2.Round(
            number=self.number, rank=self.rank, world_size=self.world_size, run_id=self.run_id
        )

    @classmethod
    def from_proto(cls, message: mining_service_pb2.Round) -> Round:
        return dataclass_of(cls, message)
