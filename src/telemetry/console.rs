//! tokio-console: shows tasks and resources of the runtime live. It needs the feature `console`, and accepts connections from this machine
//! only.

use std::net::Ipv4Addr;

use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

/// The port that `tokio-console` connects to by default.
const PORT: u16 = console_subscriber::Server::DEFAULT_PORT;

/// The layer that serves the console. It sees the spans of the runtime whatever the filter of the log is. It shows arguments of tasks, so
/// it listens on the loopback address, and no environment variable changes that.
pub(super) fn layer<S>() -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    console_subscriber::ConsoleLayer::builder().server_addr((Ipv4Addr::LOCALHOST, PORT)).spawn()
}
