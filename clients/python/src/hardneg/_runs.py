"""Training runs, which count the steps of a pool that ages by steps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ._messages import dataclass_of
from ._proto import pool_pb2

RUN_ID_BYTES_MAX = 128


@dataclass(frozen=True)
class Run:
    """The current training run of a pool that ages by steps.

    Attributes:
        run_id: The name in its reports; empty where they give none.
        first_step: The step of its first report.
        step: The highest step reported.
        tick: The pool's highest tick: the clock by which it ages, over all runs.
    """

    run_id: str
    first_step: int
    step: int
    tick: int

    @classmethod
    def from_proto(cls, message: pool_pb2.Run) -> Run:
        return dataclass_of(cls, message)


def run_id_from_env(environ: Mapping[str, str] | None = None) -> str:
    """The run's id by torchrun's variables: ``id.restart``.

    It is made of ``TORCHELASTIC_RUN_ID`` and ``TORCHELASTIC_RESTART_COUNT``: the same in every process of one launch,
    and another after each restart. It is empty where the variables are not set, where the launch has no id of its own
    (without ``--rdzv-id`` or ``--standalone`` torchrun calls every launch ``none``), and where processes could
    disagree: with several nodes and ``--max-restarts`` over 0 each node counts its own restarts. Agree on an id there
    (rank 0's, broadcast) and pass it.

    Args:
        environ: Default ``os.environ``.
    """
    found = os.environ if environ is None else environ
    name, restart = found.get("TORCHELASTIC_RUN_ID", ""), found.get("TORCHELASTIC_RESTART_COUNT", "")
    agreed = found.get("GROUP_WORLD_SIZE", "1") == "1" or found.get("TORCHELASTIC_MAX_RESTARTS", "0") == "0"
    return f"{name}.{restart}" if name not in ("", "none") and restart and agreed else ""


def checked_run_id(run_id: str | None) -> str:
    """The run id of an argument; None takes torchrun's.

    Raises:
        ValueError: It has over 128 bytes.
    """
    asked = run_id_from_env() if run_id is None else run_id
    if len(asked.encode()) > RUN_ID_BYTES_MAX:
        raise ValueError(f"run_id must have at most {RUN_ID_BYTES_MAX} bytes")
    return asked
