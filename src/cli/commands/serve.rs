//! `hardneg serve`: configuration, runtime, log and traces, listener, server, drain.

use std::{future::Future, io::Write as _, net::SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::cli::exit::{BindError, EXIT_CUT_OFF};
use crate::{
    config::{Config, Loader, ServeArgs},
    server::{self, Listeners},
    telemetry,
};

const EXAMPLES: &str = "\
Examples:
  hardneg serve --listen 127.0.0.1:6000 --max-pools 16
  hardneg serve --config hardneg.toml --log-format json
  HARDNEG_MAX_WAIT=1m hardneg serve --print-config > hardneg.toml";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    config: ServeArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let loaded = Loader::load(&args.config)?;
    if args.config.print_config {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(loaded.to_toml().as_bytes())?;
        return Ok(stdout.flush()?);
    }
    let config = loaded.config;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_name("hardneg")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // Traces are sent by the runtime.
    let telemetry = {
        let _inside = runtime.enter();
        telemetry::init(&config)?
    };
    let outcome = runtime.block_on(serve(config));
    telemetry.shutdown();
    // Do not wait for work that is still running after the drain deadline.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Install the signal handler first, so that a signal during the start also drains.
    let shutdown = first_signal().context("cannot handle signals")?;
    let grpc = bind(config.listen, "listen").await?;
    let http = match config.http.listen {
        Some(address) => Some(bind(address, "http-listen").await?),
        None => None,
    };
    let address = grpc.local_addr()?;
    let http_address = http.as_ref().map(TcpListener::local_addr).transpose()?;
    for address in [Some(address), http_address].into_iter().flatten() {
        if config.insecure && !address.ip().is_loopback() {
            tracing::warn!(%address, "serving without authentication to anyone who can connect to this address");
        }
    }
    let pages = http_address.map_or_else(|| "off".to_owned(), |address| format!("http://{address}/"));
    tracing::info!(%address, %pages, version = env!("CARGO_PKG_VERSION"), "listening");
    server::run(config, Listeners { grpc, http }, shutdown).await
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, flag, source })
}

/// Resolves at the first SIGTERM or SIGINT; a second one ends the process at once.
#[cfg(unix)]
fn first_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("second signal: the drain ends now");
            std::process::exit(i32::from(EXIT_CUT_OFF));
        });
    })
}

/// Resolves at the first Ctrl-C; a second one ends the process at once.
#[cfg(not(unix))]
fn first_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::spawn(async {
            let _ = tokio::signal::ctrl_c().await;
            std::process::exit(i32::from(EXIT_CUT_OFF));
        });
    })
}
