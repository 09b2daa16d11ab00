"""A worker process: scores windows with the detector it is given, and reports the losses.

This is where a trainer meets hardneg: open a score stream, report, go on.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
from dataclasses import dataclass, replace
from multiprocessing.queues import Queue
from pathlib import Path

import hardneg
import numpy as np
from threadpoolctl import threadpool_limits

from . import windows
from .detector import Detector, loss


@dataclass(frozen=True)
class Task:
    """Windows that one worker has to score."""

    detector: Detector
    ids: np.ndarray  # their ids in hardneg: positions among the windows to train on
    rows: np.ndarray  # the rows of their features
    step: int
    pool: str | None  # report to this pool
    hardest_per_batch: int  # for hardest-in-batch: how many of each local batch to return
    local_batch: int

    def part(self, which: np.ndarray) -> Task:
        """The task for some of its windows, by position, shape (n,)."""
        return replace(self, ids=self.ids[which], rows=self.rows[which])


@dataclass(frozen=True)
class Scored:
    """The answer of a worker to a task."""

    worker: int
    windows: int
    hardest: list[np.ndarray]  # ids of each local batch, the hardest first
    error: str = ""


def work(rank: int, folder: Path, server: str | None, tasks: Queue[Task | None], answers: Queue[Scored]) -> None:
    """The main function of a worker process: it works on tasks until it gets None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer handles Ctrl-C and ends the workers
    threadpool_limits(1)  # several workers share the machine
    features = windows.load(folder).features
    client = hardneg.Client(server) if server else None
    stream: hardneg.ScoreStream | None = None
    pool: str | None = None
    while (task := _next(tasks)) is not None:
        try:
            losses = loss(task.detector.score(features[task.rows]))
            if task.pool is not None and client is not None:
                if stream is None or task.pool != pool:
                    if stream is not None:
                        stream.close()
                    pool = task.pool
                    stream = client.pool(pool).score_stream(worker_id=f"worker-{rank}")
                stream.report(task.ids, losses, step=task.step, model_version=task.step)
                stream.flush()  # the trainer mines once all workers have answered
            answers.put(Scored(rank, len(task.ids), _hardest(task, losses)))
        except Exception as error:  # the trainer must learn of any failure
            answers.put(Scored(rank, 0, [], f"{type(error).__name__}: {error}"))
    if stream is not None:
        stream.close()
    if client is not None:
        client.close()


def _hardest(task: Task, losses: np.ndarray) -> list[np.ndarray]:
    """The hardest ids of each local batch, the hardest first: hardest-in-batch mining sees one batch at a time."""
    if not task.hardest_per_batch:
        return []
    kept = []
    for start in range(0, len(task.ids), task.local_batch):
        batch = slice(start, start + task.local_batch)
        order = np.argsort(-losses[batch], kind="stable")[: task.hardest_per_batch]
        kept.append(task.ids[batch][order])
    return kept


def _next(tasks: Queue[Task | None]) -> Task | None:
    """The next task; None when there are no more, or when the trainer has ended."""
    trainer = multiprocessing.parent_process()
    while True:
        try:
            return tasks.get(timeout=2)
        except queue.Empty:
            if trainer is not None and not trainer.is_alive():
                return None
