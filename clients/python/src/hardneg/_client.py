"""The client: its connections to one server, and the pools of that server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ._columns import FloatsLike, IdsLike
from ._enums import HardnessFunction, Normalization, Strategy
from ._messages import optional_of
from ._options import share_descriptions, takes
from ._pool import Pool
from ._pool_spec import PoolInfo, PoolOptions, pool_spec
from ._proto import pool_pb2, pool_service_pb2
from ._runs import Run
from ._selection import Selection, select_from
from ._transport import TIMEOUT_S, Transport

if TYPE_CHECKING:
    import grpc


class Client:
    """A client of one hardneg server. It is thread-safe; make one per process, after forking or spawning workers.

    Args:
        target: ``"host:port"``, or any gRPC target.
        timeout: Seconds for a call with all its retries, unless the call sets its own; never infinite.
        max_retries: Attempts after the first while the service is unavailable or asks to come back later. Every
            call is safe to repeat.
        channels: Connections to open. One carries about a gigabit per second; several help a process that reports
            from many threads.
        credentials: For TLS, from `grpc.ssl_channel_credentials`; None is plain text.
        token: Bearer token sent with every call.
        metadata: Returns further headers in lower case, for example your span's `traceparent`. It runs for every call
            and for every stream that is opened, in the thread that does so (streams have threads of their own).
        options: Further gRPC channel options; they override the client's.

    Example:
        >>> with hardneg.Client("localhost:50051") as client:
        ...     pool = client.create_pool("faces", capacity=100_000, half_life=hardneg.Steps(500))
        ...     pool.report(ids=[1, 2, 3], scores=[0.9, 0.1, 0.5], step=1)
        ...     batch = pool.mine(2)
        ...     batch.ids, batch.importance_weights
    """

    def __init__(
        self,
        target: str = "localhost:50051",
        *,
        timeout: float = TIMEOUT_S,
        max_retries: int = 3,
        channels: int = 1,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        metadata: Callable[[], Iterable[tuple[str, str]]] | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._transport = Transport(
            target,
            timeout=timeout,
            max_retries=max_retries,
            channels=channels,
            credentials=credentials,
            token=token,
            metadata=metadata,
            options=options,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._transport.target!r})"

    def close(self) -> None:
        """Closes the connections. Close score streams first: rows that they still hold are lost."""
        self._transport.close()

    def wait_ready(self, timeout: float = 30.0) -> Client:
        """Blocks until the server can be reached, and returns the client.

        Raises:
            Unavailable: Not within `timeout` seconds.
        """
        self._transport.wait_ready(timeout)
        return self

    @takes(PoolOptions)
    def create_pool(
        self,
        name: str,
        *,
        timeout: float | None = None,
        **options: Unpack[PoolOptions],
    ) -> Pool:
        """Creates a pool, or returns the pool of that name if it has the same spec: every worker may call this.

        `Pool.created` tells which it was, and `Pool.run_before` whose training run the pool had before. An option that
        is not given, or None, takes its default.

        Args:
            name: 1 to 63 of ``[a-z0-9_-]``, starting with a letter or digit.
            timeout: Seconds; default the client's.
            capacity: Samples kept in the hard store; default 1,048,576.
            background_size: Size of the uniform sample of all ids; default 65,536.
            dense_ids: Instead of `background_size`, when ids are the row numbers 0..dense_ids-1 of a data set: the
                background then draws from all of them, reported or not.
            shards: Partitions of the pool, 1 to 256; by default chosen from the capacity and the cores of the server.
            id_kind: ``"u64"`` (default) or ``"string"``.
            hardness: ``"power"`` (default) for losses and probabilities, ``"exponential"`` for similarities and
                logits. With ``"power"`` all scores below 0 weigh the same; acks and stats count them as `floored`.
            lower_is_harder: True for distances; default False.
            offset: With ``"power"``: added to the score; default 0.001.
            temperature: With ``"exponential"``: divides the score; default 1.
            half_life: Seconds, a timedelta, `Steps`, or `NEVER`; default one hour. A priority halves with each. With
                ``"exponential"`` also `ScorePerSecond` or `ScorePerStep`: how much of its score a sample loses.
            max_step_jump: With `Steps`: the pool refuses a report that is more steps ahead of its run; default
                1,000,000.
            score_update: What a new report of a known id does to its score: ``"last"`` (default), ``"max"`` (the
                harder score stays) or ``"ema"``.
            ema_weight: Weight of the new score with ``"ema"``; default 0.5.
            default_policy: The policy of `mine` calls, for the options that they do not give.
            serve_penalty: Factor on a sample's weight for each serve since its last report, over 0; default 1, off.
            max_serves: Serves between two reports of a sample; default no limit.
            lease: Seconds (or a timedelta) for which a served sample is not served again, unless it is reported
                meanwhile; default 0, none.
            max_payload_bytes: Longest payload kept with a sample; default 0, none.
            rotate_background: False keeps the same background sample for ever; default True, a fresh one from time to
                time.
            durability: What an acknowledged report survives; default the server's.
            anchored: Makes it a pool of negatives per anchor, for `Pool.mine_negatives`; default a flat pool.
            quarantine: Sets samples aside that look mislabelled; default none.
            flow: Couples how much is mined to how much is reported; default none.
            control_fraction: Share of rounds that get a uniform batch to compare with, 0 to 1; default 0.
            sample_ttl: A sample that no row reported for so many seconds (or a timedelta, or `Steps` in a pool that
                ages by steps) is removed; default never. Serving does not count: let it be longer than the time in
                which every sample is reported once.

        Raises:
            AlreadyExists: A pool of that name has another spec.
            InvalidArgument: A value is out of range; `field` says which.
        """
        spec = pool_spec(options)
        request = pool_service_pb2.CreatePoolRequest(pool_id=name, pool=pool_pb2.Pool(spec=spec))
        answer = self._transport.call("pools", "CreatePool", request, timeout=timeout)
        run = optional_of(Run.from_proto, answer.pool, "run")
        return Pool(self._transport, name, uid=answer.pool.uid, created=answer.created, run_before=run)

    def pool(self, name: str, *, uid: int = 0) -> Pool:
        """A handle of a pool, without asking the server whether it exists.

        Args:
            name: The pool's name.
            uid: Of the pool meant, as `Pool.uid` of another process's handle from `create_pool`: calls fail once
                another pool has taken the name. 0: whichever pool has the name.
        """
        return Pool(self._transport, name, uid=uid)

    def select_from(
        self,
        scores: FloatsLike,
        batch_size: int,
        *,
        ids: IdsLike | None = None,
        reference_scores: FloatsLike | None = None,
        strategy: Strategy | str = Strategy.PROPORTIONAL,
        alpha: float = 1.0,
        hardness: HardnessFunction | str = HardnessFunction.POWER,
        lower_is_harder: bool = False,
        offset: float | None = None,
        temperature: float | None = None,
        replacement: bool = False,
        beta: float = 1.0,
        normalization: Normalization | str = Normalization.NONE,
        seed: int | None = None,
        timeout: float | None = None,
    ) -> Selection:
        """Selects samples from a set of scores: the hard part of a super-batch that was just scored. Stores nothing.

        Args:
            scores: Of shape (n,), n up to 65,536. Rows that are not finite are left out and counted.
            batch_size: Samples to select; a smaller set is selected whole.
            ids: Of shape (n,), integers or strings, which the selection repeats.
            reference_scores: Of shape (n,): the hardness is that of ``scores - reference_scores`` (RHO-LOSS).
            strategy: ``"proportional"`` (default), ``"rank"``, ``"uniform"`` or ``"top"``.
            alpha: Exponent of ``"proportional"`` and ``"rank"``, 0 to 16.
            hardness: How a score becomes a weight, as in `create_pool`.
            lower_is_harder: True for distances.
            offset: With ``"power"``: added to the score; default 0.001.
            temperature: With ``"exponential"``: divides the score; default 1.
            replacement: Draw independently, so that a sample may be selected several times.
            beta: Exponent of the importance weights, 0 to 1.
            normalization: How the weights are scaled.
            seed: The same call with the same seed selects the same rows; default a new one.
            timeout: Seconds; default the client's.

        Raises:
            InvalidArgument: A value is out of range; `field` says which.

        Example:
            >>> chosen = client.select_from(losses, 32, reference_scores=irreducible, strategy="top")
            >>> loss = model(images[chosen.rows])
        """
        return select_from(
            self._transport,
            scores,
            batch_size,
            ids=ids,
            reference_scores=reference_scores,
            strategy=strategy,
            alpha=alpha,
            hardness=hardness,
            lower_is_harder=lower_is_harder,
            offset=offset,
            temperature=temperature,
            replacement=replacement,
            beta=beta,
            normalization=normalization,
            seed=seed,
            timeout=timeout,
        )

    def list_pools(self, *, page_size: int = 100, timeout: float | None = None) -> Iterator[PoolInfo]:
        """Every pool, in order of name; pages are fetched as they are needed.

        Args:
            page_size: Pools a page, 1 to 1,000.
            timeout: Seconds a page.
        """
        request = pool_service_pb2.ListPoolsRequest(page_size=page_size)
        for answer in self._transport.pages("pools", "ListPools", request, timeout=timeout):
            yield from map(PoolInfo.from_proto, answer.pools)


share_descriptions(Client.create_pool, Pool.update)
