//! A separate server for each test, in this process, on a free port of this machine.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses its part")]

pub mod http;
#[cfg(unix)]
pub mod process;

use std::net::SocketAddr;

use hardneg::client::{Client, ClientOptions};
use hardneg::config::Config;
use hardneg::server::Listeners;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server, which stops on drop.
pub struct TestServer {
    pub address: SocketAddr,
    /// The address of the HTTP endpoints.
    pub http_address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl TestServer {
    /// Starts a server with the default configuration.
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    /// Starts a server with this configuration, but on a free port.
    pub async fn start_with(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let http = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let http_address = http.local_addr().expect("bound");
        let listeners = Listeners { grpc: listener, http: Some(http) };
        let served = tokio::spawn(hardneg::server::run(config, listeners, async {
            // Dropping the sender also stops the server.
            let _ = stopped.await;
        }));
        Self { address, http_address, stop: Some(stop), served }
    }

    /// A connected client.
    pub async fn client(&self) -> Client {
        self.client_with(ClientOptions::default()).await
    }

    /// A connected client with these options.
    pub async fn client_with(&self, options: ClientOptions) -> Client {
        Client::connect_with(self.address.to_string(), options).await.expect("connected")
    }

    /// Stops the server and waits for its end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        self.served.await.expect("no panic")
    }
}
