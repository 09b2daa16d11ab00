"""A worker process: scores windows with the detector it is given, and reports the losses.

This is where a trainer meets hardneg: open a score stream, report, go on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import hardneg

from . import windows
from .detector import Detector, loss


@dataclass(frozen=True)
class Task:
    """Windows to score."""

    detector: Detector
    rows: np.ndarray  # where their features are
    ids: np.ndarray  # what hardneg calls them: their place among the windows to train on
    step: int
    pool: str | None  # report to this pool
    hardest_per_batch: int  # hardest-in-batch: so many of each local batch
    local_batch: int


@dataclass(frozen=True)
class Scored:
    """What a worker has done."""

    pid: int
    windows: int
    hardest: np.ndarray  # ids
    error: str = ""


def work(rank: int, folder: Path, server: str | None, tasks: Queue, answers: Queue) -> None:
    """The life of a worker: tasks until None."""
    threadpool_limits(1)  # several workers share the machine
    features = windows.load(folder).features
    client = hardneg.Client(server) if server else None
    stream: hardneg.ScoreStream | None = None
    pool = None
    while (task := tasks.get()) is not None:
        try:
            losses = loss(task.detector.score(features[task.rows]))
            if task.pool is not None:
                assert client is not None
                if task.pool != pool:
                    if stream is not None:
                        stream.close()
                    pool = task.pool
                    stream = client.pool(pool).score_stream(worker_id=f"worker-{rank}")
                stream.report(task.ids, losses, step=task.step, model_version=task.step)
                stream.flush()  # the trainer mines when all workers are through
            hardest = []
            if task.hardest_per_batch:
                for start in range(0, len(task.ids), task.local_batch):
                    batch = slice(start, start + task.local_batch)
                    order = np.argsort(-losses[batch], kind="stable")[: task.hardest_per_batch]
                    hardest.append(task.ids[batch][order])
            chosen = np.concatenate(hardest) if hardest else np.empty(0, task.ids.dtype)
            answers.put(Scored(os.getpid(), len(task.ids), chosen))
        except Exception as error:
            answers.put(Scored(os.getpid(), 0, np.empty(0, np.int64), f"{type(error).__name__}: {error}"))
    if stream is not None:
        stream.close()
    if client is not None:
        client.close()
