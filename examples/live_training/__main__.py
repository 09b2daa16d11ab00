"""`python -m live_training worker|trainer`: one process of a training that runs until SIGTERM or Ctrl-C.

Environment: SERVER (127.0.0.1:50051), POOL (digits), MODEL (model.npz: a path that all processes share), WORKER (the
host's name), SCORES_PER_SECOND (20000, of a worker), STEPS_PER_SECOND (5), ROUNDS (3000: then the model starts over).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import hardneg
import numpy as np

from .model import Digits, Model

_BATCH = 1024
_MINED = 256
_RETRY_SECONDS = 1.0

_stop = threading.Event()


def _setting(name: str, default: str) -> str:
    return os.environ.get(name) or default


def _pool(client: hardneg.Client) -> hardneg.Pool:
    """Creates the pool, or returns the one that another process created."""
    return client.create_pool(_setting("POOL", "digits"), capacity=100_000, half_life=hardneg.Steps(300))


def work(client: hardneg.Client) -> None:
    """Scores random negatives with the published model and reports the losses."""
    digits, path = Digits(), Path(_setting("MODEL", "model.npz"))
    rng = np.random.default_rng()
    pause = _BATCH / float(_setting("SCORES_PER_SECOND", "20000"))
    worker = _setting("WORKER", socket.gethostname())
    with _pool(client).score_stream(worker_id=worker) as stream:
        while not _stop.wait(pause):
            model = Model.load(path)
            ids = digits.negatives(rng, _BATCH)
            step = max(model.version, 1)
            stream.report(ids, model.loss(digits.features(ids)), step=step, model_version=model.version)
            # The server lost the pool in a restart, or another pool has its name: start again with a new handle.
            if stream.stats.rejected_batches:
                return


def train(client: hardneg.Client) -> None:
    """Mines negatives, learns from them, publishes the model; starts from an untrained model every `ROUNDS` steps."""
    digits, path = Digits(), Path(_setting("MODEL", "model.npz"))
    rng = np.random.default_rng(1)
    pause = 1 / float(_setting("STEPS_PER_SECOND", "5"))
    rounds = int(_setting("ROUNDS", "3000"))
    model = Model.load(path)
    pool = _pool(client)
    while not _stop.wait(pause):
        if model.version % rounds == 0:
            model = Model.new(model.version)
        mined = pool.mine(_MINED, random_fraction=0.25, beta=0.5, wait=hardneg.Wait(min_size=1, timeout=1.0))
        if len(mined.ids) == 0:
            continue
        positives = digits.positives(rng, _MINED)
        features = digits.features(np.concatenate([mined.ids.astype(np.uint64), positives]))
        labels = np.concatenate([np.zeros(len(mined.ids)), np.ones(_MINED)])
        weights = np.concatenate([mined.importance_weights, np.full(_MINED, mined.importance_weights.mean())])
        model.step(features, labels, weights, rate=0.5)
        model.version += 1
        model.save(path)


def main() -> int:
    """Runs the role until SIGTERM or Ctrl-C; starts again after the server was unavailable."""
    roles: dict[str, Callable[[hardneg.Client], None]] = {"worker": work, "trainer": train}
    if len(sys.argv) != 2 or sys.argv[1] not in roles:
        print(__doc__, file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop.set())
    while not _stop.is_set():
        try:
            with hardneg.Client(_setting("SERVER", "127.0.0.1:50051")) as client:
                roles[sys.argv[1]](client)
        except hardneg.HardnegError as error:
            if _stop.is_set():
                break
            print(f"{sys.argv[1]}: {error}; again in {_RETRY_SECONDS:.0f} s", file=sys.stderr, flush=True)
            _stop.wait(_RETRY_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
