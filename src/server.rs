//! The server between a bound listener and the end of its drain.

mod incoming;

use std::future::Future;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::{config::Config, proto};
use incoming::Incoming;

/// Serves until `shutdown` resolves, then lets running calls end for at most `config.drain_deadline`.
///
/// # Errors
/// The transport's, or descriptors that reflection cannot read.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("cannot serve reflection")?;

    let drain = CancellationToken::new();
    let incoming = Incoming::new(listener, config.limits.max_connections);
    let server = builder(&config)
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(incoming, drain.clone().cancelled_owned());
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended.context("the server stopped"),
        () = shutdown => {}
    }

    tracing::info!(deadline = ?config.drain_deadline, "draining");
    // Before the listener closes: a load balancer that asks now sends nothing more.
    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    drain.cancel();
    // hyper's graceful shutdown may wait for ever for an idle stream, hence the deadline.
    match tokio::time::timeout(config.drain_deadline, server).await {
        Ok(ended) => {
            tracing::info!("drained");
            ended.context("the server stopped while draining")
        }
        Err(_) => {
            tracing::warn!("calls still ran at the drain deadline: cut off");
            Ok(())
        }
    }
}

/// The transport as configured.
fn builder(config: &Config) -> Server {
    let http2 = &config.http2;
    // Validated to fit: each is below 2 GiB.
    let window = |bytes: usize| u32::try_from(bytes).ok();
    Server::builder()
        .max_concurrent_streams(config.limits.max_concurrent_streams)
        .max_frame_size(window(http2.max_frame_bytes))
        .initial_stream_window_size(window(http2.stream_window_bytes))
        .initial_connection_window_size(window(http2.connection_window_bytes))
        .http2_keepalive_interval(Some(http2.keepalive_interval))
        .http2_keepalive_timeout(Some(http2.keepalive_timeout))
}
