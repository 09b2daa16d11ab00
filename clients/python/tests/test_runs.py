"""Training runs: their names, the errors of those that are over, and what a resume needs."""

from __future__ import annotations

import time

import pytest
from fake_server import FakeServer, run_error

import hardneg

LAUNCH = {"TORCHELASTIC_RUN_ID": "job-7", "TORCHELASTIC_RESTART_COUNT": "2"}
VARIABLES = (*LAUNCH, "GROUP_WORLD_SIZE", "TORCHELASTIC_MAX_RESTARTS")


@pytest.fixture(autouse=True)
def no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (LAUNCH, "job-7.2"),
        ({}, ""),
        ({"TORCHELASTIC_RUN_ID": "job-7"}, ""),
        ({"TORCHELASTIC_RESTART_COUNT": "0"}, ""),
        ({**LAUNCH, "TORCHELASTIC_RUN_ID": "none"}, ""),  # every launch without an id has this one
        ({**LAUNCH, "GROUP_WORLD_SIZE": "1", "TORCHELASTIC_MAX_RESTARTS": "3"}, "job-7.2"),
        ({**LAUNCH, "GROUP_WORLD_SIZE": "2", "TORCHELASTIC_MAX_RESTARTS": "0"}, "job-7.2"),
        # Each node counts its own restarts: the ids of one launch would differ.
        ({**LAUNCH, "GROUP_WORLD_SIZE": "2", "TORCHELASTIC_MAX_RESTARTS": "3"}, ""),
    ],
)
def test_a_run_is_a_launch_and_its_restart(environ: dict[str, str], expected: str) -> None:
    assert hardneg.run_id_from_env(environ) == expected
    assert hardneg.Round.from_env(5, environ=environ).run_id == expected


def test_reports_name_the_run(server: FakeServer, pool: hardneg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def report(run_id: str | None = None) -> None:
        pool.report([1], [1.0], run_id=run_id)
        with pool.score_stream(run_id=run_id) as stream:
            stream.report([1], [1.0])

    report()
    for name, value in LAUNCH.items():
        monkeypatch.setenv(name, value)
    report()
    report(run_id="mine")
    report(run_id="")
    assert [batch.run_id for batch in server.applied] == ["", "", "job-7.2", "job-7.2", "mine", "mine", "", ""]
    for call in (lambda: pool.report([1], [1.0], run_id="x" * 129), lambda: pool.score_stream(run_id="x" * 129)):
        with pytest.raises(ValueError, match="128 bytes"):
            call()
    assert hardneg.Round.from_env(1, environ=LAUNCH).run_id == "job-7.2"
    assert hardneg.Round.from_env(1, run_id="", environ=LAUNCH).run_id == ""


def test_a_stream_whose_run_has_ended_fails_at_once(server: FakeServer, pool: hardneg.Pool) -> None:
    server.reject = {2: run_error("RUN_ENDED", run_id="old", current_run_id="new")}
    stream = pool.score_stream(batch_size=1, run_id="old")
    stream.report([1, 2], [1.0, 1.0])
    with pytest.raises(hardneg.StreamClosed, match="RUN_ENDED") as closed:
        stream.flush()
    ended = closed.value.__cause__
    assert isinstance(ended, hardneg.RunEnded)
    assert ended.metadata == {"run_id": "old", "current_run_id": "new"}
    with pytest.raises(hardneg.StreamClosed):
        stream.report([3], [1.0])
    received = len(server.received)
    time.sleep(0.2)
    assert len(server.received) == received == 2, "it is not tried again"
    with pytest.raises(hardneg.StreamClosed):
        stream.close()
    assert (stream.stats.acked_rows, stream.stats.rejected_rows) == (1, 1)


def test_stale_batches_are_raised_at_flush_and_go_on(server: FakeServer, pool: hardneg.Pool) -> None:
    server.stale = {1, 3}
    with pool.score_stream(batch_size=2) as stream:
        stream.report(range(6), [1.0] * 6)
        with pytest.raises(hardneg.StaleScores, match="needs a new run_id") as stale:
            stream.flush()
        assert (stale.value.batches, stale.value.counts) == (2, hardneg.ReportCounts(stale=4))
        stream.flush()  # told once
        stream.report([7, 8], [1.0, 1.0])
    assert (stream.stats.stale_batches, stream.stats.acked_rows, stream.stats.counts.stale) == (2, 8, 4)


def test_a_resume_with_and_without_a_new_run(real: hardneg.Client, name: str) -> None:
    def process(run_id: str = "") -> hardneg.ScoreStream:
        return real.create_pool(name, half_life=hardneg.Steps(10)).score_stream(run_id=run_id)

    with process() as first:
        for step in (100, 150):
            first.report([step], [1.0], step=step)
    with pytest.raises(hardneg.BatchesRejected) as rejected, process() as resumed:
        resumed.report([1], [1.0], step=100)
    (rejection,) = rejected.value.rejections
    assert isinstance(rejection.error, hardneg.StepBehind)
    assert (rejection.error.metadata["step"], rejection.error.metadata["highest_step"]) == ("100", "150")

    with process("resumed") as resumed:
        resumed.report([150], [2.0], step=100)
    pool = real.create_pool(name, half_life=hardneg.Steps(10))
    assert pool.created is False
    assert pool.run_before == pool.info().run == pool.stats().run == hardneg.Run("resumed", 100, 100, tick=50)
    batch = pool.mine(2, strategy="top", random_fraction=0, fields=["ages", "scores"])
    assert batch.scores is not None
    assert batch.ages is not None
    assert (list(batch.ids), list(batch.scores), list(batch.ages)) == ([150, 100], [2.0, 1.0], [0.0, 50.0])

    with pytest.raises(hardneg.RunMissing) as missing:
        pool.report([1], [1.0], step=100)
    assert missing.value.metadata == {"current_run_id": "resumed"}
    with pytest.raises(hardneg.StaleScores):
        pool.report([150], [1.0], step=99, run_id="resumed")
    pool.report([1], [1.0], step=1, run_id="third")
    with pytest.raises(hardneg.RunEnded) as ended:
        pool.report([1], [1.0], step=101, run_id="resumed")
    assert ended.value.metadata == {"run_id": "resumed", "current_run_id": "third"}
    assert isinstance(ended.value, hardneg.FailedPrecondition)


def test_a_pool_that_is_new_had_no_run(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name)
    assert (pool.created, pool.run_before, pool.info().run, pool.stats().run) == (True, None, None, None)
    assert (real.pool(name).created, real.create_pool(name).created) == (None, False)
