//! The gRPC services: they decode and validate messages, call the pool layer, encode its answers and map errors to statuses.
//!
//! Data goes one way: a handler ([`services`]) has a message decoded ([`codec`]), calls the pool layer, and has the answer encoded. The codec
//! knows no pool and no limit but those it is given. Nothing here decides anything about samples.

mod codec;
mod services;
mod status;

use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::config::Limits;
use crate::model::error::PoolError;
use crate::permits::Permits;
use crate::pool::Pool;
use crate::pool::registry::{Registry, check_pool_id};
use crate::proto::v1::mining_service_server::MiningServiceServer;
use crate::proto::v1::pool_service_server::PoolServiceServer;

/// The full names of the services, which health checks use.
pub(crate) const SERVICE_NAMES: [&str; 2] = ["hardneg.v1.MiningService", "hardneg.v1.PoolService"];

/// MiningService, ready to be added to a transport. A unary report takes one of the permits of `reports`. Streams end between two batches once
/// `drain` is cancelled.
#[must_use]
pub(crate) fn mining_service(
    registry: Arc<Registry>,
    limits: &Limits,
    reports: Permits,
    drain: CancellationToken,
) -> MiningServiceServer<services::mining::Mining> {
    let service = services::mining::Mining {
        context: Context {
            registry,
            drain,
            rows_max: limits.max_batch_rows,
            message_bytes_max: limits.max_message_bytes,
        },
        reports,
    };
    MiningServiceServer::new(service)
        .max_decoding_message_size(limits.max_message_bytes)
        .max_encoding_message_size(limits.max_message_bytes)
}

/// PoolService, ready to be added to a transport.
#[must_use]
pub(crate) fn pool_service(
    registry: Arc<Registry>,
    limits: &Limits,
    drain: CancellationToken,
) -> PoolServiceServer<services::pools::Pools> {
    let service = services::pools::Pools {
        registry,
        drain,
        watches: Permits::new(limits.max_watches),
        rows_max: limits.max_batch_rows,
        message_bytes_max: limits.max_message_bytes,
    };
    PoolServiceServer::new(service)
        .max_decoding_message_size(limits.max_message_bytes)
        .max_encoding_message_size(limits.max_message_bytes)
}

/// The stream of answers of a streaming call.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What all calls of MiningService share.
#[derive(Clone)]
struct Context {
    registry: Arc<Registry>,
    /// Cancelled when the server stops.
    drain: CancellationToken,
    /// The largest number of rows in a batch, and of ids in a list.
    rows_max: usize,
    /// The longest answer, bytes.
    message_bytes_max: usize,
}

impl Context {
    /// The next message of a stream; `None` at its end.
    ///
    /// # Errors
    /// Those of the transport; UNAVAILABLE once the server stops, so that a client continues on another server or later.
    async fn next<M>(&self, messages: &mut Streaming<M>) -> Result<Option<M>, Status> {
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Err(PoolError::Stopping.into()),
            message = messages.message() => message,
        }
    }

    /// Checks that an answer fits into a message.
    ///
    /// # Errors
    /// `Exhausted`, whose text advises to ask for `less`.
    fn check_length(&self, message: &impl prost::Message, less: &str) -> Result<(), PoolError> {
        let bytes = message.encoded_len();
        // 16 bytes for the response message that may wrap it.
        if bytes + 16 <= self.message_bytes_max {
            return Ok(());
        }
        Err(PoolError::Exhausted {
            what: format!(
                "the answer has {bytes} bytes, over this server's max_message_bytes {}: ask for {less}",
                self.message_bytes_max
            ),
            limit: "max_message_bytes",
            retry_after: None,
        })
    }

    /// The pool of this name; with a `uid` other than 0 it must be that one.
    fn pool(&self, field: &str, name: &str, uid: u64) -> Result<Arc<Pool>, PoolError> {
        self.registry.get(pool_id(field, name)?, uid)
    }
}

/// The id in a resource name `pools/{pool_id}`.
///
/// # Errors
/// `Invalid` naming `field`.
fn pool_id<'a>(field: &str, name: &'a str) -> Result<&'a str, PoolError> {
    let Some(id) = name.strip_prefix("pools/") else {
        let shown: String = name.chars().take(80).collect();
        return Err(PoolError::invalid(
            field,
            format!("`{}` is not a resource name: expected `pools/{{pool_id}}`", shown.escape_debug()),
        ));
    };
    check_pool_id(field, id)?;
    Ok(id)
}
