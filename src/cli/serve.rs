//! `hardneg serve`: configuration, log, runtime, listener, server, drain.

use std::{future::Future, io::Write as _};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{BindError, EXIT_CUT_OFF};
use crate::{
    config::{Config, Loader, ServeArgs},
    server, telemetry,
};

const EXAMPLES: &str = "\
Examples:
  hardneg serve --listen 127.0.0.1:6000 --max-pools 16
  hardneg serve --config hardneg.toml --log-format json
  HARDNEG_MAX_WAIT=1m hardneg serve --print-config > hardneg.toml";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
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
    telemetry::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_name("hardneg")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(config));
    // Work that outlived the drain deadline is cut off, not waited for.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let bind_error = |source| BindError { address: config.listen, source };
    // Signals first: one that comes while the server starts must not kill it half-way.
    let shutdown = first_signal().context("cannot handle signals")?;
    let listener = TcpListener::bind(config.listen).await.map_err(bind_error)?;
    let address = listener.local_addr()?;
    if config.insecure && !address.ip().is_loopback() {
        tracing::warn!(%address, "serving without authentication to anyone who reaches this address");
    }
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    server::run(config, listener, shutdown).await
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
            tracing::warn!("second signal: the drain is cut off");
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
