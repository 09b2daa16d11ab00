"""The client: one connection to a server, and the administration of its pools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ._messages import optional_of
from ._options import share_descriptions, takes
from ._pool import Pool
from ._pool_spec import PoolInfo, PoolOptions, pool_spec
from ._proto import pool_pb2, pool_service_pb2
from ._runs import Run
from ._transport import TIMEOUT_S, Transport

if TYPE_CHECKING:
    import grpc


class Client:
    """A connection to a hardneg server. Thread-safe; make one per process, after forking or spawning workers.

    Args:
        target: ``"host:port"``, or any gRPC target.
        timeout: Seconds for a call with all its retries, where a call does not say otherwise. Never infinite.
        max_retries: Attempts after the first while the service is unavailable or asks to come back later. Every
            call is safe to repeat.
        channels: Connections to open. One carries about a gigabit; several help a process that reports from many
            threads.
        credentials: For TLS, from `grpc.ssl_channel_credentials`; None is plain text.
        token: Bearer token sent with every call.
        metadata: Called for every call, and for every stream when it is opened, in the thread that does so (streams
            have one of their own): further headers in lower case, for example your span's `traceparent`.
        options: Further gRPC channel options; they win over the client's.

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
        """Closes the connections. Close score streams first: what they hold is lost otherwise."""
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
        """Creates a pool. Every worker may call this: with the spec of the pool that exists it returns that one, and
        `Pool.created` and `Pool.run_before` tell so.

        Args:
            name: 1 to 63 of ``[a-z0-9_-]``, starting with a letter or digit.
            timeout: Seconds; default the client's.
            capacity: Samples kept in the hard store; default 1,048,576.
            background_size: Size of the uniform sample of all ids; default 65,536.
            dense_ids: Instead of `background_size`, when ids are the row numbers 0..dense_ids-1 of a data set: the
                background then draws from all of them, reported or not.
            shards: Locks of the store; default 4 x the server's cores.
            id_kind: ``"u64"`` or ``"string"``.
            hardness: ``"power"`` for losses and probabilities, ``"exponential"`` for similarities and logits. With
                ``"power"`` all scores below 0 weigh the same; acks and stats count them as `floored`.
            lower_is_harder: Set it for distances.
            offset: Of POWER, added to the score; default 0.001.
            temperature: Of EXPONENTIAL; default 1.
            half_life: Seconds, a timedelta, `Steps`, or `NEVER`; default one hour. A priority halves with each.
            max_step_jump: With `Steps`: a report further than this ahead is refused; default 1,000,000.
            score_update: What a new report of a known id does: ``"last"``, ``"max"`` (the harder stays), ``"ema"``.
            ema_weight: Weight of the new score with ``"ema"``; default 0.5.
            default_policy: For `mine` calls that do not give their own.
            serve_penalty: Each serve multiplies the sample's weight by this until it is reported again; default 1.
            max_serves: Serves between two reports of a sample; default no limit.
            lease: A served sample rests for so many seconds (or a timedelta), until it is reported again; default it
                does not.
            max_payload_bytes: Longest payload kept with a sample; default 0, none.
            rotate_background: False keeps the same background sample for ever.
            durability: What an acknowledged report survives; default the server's.
            anchored: Makes it a pool of negatives per anchor, for `Pool.mine_negatives`.
            quarantine: Sets samples aside that look mislabelled; default never.
            flow: Couples how much is mined to how much is reported; default not.
            control_fraction: Share of rounds that get a purely uniform batch, to compare with; default none.
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
