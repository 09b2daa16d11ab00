//! Flags for the connection to the server, which all commands but `serve` use.

use std::time::Duration;

use super::values::duration;
use crate::client::{Client, ClientOptions, Error};

/// The address of the server, and the deadline of calls to it.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Connection {
    /// The server, as a URL or host:port
    #[arg(
        long,
        global = true,
        env = "HARDNEG_SERVER",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub(in crate::cli) server: String,
    /// Deadline of each call
    #[arg(
        long,
        global = true,
        env = "HARDNEG_TIMEOUT",
        default_value = "10s",
        value_parser = duration,
        value_name = "DURATION",
        help_heading = "Connection"
    )]
    pub(in crate::cli) timeout: Duration,
}

impl Connection {
    pub(in crate::cli) fn options(&self) -> ClientOptions {
        ClientOptions { timeout: self.timeout, ..ClientOptions::default() }
    }

    pub(in crate::cli) async fn connect(&self) -> Result<Client, Error> {
        Client::connect_with(&self.server, self.options()).await
    }
}
