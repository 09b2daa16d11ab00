"""Trains face detectors on negatives chosen in different ways, at the same budget, and compares them."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import hardneg

from . import report, windows
from .arms import Arm, Negatives, arms, choose
from .detector import Quality, evaluate, fit
from .worker import Scored, Task, work


@dataclass(frozen=True)
class Budget:
    """What every arm may spend. Equal for all."""

    rounds: int  # of mining, after a first one on random negatives
    negatives: int  # that join the training set each round
    scored: int  # windows that the workers score each round
    local_batch: int = 500  # of a worker, for hardest-in-batch
    recall: float = 0.9
    c: float = 0.1


class Workers:
    """Processes that score windows, each with its own connection to hardneg."""

    def __init__(self, count: int, folder: Path, server: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._answers = context.Queue()
        self._tasks = [context.Queue() for _ in range(count)]
        self._processes = [
            context.Process(target=work, args=(rank, folder, server, tasks, self._answers), daemon=True)
            for rank, tasks in enumerate(self._tasks)
        ]
        for process in self._processes:
            process.start()

    def score(self, make_task, ids: np.ndarray) -> list[Scored]:
        """Deals the windows out, and waits until all are scored (and reported)."""
        for tasks, share in zip(self._tasks, np.array_split(ids, len(self._tasks)), strict=True):
            tasks.put(make_task(share))
        answers: list[Scored] = []
        deadline = time.monotonic() + 120
        while len(answers) < len(self._tasks):
            try:
                answers.append(self._answers.get(timeout=1))
            except queue.Empty:
                if time.monotonic() > deadline or not all(p.is_alive() for p in self._processes):
                    raise RuntimeError("a worker died or hangs") from None
        for answer in answers:
            if answer.error:
                raise RuntimeError(f"worker {answer.pid}: {answer.error}")
        if sum(answer.windows for answer in answers) != len(ids):
            raise RuntimeError("unequal budgets: not every window was scored")
        return answers

    def close(self) -> None:
        """Ends the processes."""
        for tasks in self._tasks:
            tasks.put(None)
        for process in self._processes:
            process.join(timeout=10)


@dataclass(frozen=True)
class Trained:
    """One arm on one seed."""

    arm: str
    seed: int
    qualities: list[Quality]  # after the first fit, then after each round
    mined: list[Negatives]  # of each round


def train(
    arm: Arm,
    seed: int,
    budget: Budget,
    *,
    client: hardneg.Client | None,
    workers: Workers,
    everything: windows.Windows,
    all_faces: tuple[np.ndarray, np.ndarray],
    split: windows.Split,
    prefix: str,
) -> Trained:
    """Bootstraps one detector: fit, score, choose, fit again. Arms differ in `choose` only."""
    plain, copies = all_faces
    positives = copies[split.train_faces].reshape(-1, copies.shape[-1])
    # A window's id is its place among those that may be trained on, whose rows these are.
    rows = np.flatnonzero(np.isin(everything.groups, split.train_groups))
    held_out = np.flatnonzero(np.isin(everything.groups, split.test_groups) & (everything.variants == 0))
    test_windows = everything.features[held_out].astype(np.float32)

    def measure(detector) -> Quality:
        boxes, photos = everything.boxes[held_out], everything.photos[held_out]
        return evaluate(
            detector, plain[split.test_faces], test_windows, boxes, photos, recall=budget.recall
        )

    pool = None
    if arm.mine is not None:
        assert client is not None
        # All ids are known, so the background is all of them. A round is a step; losses halve with each.
        pool = client.create_pool(
            f"{prefix}-{seed}-{arm.name}", capacity=65_536, dense_ids=len(rows), half_life=hardneg.Steps(1)
        )
    # The same first negatives and the same windows to score for every arm of a seed.
    shared = np.random.default_rng([seed, 2])
    first = shared.choice(len(rows), budget.negatives, replace=False)
    training = [Negatives(first, np.ones(len(first)))]
    qualities, mined = [], []
    for step in range(budget.rounds + 1):
        ids = np.concatenate([part.ids for part in training])
        weights = np.concatenate([part.weights for part in training])
        detector = fit(positives, everything.features[rows[ids]].astype(np.float32), weights, c=budget.c)
        qualities.append(measure(detector))
        if step == budget.rounds:
            break
        to_score = shared.choice(len(rows), budget.scored, replace=False)
        batches = -(-budget.scored // budget.local_batch)
        scored = workers.score(
            lambda share, detector=detector, step=step, batches=batches: Task(
                detector=detector,
                rows=rows[share],
                ids=share,
                step=step + 1,
                pool=pool.name if pool is not None else None,
                hardest_per_batch=-(-2 * budget.negatives // batches) if arm.hardest_in_batch else 0,
                local_batch=budget.local_batch,
            ),
            to_score,
        )
        chosen = choose(
            arm,
            budget.negatives,
            pool=pool,
            scored=scored,
            total=len(rows),
            taken=ids,
            rng=np.random.default_rng([seed, 3, step]),
        )
        training.append(chosen)
        mined.append(chosen)
    if pool is not None:
        pool.delete()
    return Trained(arm.name, seed, qualities, mined)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="face_detection", description=__doc__)
    parser.add_argument("--server", default="localhost:50051", help="address of hardneg (%(default)s)")
    parser.add_argument("--seeds", type=int, default=10, help="draws of the split (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of mining (%(default)s)")
    parser.add_argument("--workers", type=int, default=3, help="worker processes (%(default)s)")
    parser.add_argument("--arms", default="random,ohem,top,mixture,weighted", help="which (%(default)s)")
    parser.add_argument("--alpha", type=float, default=3.0, help="of the mixture (%(default)s)")
    parser.add_argument("--random-fraction", type=float, default=0.25, help="of the mixture (%(default)s)")
    parser.add_argument("--negatives", type=int, default=300, help="joining each round (%(default)s)")
    parser.add_argument("--scored", type=int, default=15_000, help="windows scored each round (%(default)s)")
    parser.add_argument("--c", type=float, default=0.1, help="inverse L2 penalty (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="for what comes out")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 2 rounds: does it run?")
    parser.add_argument(
        "--validate", action="store_true", help="measure on part of the training photos: for choosing settings"
    )
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.rounds, options.scored = 2, 2, 6_000
    chosen = [a for a in arms(options.alpha, options.random_fraction) if a.name in options.arms.split(",")]
    if not chosen or options.seeds < 2:
        parser.error("needs known arms and at least 2 seeds")
    budget = Budget(options.rounds, options.negatives, options.scored, c=options.c)
    needs_server = any(arm.mine is not None for arm in chosen)

    started = time.monotonic()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for the workers to inherit
    client = hardneg.Client(options.server).wait_ready(15) if needs_server else None
    with tempfile.TemporaryDirectory(prefix="face-detection-") as temporary:
        folder = Path(temporary)
        windows.prepare(folder)
        everything, all_faces = windows.load(folder), windows.faces()
        workers = Workers(options.workers, folder, options.server if needs_server else None)
        print(
            f"{len(everything):,} windows of {len(everything.names)} photos, {windows.FACES} faces, "
            f"{options.workers} workers, {options.seeds} seeds; ready after {time.monotonic() - started:.0f} s"
        )
        prefix = f"faces-{secrets.token_hex(3)}"
        results: list[Trained] = []
        try:
            with threadpool_limits(2):
                for seed in range(options.seeds):
                    split = windows.split(seed, validate=options.validate)
                    for arm in chosen:
                        results.append(
                            train(
                                arm,
                                seed,
                                budget,
                                client=client,
                                workers=workers,
                                everything=everything,
                                all_faces=all_faces,
                                split=split,
                                prefix=prefix,
                            )
                        )
                    line = "  ".join(f"{r.arm} {r.qualities[-1].fppi:.1f}" for r in results[-len(chosen) :])
                    print(f"seed {seed} ({time.monotonic() - started:.0f} s)  FPPI: {line}", flush=True)
        finally:
            workers.close()
            if client is not None:
                client.close()
        report.write(options.out, results, chosen, budget, everything, time.monotonic() - started, options)


if __name__ == "__main__":
    main()
