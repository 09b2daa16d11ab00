//! tokio-console: tasks and resources of the runtime, live. Only with the feature `console`, and only for this machine.

use std::net::Ipv4Addr;

use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

/// The port that `tokio-console` asks by default.
const PORT: u16 = console_subscriber::Server::DEFAULT_PORT;

/// Serves the console; it sees the runtime's own spans, whatever the log's filter. It shows arguments of tasks, hence
/// the loopback address, which no variable of the environment changes.
pub(super) fn layer<S>() -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    console_subscriber::ConsoleLayer::builder().server_addr((Ipv4Addr::LOCALHOST, PORT)).spawn()
}
