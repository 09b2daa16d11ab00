"""A small in-process server on a real socket that can be told to fail. It stores scores and mines by TOP or uniformly;
test_server.py tests mining itself, against the real server."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from google.protobuf import any_pb2, json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2

from hardneg import _columns
from hardneg._proto import (
    columns_pb2,
    mining_service_pb2,
    mining_service_pb2_grpc,
    policy_pb2,
    pool_pb2,
    pool_service_pb2,
    pool_service_pb2_grpc,
)


def status(code: int, message: str, *details: Any) -> status_pb2.Status:
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code, message=message, details=packed)


def not_found(name: str) -> status_pb2.Status:
    info = error_details_pb2.ErrorInfo(reason="POOL_NOT_FOUND", domain="hardneg", metadata={"pool": name})
    return status(code_pb2.NOT_FOUND, f"no pool {name}", info)


def run_error(reason: str, **metadata: str) -> status_pb2.Status:
    info = error_details_pb2.ErrorInfo(reason=reason, domain="hardneg", metadata=metadata)
    return status(code_pb2.FAILED_PRECONDITION, f"{reason}: {metadata}", info)


def bad_field(field: str, why: str) -> status_pb2.Status:
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=why)
    return status(
        code_pb2.INVALID_ARGUMENT,
        f"{field}: {why}",
        error_details_pb2.ErrorInfo(reason="INVALID_FIELD", domain="hardneg"),
        error_details_pb2.BadRequest(field_violations=[violation]),
    )


def abort(context: grpc.ServicerContext, error: status_pb2.Status) -> Any:
    context.set_trailing_metadata((("grpc-status-details-bin", error.SerializeToString()),))
    context.abort(next(code for code in grpc.StatusCode if code.value[0] == error.code), error.message)


def ids_of(column: columns_pb2.IdColumn) -> list[Any]:
    ids = _columns.decode_ids(column)
    return ids if isinstance(ids, list) else ids.tolist()


def wire(message: Any) -> dict[str, Any]:
    """The fields of a message that are set, by their names in the contract."""
    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def id_column(keys: list[Any]) -> columns_pb2.IdColumn:
    if keys and isinstance(keys[0], str):
        return _columns.encode_ids(keys)
    return _columns.encode_ids(np.array(keys, dtype="<u8"))


class FakeServer(mining_service_pb2_grpc.MiningServiceServicer, pool_service_pb2_grpc.PoolServiceServicer):
    """Tests set the public attributes to cause faults, and read in `received` and `applied` what happened."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pools: dict[str, pool_pb2.Pool] = {}
        self.samples: dict[str, dict[Any, float]] = {}
        self.received: list[mining_service_pb2.ScoreBatch] = []  # every arrival
        self.applied: list[mining_service_pb2.ScoreBatch] = []  # without resends
        self.mine_requests: list[mining_service_pb2.MineBatchRequest] = []
        self.requests: list[Any] = []  # of the calls about single samples, anchors and the quarantine
        self.known: dict[str, set[tuple[Any, Any]]] = {}  # positives and vetoes, pairs of anchor and sample
        self.max_pairs = 1 << 32
        self.leased: dict[str, set[Any]] = {}
        self.quarantined: dict[str, list[pool_service_pb2.QuarantinedSample]] = {}
        self.batches_sent = 0
        self.headers: list[dict[str, Any]] = []  # of every call that looks for faults
        self.seen: set[tuple[str, int, int]] = set()
        self.remembered: dict[str, mining_service_pb2.MinedBatch] = {}
        # Faults.
        self.lose_acks_after = -1  # so many acks, then the stream breaks, batch applied but ack unsent
        self.hold_acks = threading.Event()  # cleared: acks wait
        self.hold_acks.set()
        self.reject: dict[int, status_pb2.Status] = {}  # by sequence
        self.stale: set[int] = set()  # sequences
        self.fail_next: list[status_pb2.Status] = []  # for unary calls, one each
        self.fail_streams: list[status_pb2.Status] = []  # for opening streams, one each
        self.forget_answers = 0  # apply so many unary calls, but answer UNAVAILABLE
        self.port = 0
        self._uids = itertools.count(1)
        self._server: grpc.Server | None = None

    def start(self) -> FakeServer:
        self._server = grpc.server(
            ThreadPoolExecutor(16),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 16 << 20)],
        )
        mining_service_pb2_grpc.add_MiningServiceServicer_to_server(self, self._server)
        pool_service_pb2_grpc.add_PoolServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self.hold_acks.set()
            self._server.stop(0).wait(5)
            self._server = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    # Administration.

    def CreatePool(self, request: Any, context: Any) -> Any:
        self._fault(context)
        name = f"pools/{request.pool_id}"
        old = self.pools.get(name)
        if old is not None:
            if old.spec != request.pool.spec:
                abort(context, status(code_pb2.ALREADY_EXISTS, f"{name} exists with another spec"))
            return pool_service_pb2.CreatePoolResponse(pool=old, created=False)
        pool = pool_pb2.Pool(name=name, uid=next(self._uids), spec=request.pool.spec, etag="1")
        pool.create_time.GetCurrentTime()
        self.pools[name], self.samples[name] = pool, {}
        return pool_service_pb2.CreatePoolResponse(pool=pool, created=True)

    def GetPool(self, request: Any, context: Any) -> Any:
        self._fault(context)
        return pool_service_pb2.GetPoolResponse(pool=self._pool(request.name, context, request.pool_uid))

    def ListPools(self, request: Any, context: Any) -> Any:
        names = sorted(self.pools)
        start = int(request.page_token or 0)
        end = start + request.page_size
        return pool_service_pb2.ListPoolsResponse(
            pools=[self.pools[name] for name in names[start:end]],
            next_page_token=str(end) if end < len(names) else "",
        )

    def UpdatePool(self, request: Any, context: Any) -> Any:
        pool = self._pool(request.pool.name, context, request.pool.uid)
        if request.pool.etag and request.pool.etag != pool.etag:
            abort(context, status(code_pb2.ABORTED, "etag"))
        for path in request.update_mask.paths:
            part = path.removeprefix("spec.")
            if part == "control_fraction":
                pool.spec.control_fraction = request.pool.spec.control_fraction
            elif part == "sample_ttl":
                kind = request.pool.spec.WhichOneof(part)
                pool.spec.ClearField("sample_ttl_time")
                pool.spec.ClearField("sample_ttl_steps")
                if kind == "sample_ttl_steps":
                    pool.spec.sample_ttl_steps = request.pool.spec.sample_ttl_steps
                elif kind == "sample_ttl_time":
                    pool.spec.sample_ttl_time.CopyFrom(request.pool.spec.sample_ttl_time)
            elif request.pool.spec.HasField(part):
                getattr(pool.spec, part).CopyFrom(getattr(request.pool.spec, part))
            else:
                pool.spec.ClearField(part)
        pool.etag = str(int(pool.etag) + 1)
        return pool_service_pb2.UpdatePoolResponse(pool=pool)

    def DeletePool(self, request: Any, context: Any) -> Any:
        if request.name in self.pools:
            self._pool(request.name, context, request.pool_uid)
            del self.pools[request.name]
        elif not request.allow_missing:
            abort(context, not_found(request.name))
        self._forget(context)
        return pool_service_pb2.DeletePoolResponse()

    def GetPoolStats(self, request: Any, context: Any) -> Any:
        pool = self._pool(request.name, context, request.pool_uid)
        stats = pool_pb2.PoolStats(name=pool.name, uid=pool.uid, reported_batches=len(self.applied))
        stats.sizes.CopyFrom(self._sizes(pool.name))
        return pool_service_pb2.GetPoolStatsResponse(stats=stats)

    def WatchPoolStats(self, request: Any, context: Any) -> Iterator[Any]:
        self.requests.append(request)
        while context.is_active():
            stats = self.GetPoolStats(request, context).stats
            answer = pool_service_pb2.WatchPoolStatsResponse(stats=stats)
            answer.activity.ticks.add(seconds=1, reported_rows=5).report.p99 = 0.25
            answer.activity.scores.bounds.extend([0.0, 1.0])
            answer.activity.scores.stored.append(3)
            answer.activity.workers.add(worker_id="w", rows=7)
            answer.activity.hardest.add(id=9, name="nine", score=0.5)
            answer.activity.suspects.add(id=4, reports=3)
            yield answer
            time.sleep(request.interval.ToNanoseconds() / 1e9)

    # The quarantine.

    def ListQuarantined(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        samples = self.quarantined.get(self._pool(request.name, context, request.pool_uid).name, [])
        start = int(request.page_token or 0)
        end = start + (request.page_size or 1000)
        return pool_service_pb2.ListQuarantinedResponse(
            samples=samples[start:end],
            next_page_token=str(end) if end < len(samples) else "",
            total=len(samples),
        )

    def ReleaseQuarantined(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        samples = self.quarantined.get(self._pool(request.name, context, request.pool_uid).name, [])
        wanted = set(ids_of(request.ids)) if request.HasField("ids") else None
        kept = [sample for sample in samples if wanted is not None and (sample.name or sample.id) not in wanted]
        self.quarantined[request.name] = kept
        return pool_service_pb2.ReleaseQuarantinedResponse(released_count=len(samples) - len(kept))

    # Anchors.

    def MineNegatives(self, request: Any, context: Any) -> Any:
        """The hardest of each anchor; no background."""
        self.requests.append(request)
        self._fault(context)
        name = self._pool(request.pool, context).name
        found: list[tuple[Any, float]] = []
        offsets, unknown = [0], 0
        anchors = ids_of(request.anchors)
        numbers = list(request.num_negatives_per_anchor) or [request.num_negatives] * len(anchors)
        for anchor, number in zip(anchors, numbers, strict=True):
            own = [(key[1], score) for key, score in self.samples[name].items() if key[0] == anchor]
            unknown += not own
            found += sorted(own, key=lambda row: -row[1])[:number]
            offsets.append(len(found))
        answer = mining_service_pb2.MineNegativesResponse(
            offsets=offsets,
            policy=request.policy,
            seed=request.seed,
            shortfall_count=sum(numbers) - len(found),
            unknown_anchor_count=unknown,
            sources=bytes([mining_service_pb2.SOURCE_HARD] * len(found)),
            sizes=self._sizes(name),
        )
        answer.ids.CopyFrom(id_column([key for key, _ in found]))
        answer.scores.f32_le = np.array([score for _, score in found], dtype="<f4").tobytes()
        if request.policy.strategy != mining_service_pb2.NEGATIVE_STRATEGY_TOP:
            answer.inclusion_probabilities.f32_le = np.full(len(found), 0.5, dtype="<f4").tobytes()
        if request.fields.positive_scores:
            anchors = len(offsets) - 1
            answer.positive_scores.f32_le = np.full(anchors, 0.75, dtype="<f4").tobytes()
            answer.positive_scores.present = bytes([0b01] + [0] * ((anchors - 1) // 8))
        answer.filtered.known_positives = len(self.known.get(name, ()))
        return answer

    def AddPositives(self, request: Any, context: Any) -> Any:
        return self._forbid(request, request.positives, context, mining_service_pb2.AddPositivesResponse())

    def RejectNegatives(self, request: Any, context: Any) -> Any:
        return self._forbid(request, request.negatives, context, mining_service_pb2.RejectNegativesResponse())

    def _forbid(self, request: Any, others: Any, context: Any, answer: Any) -> Any:
        self.requests.append(request)
        name = self._pool(request.pool, context).name
        known = self.known.setdefault(name, set())
        for row, pair in enumerate(zip(ids_of(request.anchors), ids_of(others), strict=True)):
            if pair not in known and len(known) >= self.max_pairs:
                answer.refused.rows.append(row)
                if not answer.refused.limits:
                    answer.refused.limits.add(row=row, limit="max_pairs", max=self.max_pairs)
                continue
            answer.added_count += pair not in known
            known.add(pair)
            answer.removed_count += self.samples[name].pop(pair, None) is not None
        return answer

    # The data path.

    def ReportScores(self, request: Any, context: Any) -> Any:
        self._fault(context)
        ack = self._apply(request.batch)
        if ack.status == mining_service_pb2.ACK_STATUS_REJECTED:
            abort(context, ack.error)
        self._forget(context)
        return mining_service_pb2.ReportScoresResponse(ack=ack)

    def StreamScores(self, requests: Any, context: Any) -> Iterator[Any]:
        self.headers.append(dict(context.invocation_metadata()))
        if self.fail_streams:
            abort(context, self.fail_streams.pop(0))
        for request in requests:
            ack = self._apply(request.batch)
            while not self.hold_acks.wait(0.05):
                if not context.is_active():
                    return
            if self.lose_acks_after == 0:
                self.lose_acks_after = -1
                abort(context, status(code_pb2.UNAVAILABLE, "broken on purpose"))
            self.lose_acks_after -= 1
            yield mining_service_pb2.StreamScoresResponse(ack=ack)

    def MineBatch(self, request: Any, context: Any) -> Any:
        self.mine_requests.append(request)
        self._fault(context)
        if request.HasField("round") and request.request_id:
            abort(context, bad_field("request_id", "a round is its own retry key"))
        key = request.request_id or (request.round.SerializeToString().hex() if request.HasField("round") else "")
        batch = self.remembered.get(key) or self._mine(request, context)
        if key:
            self.remembered[key] = batch
        self._forget(context)
        return mining_service_pb2.MineBatchResponse(batch=batch)

    def StreamBatches(self, requests: Any, context: Any) -> Iterator[Any]:
        self.headers.append(dict(context.invocation_metadata()))
        if self.fail_streams:
            abort(context, self.fail_streams.pop(0))
        first = next(requests).start
        request, credits = first.request, first.max_outstanding
        self.mine_requests.append(request)
        while True:
            for _ in range(credits):
                self.batches_sent += 1
                yield mining_service_pb2.StreamBatchesResponse(batch=self._mine(request, context))
                request.seed += 1
                if request.HasField("round"):
                    request.round.number += 1
                if request.HasField("step"):
                    request.step += 1
            try:
                credits = next(requests).credits
            except (StopIteration, grpc.RpcError):
                return

    def RemoveSamples(self, request: Any, context: Any) -> Any:
        samples = self.samples[self._pool(request.pool, context).name]
        ids = _columns.decode_ids(request.ids)
        removed = sum(samples.pop(key, None) is not None for key in (ids if isinstance(ids, list) else ids.tolist()))
        return mining_service_pb2.RemoveSamplesResponse(removed_count=removed)

    def ReleaseLease(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        leased = self.leased.setdefault(self._pool(request.pool, context).name, set())
        ids = set(ids_of(request.ids))
        released = len(leased & ids)
        leased -= ids
        return mining_service_pb2.ReleaseLeaseResponse(released_count=released)

    def GetSamples(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        name = self._pool(request.pool, context).name
        answer = mining_service_pb2.GetSamplesResponse()
        for key in ids_of(request.ids):
            score = self.samples[name].get(key)
            if score is None:
                answer.samples.add(place=mining_service_pb2.SAMPLE_PLACE_NOWHERE)
                continue
            sample = answer.samples.add(place=mining_service_pb2.SAMPLE_PLACE_HARD, score=score, age=0.0, stratum=3)
            if key in self.leased.get(name, ()):
                sample.lease_left.FromSeconds(60)
        return answer

    def _fault(self, context: Any) -> None:
        self.headers.append(dict(context.invocation_metadata()))
        if self.fail_next:
            abort(context, self.fail_next.pop(0))

    def _forget(self, context: Any) -> None:
        if self.forget_answers:
            self.forget_answers -= 1
            abort(context, status(code_pb2.UNAVAILABLE, "answer lost on purpose"))

    def _pool(self, name: str, context: Any, uid: int = 0) -> pool_pb2.Pool:
        if name not in self.pools:
            abort(context, not_found(name))
        pool = self.pools[name]
        if uid not in (0, pool.uid):
            info = error_details_pb2.ErrorInfo(reason="POOL_RECREATED", domain="hardneg")
            abort(context, status(code_pb2.FAILED_PRECONDITION, f"{name} has uid {pool.uid}, not {uid}", info))
        return pool

    def _sizes(self, name: str) -> pool_pb2.PoolSizes:
        n = len(self.samples[name])
        return pool_pb2.PoolSizes(hard=n, background=n, distinct=n, background_probability=1, closed_loop_ratio=1)

    def _apply(self, batch: Any) -> mining_service_pb2.ScoreAck:
        with self.lock:
            self.received.append(batch)
            ack = mining_service_pb2.ScoreAck(sequence=batch.sequence)
            if batch.pool not in self.pools:
                ack.status = mining_service_pb2.ACK_STATUS_REJECTED
                ack.error.CopyFrom(not_found(batch.pool))
                return ack
            if batch.sequence in self.reject:
                ack.status = mining_service_pb2.ACK_STATUS_REJECTED
                ack.error.CopyFrom(self.reject[batch.sequence])
                return ack
            key = (batch.worker_id, batch.worker_epoch, batch.sequence)
            if batch.sequence and key in self.seen:
                ack.status = mining_service_pb2.ACK_STATUS_DUPLICATE
                return ack
            self.seen.add(key)
            self.applied.append(batch)
            ids = _columns.decode_ids(batch.ids)
            scores = _columns.decode_floats(batch.scores, len(ids), name="scores")
            assert scores is not None
            samples = self.samples[batch.pool]
            keys: list[Any] = ids if isinstance(ids, list) else ids.tolist()
            if batch.HasField("anchors"):
                keys = list(zip(ids_of(batch.anchors), keys, strict=True))
            for sample, score in zip(keys, scores.tolist(), strict=True):
                ack.counts.updated += sample in samples
                ack.counts.inserted += sample not in samples
                samples[sample] = score
            ack.status = mining_service_pb2.ACK_STATUS_APPLIED
            if batch.sequence in self.stale:
                ack.status = mining_service_pb2.ACK_STATUS_STALE
                ack.counts.CopyFrom(pool_pb2.ReportCounts(stale=len(ids)))
            ack.floor_log2 = -3.5
            return ack

    def _mine(self, request: Any, context: Any) -> mining_service_pb2.MinedBatch:
        name = self._pool(request.pool, context).name
        if request.policy.alpha > 16:
            abort(context, bad_field("policy.alpha", "must be 0 to 16"))
        exclude = _columns.decode_ids(request.exclude_ids) if request.HasField("exclude_ids") else []
        unwanted = set(exclude if isinstance(exclude, list) else exclude.tolist())
        with self.lock:
            rows = sorted((-score, key) for key, score in self.samples[name].items() if key not in unwanted)
        if request.policy.strategy != policy_pb2.STRATEGY_TOP:
            np.random.default_rng(request.seed).shuffle(rows)
        wanted = request.batch_size
        if request.HasField("negative_ratio"):
            ratio = request.negative_ratio
            wanted = max(ratio.min_size, math.ceil(ratio.positives * ratio.negatives_per_positive))
        if request.HasField("round"):  # stripes of a draw for all ranks
            np.random.default_rng(request.round.number).shuffle(rows)
            rows = rows[: wanted * request.round.world_size][request.round.rank :: request.round.world_size]
        rows = rows[:wanted]
        n = len(rows)
        batch = mining_service_pb2.MinedBatch(
            seed=request.seed,
            policy=request.policy,
            hard_count=n,
            shortfall_count=wanted - n,
            sizes=self._sizes(name),
            sources=bytes([mining_service_pb2.SOURCE_HARD] * n),
            estimand=mining_service_pb2.ESTIMAND_ALL,
        )
        batch.ids.CopyFrom(id_column([key for _, key in rows]))
        if request.HasField("round"):
            batch.round.CopyFrom(request.round)
        if request.HasField("lease"):
            self.leased.setdefault(name, set()).update(key for _, key in rows)
        batch.warmup = request.HasField("step") and request.step < request.policy.curriculum.warmup_steps
        batch.filtered.excluded = len(unwanted)
        if request.policy.balance.min_per_stratum:
            batch.approximations.append(mining_service_pb2.APPROXIMATION_SCAN_LIMIT)
        if request.fields.strata:
            batch.strata.extend([7] * n)
        if request.fields.groups:
            batch.groups.u64_le = np.zeros(n, dtype="<u8").tobytes()
        scores = np.array([-score for score, _ in rows], dtype="<f4")
        batch.scores.CopyFrom(columns_pb2.FloatColumn(f32_le=scores.tobytes()))
        if request.policy.strategy == policy_pb2.STRATEGY_TOP:
            batch.estimand = mining_service_pb2.ESTIMAND_NONE
        else:
            batch.importance_weights.f32_le = np.ones(n, dtype="<f4").tobytes()
        return batch
