//! Options of the client and its connections.

use std::{fmt, sync::Arc, time::Duration};

use tonic::{metadata::MetadataMap, transport::Endpoint};

use super::Error;

/// Options of a [`super::Client`]. Every wait is finite by default.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Deadline of a unary call, over all its attempts. Default 10 s.
    pub timeout: Duration,
    /// Deadline for making a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// Number of connections, used in turn. Default 1; a busy process needs about one for each core or two.
    pub channels: usize,
    /// The largest message, sent or received, in bytes. Default 16 MiB, which is the server's default too.
    pub max_message_bytes: usize,
    /// Send small messages at once, without Nagle's algorithm. Default true, so that acks are not delayed.
    pub tcp_nodelay: bool,
    /// Send an HTTP/2 ping after this long without traffic, to detect a dead peer. Default 20 s.
    pub keepalive_interval: Duration,
    /// Close a connection when a ping is not answered for this long. Default 10 s.
    pub keepalive_timeout: Duration,
    /// How many times a call that is safe to repeat is retried when the server is unavailable. Default 2.
    pub retries: u32,
    /// The name of this worker in its reports; 0 to 128 bytes. Default: none.
    pub worker_id: Option<String>,
    /// The name of the training run that counts the steps of reports, for pools that age by steps; 0 to 128 bytes. It must be the same for all
    /// workers of a run, and new when the training starts again or resumes. Default: [`run_id_from_env`](super::run_id_from_env); an empty
    /// name means none.
    pub run_id: Option<String>,
    /// Headers added to every call and to every stream when it is opened, for example the `traceparent` of the caller's
    /// span, so that the server's spans are its children, or an `x-request-id`. Default: none.
    pub headers: Option<Headers>,
}

/// A function that adds headers to a call. It runs on the task that makes the call.
#[derive(Clone)]
pub struct Headers(Arc<dyn Fn(&mut MetadataMap) + Send + Sync>);

impl Headers {
    /// Headers from a function that inserts them into the metadata of each call.
    pub fn new(add: impl Fn(&mut MetadataMap) + Send + Sync + 'static) -> Self {
        Self(Arc::new(add))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Headers(..)")
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            channels: 1,
            max_message_bytes: 16 << 20,
            tcp_nodelay: true,
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            retries: 2,
            worker_id: None,
            run_id: None,
            headers: None,
        }
    }
}

impl ClientOptions {
    /// `message` with the headers of a call.
    pub(super) fn request<M>(&self, message: M) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        if let Some(Headers(add)) = &self.headers {
            add(request.metadata_mut());
        }
        request
    }

    /// An endpoint for `server`, a URL or `host:port`.
    pub(super) fn endpoint(&self, server: &str) -> Result<Endpoint, Error> {
        let invalid = |reason: String| Error::InvalidServer { server: server.to_owned(), reason };
        let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        if url.starts_with("https://") {
            return Err(invalid("TLS is not part of this version".to_owned()));
        }
        let endpoint = Endpoint::from_shared(url).map_err(|e| invalid(root_cause(&e)))?;
        if endpoint.uri().scheme_str() != Some("http") || endpoint.uri().host().is_none() {
            return Err(invalid("expected http://HOST:PORT".to_owned()));
        }
        Ok(endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(self.tcp_nodelay)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .keep_alive_while_idle(true)
            // With the default of 64 KiB a mined batch of 65,536 rows would need many round trips.
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20))
    }
}

/// The message of the innermost cause of an error: in the transport's stack only this one is specific.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_url_or_a_host_and_port() {
        let options = ClientOptions::default();
        for good in ["127.0.0.1:50051", "http://localhost:1", "http://[::1]:5"] {
            assert!(options.endpoint(good).is_ok(), "{good}");
        }
        for bad in ["https://a:1", "ftp://a", "", "http://", "a b"] {
            assert!(matches!(options.endpoint(bad), Err(Error::InvalidServer { .. })), "{bad}");
        }
    }
}
