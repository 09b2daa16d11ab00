"""Trains face detectors on negatives chosen in different ways, at the same budget, and compares them."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import secrets
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import hardneg
import numpy as np
from threadpoolctl import threadpool_limits

from . import report, windows
from .arms import Arm, Negatives, arms, choose
from .detector import Detector, Quality, evaluate, fit
from .worker import Scored, Task, work


@dataclass(frozen=True)
class Budget:
    """The budget of an arm, equal for all arms."""

    rounds: int  # rounds of mining, after a first fit on random negatives
    negatives: int  # negatives that join the training set each round
    scored: int  # windows that all workers together score each round
    local_batch: int = 500  # windows in a batch of a worker, for hardest-in-batch
    recall: float = 0.9
    c: float = 0.1


class Workers:
    """Processes that score windows, each with its own connection to hardneg."""

    def __init__(self, count: int, folder: Path, server: str | None) -> None:
        context = multiprocessing.get_context("spawn")  # a gRPC client does not survive a fork
        self._answers = context.Queue()
        self._tasks = [context.Queue() for _ in range(count)]
        self._processes = [
            context.Process(target=work, args=(rank, folder, server, tasks, self._answers), daemon=True)
            for rank, tasks in enumerate(self._tasks)
        ]
        for process in self._processes:
            process.start()

    def score(self, task: Task) -> list[Scored]:
        """Deals the windows out, waits until all are scored and reported, and returns the answers by worker."""
        shares = np.array_split(np.arange(len(task.ids)), len(self._tasks))
        for tasks, share in zip(self._tasks, shares, strict=True):
            tasks.put(task.part(share))
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
                raise RuntimeError(f"worker {answer.worker}: {answer.error}")
        if sum(answer.windows for answer in answers) != len(task.ids):
            raise RuntimeError("unequal budgets: not every window was scored")
        return sorted(answers, key=lambda answer: answer.worker)

    def close(self) -> None:
        """Ends the processes, and kills those that do not end by themselves."""
        for tasks in self._tasks:
            tasks.put(None)
        for process in self._processes:
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()


@dataclass(frozen=True)
class Hardest:
    """The hardest windows of a pool, the hardest first: rows of `Windows` and losses, both of shape (n,)."""

    ids: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True)
class Trained:
    """One arm on one seed.

    Attributes:
        arm: Its name.
        seed: Of the split.
        qualities: After the first fit, then after each round.
        mined: What joined the training set in each round, as rows of `Windows`.
        hardest: The hardest in the pool in each round, before mining; empty without a pool.
    """

    arm: str
    seed: int
    qualities: list[Quality]
    mined: list[np.ndarray] = field(default_factory=list)
    hardest: list[Hardest] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """What all arms of a run share."""

    budget: Budget
    client: hardneg.Client | None
    workers: Workers
    windows: windows.Windows
    faces: tuple[np.ndarray, np.ndarray]
    prefix: str  # of the pools' names


def train(arm: Arm, seed: int, split: windows.Split, bench: Bench) -> Trained:
    """Bootstraps one detector: fit, score, choose, fit again. Arms differ in `choose` only."""
    budget, everything = bench.budget, bench.windows
    plain, copies = bench.faces
    positives = copies[split.train_faces].reshape(-1, copies.shape[-1])
    # The rows of the windows that may be trained on. A window's id is its position among them.
    rows = np.flatnonzero(np.isin(everything.groups, split.train_groups))
    held_out = np.flatnonzero(np.isin(everything.groups, split.test_groups) & (everything.variants == 0))
    test_windows = everything.features[held_out].astype(np.float32)
    test_boxes, test_photos = everything.boxes[held_out], everything.photos[held_out]

    def measure(detector: Detector) -> Quality:
        faces = plain[split.test_faces]
        return evaluate(detector, faces, test_windows, test_boxes, test_photos, recall=budget.recall)

    pool: hardneg.Pool | None = None
    if arm.mine is not None:
        if bench.client is None:
            raise ValueError(f"the arm {arm.name} needs a server")
        # All ids are known, so the background is all of them. A round is a step; losses halve with each.
        pool = bench.client.create_pool(
            f"{bench.prefix}-{seed}-{arm.name}", capacity=65_536, dense_ids=len(rows), half_life=hardneg.Steps(1)
        )
    # The same first negatives and the same windows to score for every arm of a seed.
    shared = np.random.default_rng([seed, 2])
    first = shared.choice(len(rows), budget.negatives, replace=False)
    training = [Negatives(first, np.ones(len(first)))]
    trained = Trained(arm.name, seed, [])
    try:
        for step in range(budget.rounds + 1):
            ids = np.concatenate([part.ids for part in training])
            weights = np.concatenate([part.weights for part in training])
            detector = fit(positives, everything.features[rows[ids]].astype(np.float32), weights, c=budget.c)
            trained.qualities.append(measure(detector))
            if step == budget.rounds:
                break
            to_score = shared.choice(len(rows), budget.scored, replace=False)
            batches = -(-budget.scored // budget.local_batch)
            task = Task(
                detector=detector,
                ids=to_score,
                rows=rows[to_score],
                step=step + 1,
                pool=pool.name if pool is not None else None,
                # Twice as many as are needed, since some are in the training set already.
                hardest_per_batch=-(-2 * budget.negatives // batches) if arm.hardest_in_batch else 0,
                local_batch=budget.local_batch,
            )
            scored = bench.workers.score(task)
            if pool is not None:
                top = pool.mine(200, strategy="top", random_fraction=0.0, exclude_ids=ids, dry_run=True)
                trained.hardest.append(Hardest(rows[np.asarray(top.ids, np.int64)], np.asarray(top.scores)))
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
            trained.mined.append(rows[chosen.ids])
    finally:
        if pool is not None:
            pool.delete(missing_ok=True)
    return trained


def pictures(results: list[Trained], everything: windows.Windows) -> list[report.Shown]:
    """The rows of the picture, from the first seed: the hardest windows, and those that were drawn."""
    first = {result.arm: result for result in results if result.seed == 0}
    shown = []
    mined = next((first[name] for name in ("mixture", "top", "weighted") if name in first), None)
    if mined is not None:
        rounds = len(mined.hardest)
        for which, title in (
            (mined.hardest[0], "Hardest in the pool in round 1: the detector has seen random negatives only"),
            (
                mined.hardest[-1],
                f"Hardest in the pool in round {rounds}: the detector has been trained on mined ones",
            ),
        ):
            keep = report.distinct(which.ids, everything, report.COLUMNS)
            shown.append(report.Shown(title, which.ids[keep], which.losses[keep]))
    for name, title in (
        ("mixture", "Drawn by the mixture in the last round, hard and random"),
        ("random", "Drawn at random in the last round"),
    ):
        if name in first:
            ids = first[name].mined[-1]
            shown.append(report.Shown(title, ids[report.distinct(ids, everything, report.COLUMNS)]))
    return shown


def parse() -> argparse.Namespace:
    """Parses and checks the command line."""
    parser = argparse.ArgumentParser(prog="face_detection", description=__doc__)
    add = parser.add_argument
    add("--server", default="localhost:50051", help="address of hardneg (%(default)s)")
    add("--seeds", type=int, default=10, help="draws of the split (%(default)s)")
    add("--rounds", type=int, default=5, help="rounds of mining (%(default)s)")
    add("--workers", type=int, default=3, help="worker processes (%(default)s)")
    add("--arms", default="random,ohem,top,mixture,weighted", help="which (%(default)s)")
    add("--alpha", type=float, default=8.0, help="of the mixture (%(default)s)")
    add("--random-fraction", type=float, default=0.1, help="of the mixture (%(default)s)")
    add("--negatives", type=int, default=300, help="joining each round (%(default)s)")
    add("--scored", type=int, default=15_000, help="windows scored each round (%(default)s)")
    add("--c", type=float, default=0.1, help="inverse L2 penalty (%(default)s)")
    add("--out", type=Path, default=Path("target/demo"), help="folder for what comes out (%(default)s)")
    add("--quick", action="store_true", help="2 seeds, 2 rounds: does it run?")
    add("--validate", action="store_true", help="measure on part of the training photos: for choosing settings")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.rounds, options.scored = 2, 2, 6_000
    known = {arm.name for arm in arms(1, 0)}
    if not set(options.arms.split(",")) <= known:
        parser.error(f"--arms must be of {', '.join(sorted(known))}")
    if options.seeds < 2 or options.rounds < 1 or options.workers < 1:
        parser.error("needs at least 2 seeds, 1 round, 1 worker")
    return options


def main() -> None:
    """Runs every arm on every seed, then writes the report."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception: workers and folder are cleaned up
    chosen = [arm for arm in arms(options.alpha, options.random_fraction) if arm.name in options.arms.split(",")]
    budget = Budget(options.rounds, options.negatives, options.scored, c=options.c)
    server = options.server if any(arm.mine is not None for arm in chosen) else None

    started = time.monotonic()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for the workers to inherit
    client = hardneg.Client(server).wait_ready(15) if server is not None else None
    results: list[Trained] = []
    with tempfile.TemporaryDirectory(prefix="face-detection-") as temporary:
        folder = Path(temporary)
        windows.prepare(folder)
        everything, faces = windows.load(folder), windows.faces()
        print(
            f"{len(everything):,} windows of {len(everything.names)} photos, {windows.FACES} faces, "
            f"{options.workers} workers, {options.seeds} seeds; ready after {time.monotonic() - started:.0f} s",
            flush=True,
        )
        workers = Workers(options.workers, folder, server)
        bench = Bench(budget, client, workers, everything, faces, prefix=f"faces-{secrets.token_hex(3)}")
        try:
            with threadpool_limits(2):
                for seed in range(options.seeds):
                    split = windows.split(seed, validate=options.validate)
                    for arm in chosen:
                        results.append(train(arm, seed, split, bench))
                    line = "  ".join(f"{r.arm} {r.qualities[-1].fppi:.1f}" for r in results[-len(chosen) :])
                    print(f"seed {seed} ({time.monotonic() - started:.0f} s)  FPPI: {line}", flush=True)
        finally:
            workers.close()
            if client is not None:
                client.close()
        report.write(
            options.out,
            results,
            chosen,
            budget,
            everything,
            seconds=time.monotonic() - started,
            settings={key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()},
            shown=pictures(results, everything),
        )
