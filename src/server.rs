//! The server between a bound listener and the end of its drain.

mod incoming;

use std::{future::Future, sync::Arc};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::{
    config::{Config, StoreKind},
    grpc,
    pool::{clock::TimeSource, registry::Registry, spec},
    proto,
    store::{Engine, memory::MemoryEngine},
};
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
    let all_health = async |status| {
        for service in [""].into_iter().chain(grpc::SERVICE_NAMES) {
            health.set_service_status(service, status).await;
        }
    };
    all_health(tonic_health::ServingStatus::Serving).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection_v1 = reflection().build_v1().context("cannot serve reflection")?;
    // What ghz and older grpcurl ask for.
    let reflection_v1alpha = reflection().build_v1alpha().context("cannot serve reflection")?;

    let registry = Registry::new(engine(config.store), pool_limits(&config), TimeSource::monotonic());
    let drain = CancellationToken::new();
    let incoming = Incoming::new(listener, config.limits.max_connections);
    let server = builder(&config)
        .add_service(health_service)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha)
        .add_service(grpc::pool_service(registry.clone(), &config.limits, drain.clone()))
        .add_service(grpc::mining_service(registry, &config.limits, drain.clone()))
        .serve_with_incoming_shutdown(incoming, drain.clone().cancelled_owned());
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended.context("the server stopped"),
        () = shutdown => {}
    }

    tracing::info!(deadline = ?config.drain_deadline, "draining");
    // Before the listener closes: a load balancer that asks now sends nothing more.
    all_health(tonic_health::ServingStatus::NotServing).await;
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

/// Where samples live, as configured.
fn engine(store: StoreKind) -> Arc<dyn Engine> {
    match store {
        StoreKind::Memory => Arc::new(MemoryEngine::new()),
    }
}

/// The limits that concern pools.
fn pool_limits(config: &Config) -> spec::Limits {
    let limits = &config.limits;
    spec::Limits {
        max_pools: limits.max_pools,
        max_pool_capacity: limits.max_pool_capacity,
        max_payload_bytes: limits.max_payload_bytes,
        max_workers_per_pool: limits.max_workers_per_pool,
        request_id_ttl: limits.request_id_ttl,
        max_inflight_mines: limits.max_inflight_mines,
        max_waiting_mines: limits.max_waiting_mines,
        mine_cache_bytes: limits.mine_cache_bytes as u64,
        scan_limit: limits.max_scan_rows,
        max_wait: limits.max_wait,
        ..spec::Limits::default()
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
