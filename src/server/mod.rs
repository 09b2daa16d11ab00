//! Runs the server from bound listeners to the end of its drain.

mod incoming;
mod requests;

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::Context as _;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::admin::{Admin, Readiness};
use crate::config::{Config, StoreKind};
use crate::permits::Permits;
use crate::pool::clock::TimeSource;
use crate::pool::registry::Registry;
use crate::rpc_metrics::Meter;
use crate::store::Engine;
use crate::store::local::LocalEngine;
use crate::{api, proto};
use incoming::Incoming;

/// The time between two ticks of every pool's history.
const TICK: Duration = Duration::from_secs(1);

/// The sockets that a server listens on.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC.
    pub grpc: TcpListener,
    /// HTTP: probes, metrics and the dashboard; `None` where they are off.
    pub http: Option<TcpListener>,
}

/// Serves until `shutdown` resolves, then lets running calls end for at most `config.drain_deadline`.
///
/// # Errors
/// Those of the transport and of the store; descriptors that reflection cannot read.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    report_health(&health, ServingStatus::Serving).await;
    let reflection_v1 = reflection().build_v1().context("cannot serve reflection")?;
    // ghz and older versions of grpcurl ask for this one.
    let reflection_v1alpha = reflection().build_v1alpha().context("cannot serve reflection")?;

    let config = Arc::new(config);
    let limits = &config.limits;
    let registry = registry(&config).await?;
    let drain = CancellationToken::new();
    let meter = Arc::new(Meter::new(methods()?));
    let connections = Permits::new(limits.max_connections);
    let reports = Permits::new(limits.max_inflight_reports);
    let readiness = Readiness::default();
    let admin = Admin::new(
        registry.clone(),
        meter.clone(),
        readiness.clone(),
        connections.clone(),
        reports.clone(),
        drain.clone(),
        config.clone(),
    );
    // Ends the background tasks in whatever way this function returns.
    let background = CancellationToken::new();
    let _guard: DropGuard = background.clone().drop_guard();
    tokio::spawn(background.clone().run_until_cancelled_owned(watch(registry.clone(), admin.clone())));
    let pages =
        listeners.http.map(|listener| tokio::spawn(pages(listener, admin, &config, background.clone())));

    let server = builder(&config)
        .layer(requests::Requests::new(meter))
        .add_service(health_service)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha)
        .add_service(api::pool_service(registry.clone(), limits, drain.clone()))
        .add_service(api::mining_service(registry, limits, reports, drain.clone()))
        .serve_with_incoming_shutdown(
            Incoming::new(listeners.grpc, &connections),
            drain.clone().cancelled_owned(),
        );
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended.context("the server stopped"),
        () = shutdown => {}
    }

    tracing::info!(deadline = ?config.drain_deadline, "draining");
    // Set before the listener closes, so that load balancers send nothing more.
    report_health(&health, ServingStatus::NotServing).await;
    readiness.not_ready("the server is stopping: running calls end, new ones are refused");
    drain.cancel();
    let outcome = drained(server, config.drain_deadline).await;
    background.cancel();
    if let Some(pages) = pages {
        // A page that is open in a browser must not delay the end of the process.
        let _ = tokio::time::timeout(TICK, pages).await;
    }
    outcome
}

/// Makes the registry and attaches the pools that the store already holds.
async fn registry(config: &Config) -> anyhow::Result<Arc<Registry>> {
    let registry = Registry::new(engine(config.store), config.limits.clone(), TimeSource::monotonic());
    let attached = registry.attach_all().await.context("cannot attach the pools of the store")?;
    if attached > 0 {
        tracing::info!(pools = attached, "pools attached");
    }
    Ok(registry)
}

/// Sets the health of every service, and of the server as a whole.
async fn report_health(health: &HealthReporter, status: ServingStatus) {
    for service in [""].into_iter().chain(api::SERVICE_NAMES) {
        health.set_service_status(service, status).await;
    }
}

/// Server reflection of this contract and of the health service.
fn reflection<'a>() -> tonic_reflection::server::Builder<'a> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Waits at most `deadline` for a server that drains: hyper's graceful shutdown alone may wait for ever for an idle stream.
async fn drained(
    server: impl Future<Output = Result<(), tonic::transport::Error>>,
    deadline: Duration,
) -> anyhow::Result<()> {
    match tokio::time::timeout(deadline, server).await {
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

/// Ends a tick of every pool's history each second, and drops the drawings of dashboards that nobody has open.
async fn watch(registry: Arc<Registry>, admin: Admin) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        for pool in registry.sorted() {
            if let Err(error) = pool.tick().await {
                tracing::debug!(pool = pool.id(), %error, "no figures of this second");
            }
        }
        admin.prune();
    }
}

/// Serves the HTTP side until `stop` is cancelled.
fn pages(
    listener: TcpListener,
    admin: Admin,
    config: &Config,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let incoming = Incoming::new(listener, &Permits::new(config.http.max_connections));
    async move {
        let served = axum::serve(incoming, admin.router()).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the HTTP side stopped");
        }
    }
}

/// The methods of every service, named as in the path of a request.
fn methods() -> anyhow::Result<Vec<String>> {
    let mut methods = Vec::new();
    for encoded in [
        proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        let set = prost_types::FileDescriptorSet::decode(encoded).context("cannot read the descriptors")?;
        for file in &set.file {
            for service in &file.service {
                let name = |method: &str| format!("{}.{}/{method}", file.package(), service.name());
                methods.extend(service.method.iter().map(|method| name(method.name())));
            }
        }
    }
    Ok(methods)
}

/// The engine that the configuration names.
fn engine(store: StoreKind) -> Arc<dyn Engine> {
    match store {
        StoreKind::Memory => Arc::new(LocalEngine::new()),
    }
}

/// The transport that the configuration describes.
fn builder(config: &Config) -> Server {
    let http2 = &config.http2;
    // The configuration has checked that each is below 2 GiB.
    let window = |bytes: usize| u32::try_from(bytes).ok();
    Server::builder()
        .max_concurrent_streams(config.limits.max_concurrent_streams)
        .max_frame_size(window(http2.max_frame_bytes))
        .initial_stream_window_size(window(http2.stream_window_bytes))
        .initial_connection_window_size(window(http2.connection_window_bytes))
        .http2_keepalive_interval(Some(http2.keepalive_interval))
        .http2_keepalive_timeout(Some(http2.keepalive_timeout))
}
