//! The Rust client: typed calls over pooled connections, with finite deadlines, safe retries and streams that reconnect.
//!
//! ```no_run
//! # async fn example() -> Result<(), hardneg::client::Error> {
//! use hardneg::client::{Client, MineRequest, pb};
//!
//! let client = Client::connect("http://127.0.0.1:50051").await?;
//! client.create_pool("faces", pb::PoolSpec::default()).await?;
//! client.report("faces", &[1, 2, 3], &[0.9, 0.1, 0.4]).await?;
//! let batch = client.mine(MineRequest::new("faces", 2)).await?;
//! println!("{:?} {:?}", batch.ids, batch.importance_weights);
//! # Ok(()) }
//! ```

mod batch;
mod batch_stream;
mod error;
#[cfg(all(test, feature = "server"))]
pub(crate) mod fake;
mod mine;
mod negatives;
mod options;
mod paging;
mod pool_ref;
mod quarantine;
mod retry;
mod run;
mod samples;
mod score_batch;
mod score_stream;
mod selection;
#[cfg(all(test, feature = "server"))]
mod tests;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, transport::Channel};

pub use crate::proto::columns::Ids;
/// The generated messages.
pub use crate::proto::v1 as pb;
pub use batch::Batch;
pub use batch_stream::{BatchStream, BatchStreamOptions};
pub use error::Error;
pub use mine::MineRequest;
pub use negatives::{Negatives, NegativesRequest};
pub use options::{ClientOptions, Headers};
pub use pool_ref::PoolRef;
pub use run::run_id_from_env;
pub use score_batch::ScoreBatch;
pub use score_stream::{PendingAck, ScoreStream, ScoreStreamOptions, StreamSummary};
pub use selection::{SelectRequest, Selection};

use pb::{mining_service_client::MiningServiceClient, pool_service_client::PoolServiceClient};
use retry::Retry;

/// The stream of responses that [`Client::watch_pool_stats`] returns.
pub type PoolWatch = Pin<Box<dyn Stream<Item = Result<pb::WatchPoolStatsResponse, Error>> + Send>>;

/// A handle to one server, or to a load balancer in front of several. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Each is one HTTP/2 connection. A connection serialises its streams on a lock, so a busy client has several.
    channels: Vec<Channel>,
    next_channel: AtomicUsize,
    options: ClientOptions,
    worker_id: String,
    run_id: String,
    /// Random, so that a restarted worker can count its batches from 1 again. Never 0.
    worker_epoch: u64,
    next_sequence: AtomicU64,
}

impl Client {
    /// Connects with the default options. `server` is a URL, or `host:port`.
    ///
    /// # Errors
    /// [`Error::InvalidServer`] when `server` is not a valid address, [`Error::Connect`] when no connection can be made.
    pub async fn connect(server: impl AsRef<str>) -> Result<Self, Error> {
        Self::connect_with(server, ClientOptions::default()).await
    }

    /// Connects with these options; opens all connections of the pool.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(server: impl AsRef<str>, options: ClientOptions) -> Result<Self, Error> {
        let endpoint = options.endpoint(server.as_ref())?;
        let mut channels = Vec::with_capacity(options.channels.max(1));
        for _ in 0..options.channels.max(1) {
            let channel = endpoint
                .connect()
                .await
                .map_err(|source| Error::Connect { server: server.as_ref().to_owned(), source })?;
            channels.push(channel);
        }
        Ok(Self::over(channels, options))
    }

    /// Returns at once; connects at the first call, and again after a connection broke.
    ///
    /// # Errors
    /// [`Error::InvalidServer`].
    pub fn connect_lazy(server: impl AsRef<str>, options: ClientOptions) -> Result<Self, Error> {
        let endpoint = options.endpoint(server.as_ref())?;
        let channels = (0..options.channels.max(1)).map(|_| endpoint.connect_lazy()).collect();
        Ok(Self::over(channels, options))
    }

    /// A client over given channels, at least one, such as an in-memory transport or a balanced channel.
    fn over(channels: Vec<Channel>, options: ClientOptions) -> Self {
        let worker_id = options.worker_id.clone().unwrap_or_default();
        let run_id = options.run_id.clone().or_else(run_id_from_env).unwrap_or_default();
        Self {
            inner: Arc::new(Inner {
                channels,
                next_channel: AtomicUsize::new(0),
                options,
                worker_id,
                run_id,
                worker_epoch: new_epoch(),
                next_sequence: AtomicU64::new(1),
            }),
        }
    }

    /// The options that this client was made with.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    /// The next connection of the pool, for a service that this module does not wrap (health, reflection).
    #[must_use]
    pub fn channel(&self) -> Channel {
        let channels = &self.inner.channels;
        let turn = self.inner.next_channel.fetch_add(1, Ordering::Relaxed);
        channels[turn % channels.len()].clone()
    }

    /// The generated stub of the pool service, with this client's limits.
    #[must_use]
    pub fn pool_service(&self) -> PoolServiceClient<Channel> {
        let limit = self.inner.options.max_message_bytes;
        PoolServiceClient::new(self.channel())
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit)
    }

    /// The generated stub of the mining service, with this client's limits.
    #[must_use]
    pub fn mining_service(&self) -> MiningServiceClient<Channel> {
        let limit = self.inner.options.max_message_bytes;
        MiningServiceClient::new(self.channel())
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit)
    }

    /// Creates a pool. The returned flag is false when the pool existed before, with the same spec.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` when the pool exists with another spec, `INVALID_ARGUMENT` naming the field, `RESOURCE_EXHAUSTED` when the server
    /// has as many pools as it allows.
    pub async fn create_pool(
        &self,
        pool_id: impl AsRef<str>,
        spec: pb::PoolSpec,
    ) -> Result<(pb::Pool, bool), Error> {
        let request = pb::CreatePoolRequest {
            pool_id: pool_id_of(pool_id.as_ref()).to_owned(),
            pool: Some(pb::Pool { spec: Some(spec), ..Default::default() }),
        };
        let answer = self
            .unary(Retry::Safe, request, async |client, request| {
                client.pool_service().create_pool(request).await
            })
            .await?;
        Ok((required(answer.pool, "pool")?, answer.created))
    }

    /// Gets a pool.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn get_pool(&self, pool: impl Into<PoolRef>) -> Result<pb::Pool, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::GetPoolRequest { name, pool_uid: uid };
        let answer = self
            .unary(Retry::Safe, request, async |client, request| {
                client.pool_service().get_pool(request).await
            })
            .await?;
        required(answer.pool, "pool")
    }

    /// Lists all pools, in order of name. Requests as many pages as there are.
    ///
    /// # Errors
    /// Only those that any call can have, such as `UNAVAILABLE`.
    pub async fn list_pools(&self) -> Result<Vec<pb::Pool>, Error> {
        self.all_pages(
            |page_token| pb::ListPoolsRequest { page_size: 1_000, page_token },
            async |client, request| client.pool_service().list_pools(request).await,
            |page| (page.pools, page.next_page_token),
        )
        .await
    }

    /// Changes a live pool: sets the fields `paths` (for example `spec.decay`) to their values in `spec`. With an etag the call fails if the
    /// pool has changed since.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a path that may not change, `ABORTED` for an old etag, `NOT_FOUND`.
    pub async fn update_pool(
        &self,
        pool: impl Into<PoolRef>,
        spec: pb::PoolSpec,
        paths: &[&str],
        etag: Option<&str>,
    ) -> Result<pb::Pool, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::UpdatePoolRequest {
            pool: Some(pb::Pool {
                name,
                uid,
                spec: Some(spec),
                etag: etag.unwrap_or_default().to_owned(),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
        };
        let answer = self
            .unary(Retry::Never, request, async |client, request| {
                client.pool_service().update_pool(request).await
            })
            .await?;
        required(answer.pool, "pool")
    }

    /// Deletes a pool and its samples.
    ///
    /// # Errors
    /// `NOT_FOUND` unless `allow_missing`. `FAILED_PRECONDITION` (`POOL_RECREATED`), even with `allow_missing`, when [`PoolRef`] has a uid
    /// and the pool was deleted and created again.
    pub async fn delete_pool(&self, pool: impl Into<PoolRef>, allow_missing: bool) -> Result<(), Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::DeletePoolRequest { name, pool_uid: uid, etag: String::new(), allow_missing };
        self.unary(Retry::Never, request, async |client, request| {
            client.pool_service().delete_pool(request).await
        })
        .await?;
        Ok(())
    }

    /// Gets a pool's statistics.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn pool_stats(&self, pool: impl Into<PoolRef>) -> Result<pb::PoolStats, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::GetPoolStatsRequest { name, pool_uid: uid };
        let answer = self
            .unary(Retry::Safe, request, async |client, request| {
                client.pool_service().get_pool_stats(request).await
            })
            .await?;
        required(answer.stats, "stats")
    }

    /// Watches a pool: streams its statistics and activity, at once and at every `interval` (500 ms to 1 min).
    ///
    /// The stream ends with an error when the pool is deleted or the server stops. It does not reconnect; call this again to go on.
    ///
    /// # Errors
    /// `NOT_FOUND`; `RESOURCE_EXHAUSTED` when the server has as many watches as it allows.
    pub async fn watch_pool_stats(
        &self,
        pool: impl Into<PoolRef>,
        interval: Duration,
    ) -> Result<PoolWatch, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::WatchPoolStatsRequest {
            name,
            pool_uid: uid,
            interval: Some(prost_types::Duration {
                seconds: interval.as_secs() as i64,
                nanos: interval.subsec_nanos() as i32,
            }),
        };
        let answers = self.pool_service().watch_pool_stats(request).await?.into_inner();
        Ok(Box::pin(answers.map(|answer| answer.map_err(Error::from))))
    }

    /// Reports the scores of integer ids, as raw little-endian columns.
    ///
    /// # Errors
    /// As [`Client::report_batch`].
    pub async fn report(
        &self,
        pool: impl Into<PoolRef>,
        ids: &[u64],
        scores: &[f32],
    ) -> Result<pb::ScoreAck, Error> {
        self.report_batch(ScoreBatch::new(pool, ids, scores)?).await
    }

    /// Reports the scores of string keys.
    ///
    /// # Errors
    /// As [`Client::report_batch`].
    pub async fn report_keys<K: Into<String>>(
        &self,
        pool: impl Into<PoolRef>,
        keys: impl IntoIterator<Item = K>,
        scores: &[f32],
    ) -> Result<pb::ScoreAck, Error> {
        self.report_batch(ScoreBatch::with_keys(pool, keys, scores)?).await
    }

    /// Reports one batch. After a broken connection the client resends it with the same sequence, so the server applies it once.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the column, `NOT_FOUND`, `RESOURCE_EXHAUSTED` with a retry delay, `FAILED_PRECONDITION` with the
    /// reason RUN_ENDED, RUN_MISSING or STEP_BEHIND; [`Error::Stale`], whose ack has the counts of what was applied.
    pub async fn report_batch(&self, batch: ScoreBatch) -> Result<pb::ScoreAck, Error> {
        let inner = &self.inner;
        let sequence = inner.next_sequence.fetch_add(1, Ordering::Relaxed);
        let batch = batch.of_run(&inner.run_id).into_message(&inner.worker_id, inner.worker_epoch, sequence);
        let request = pb::ReportScoresRequest { batch: Some(batch) };
        let answer = self
            .unary(Retry::Safe, request, async |client, request| {
                client.mining_service().report_scores(request).await
            })
            .await?;
        fresh(required(answer.ack, "ack")?)
    }

    /// Mines one batch. The deadline is the client's timeout plus the request's wait.
    /// After a broken connection the client resends only a request with a round or a request id, or a dry run: serves of any other would
    /// count twice.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the field, `FAILED_PRECONDITION` on a shortfall with the policy ERROR, `NOT_FOUND`.
    pub async fn mine(&self, request: MineRequest) -> Result<Batch, Error> {
        let retry = if request.is_repeatable() { Retry::Safe } else { Retry::Never };
        let timeout = self.inner.options.timeout + request.wait_time();
        let answer = self
            .unary_within(timeout, retry, request.into_message(), async |client, request| {
                client.mining_service().mine_batch(request).await
            })
            .await?;
        Batch::try_from(required(answer.batch, "batch")?)
    }

    /// Removes integer ids from the hard store, the background and the quarantine. Returns how many were stored.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT`.
    pub async fn remove(&self, pool: impl Into<PoolRef>, ids: &[u64]) -> Result<u64, Error> {
        self.remove_ids(pool, Ids::U64(ids.to_vec())).await
    }

    /// Removes integer ids or string keys, as [`Client::remove`] does.
    ///
    /// # Errors
    /// As [`Client::remove`].
    pub async fn remove_ids(&self, pool: impl Into<PoolRef>, ids: Ids) -> Result<u64, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::RemoveSamplesRequest {
            pool: name,
            pool_uid: uid,
            ids: Some(ids.into_column(pb::ColumnEncoding::LittleEndian)),
        };
        // Not retried: the response to a resend would not count what the first attempt removed.
        let answer = self
            .unary(Retry::Never, request, async |client, request| {
                client.mining_service().remove_samples(request).await
            })
            .await?;
        Ok(answer.removed_count)
    }

    /// Opens a stream of score batches, which reconnects and resends after a broken connection.
    ///
    /// # Panics
    /// Outside a Tokio runtime, which its task needs.
    #[must_use]
    pub fn score_stream(&self, options: ScoreStreamOptions) -> ScoreStream {
        ScoreStream::open(self.clone(), options)
    }

    /// Opens a stream of mined batches. The server mines at most `options.max_outstanding` batches ahead.
    ///
    /// # Errors
    /// Those of [`Client::mine`].
    pub async fn batch_stream(
        &self,
        request: MineRequest,
        options: BatchStreamOptions,
    ) -> Result<BatchStream, Error> {
        BatchStream::open(self.clone(), request, options).await
    }

    async fn unary<Req: Clone, Res>(
        &self,
        retry: Retry,
        message: Req,
        call: impl AsyncFn(&Self, Request<Req>) -> Result<Response<Res>, Status>,
    ) -> Result<Res, Error> {
        self.unary_within(self.inner.options.timeout, retry, message, call).await
    }

    /// One call with a deadline over all its attempts, which is sent to the server as grpc-timeout.
    async fn unary_within<Req: Clone, Res>(
        &self,
        timeout: Duration,
        retry: Retry,
        message: Req,
        call: impl AsyncFn(&Self, Request<Req>) -> Result<Response<Res>, Status>,
    ) -> Result<Res, Error> {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut attempts = 0;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let mut request = self.inner.options.request(message.clone());
            request.set_timeout(left);
            attempts += 1;
            // The client enforces the deadline too, because a server that hangs does not.
            let status = match tokio::time::timeout_at(deadline, call(self, request)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => {
                    return Err(Status::deadline_exceeded(format!("no answer within {timeout:?}")).into());
                }
            };
            // A timeout becomes DEADLINE_EXCEEDED, whether the client, the server or its CANCELLED reports it.
            if status.message() == tonic::TimeoutExpired(()).to_string() {
                return Err(expired(timeout));
            }
            match retry.delay(&status, attempts, &self.inner.options) {
                Some(delay) if tokio::time::Instant::now() + delay < deadline => {
                    tracing::debug!(%status, ?delay, attempts, "retrying");
                    tokio::time::sleep(delay).await;
                }
                _ => return Err(status.into()),
            }
        }
    }
}

/// `pools/{pool_id}` from either form.
#[must_use]
pub fn pool_name(pool: &str) -> String {
    format!("pools/{}", pool_id_of(pool))
}

/// The pool id from either form.
#[must_use]
pub fn pool_id_of(pool: &str) -> &str {
    pool.strip_prefix("pools/").unwrap_or(pool)
}

fn expired(timeout: Duration) -> Error {
    Status::deadline_exceeded(format!("no answer within {timeout:?}")).into()
}

fn new_epoch() -> u64 {
    rand::random::<u64>().max(1)
}

/// Turns an ack with the status STALE into [`Error::Stale`].
fn fresh(ack: pb::ScoreAck) -> Result<pb::ScoreAck, Error> {
    if ack.status() == pb::AckStatus::Stale { Err(Error::Stale { ack: Box::new(ack) }) } else { Ok(ack) }
}

fn required<T>(field: Option<T>, name: &'static str) -> Result<T, Error> {
    field.ok_or(Error::Protocol { missing: name })
}
