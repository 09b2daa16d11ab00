//! Accepts connections, at most a limited number at a time, and switches Nagle's algorithm off.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::PollSemaphore;
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

use crate::permits::{Permit, Permits};

/// The interval of TCP keepalive probes. They find peers that vanish before HTTP/2, which has pings of its own, begins.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// The pause after a failed accept.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A stream of connections for tonic, whose own options do nothing to sockets that it did not accept itself.
pub(super) struct Incoming {
    sockets: TcpIncoming,
    permits: PollSemaphore,
    /// The permit of the next connection. It is taken before the socket is accepted, so that further connections wait in the kernel's backlog.
    permit: Option<Permit>,
}

impl Incoming {
    /// Accepts from `listener` while permits are left.
    pub(super) fn new(listener: TcpListener, permits: &Permits) -> Self {
        Self {
            sockets: TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(TCP_KEEPALIVE)),
            permits: PollSemaphore::new(permits.semaphore()),
            permit: None,
        }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.permit.is_none() {
            self.permit = ready!(self.permits.poll_acquire(context));
        }
        let accepted = ready!(Pin::new(&mut self.sockets).poll_next(context));
        Poll::Ready(
            accepted.map(|socket| socket.map(|socket| Connection { socket, _permit: self.permit.take() })),
        )
    }
}

/// A socket that counts against the limit until it is dropped.
pub(super) struct Connection {
    socket: TcpStream,
    _permit: Option<Permit>,
}

/// axum's listener. An error of one connection ends no other.
impl axum::serve::Listener for Incoming {
    type Io = Connection;
    type Addr = Option<SocketAddr>;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.next().await {
                Some(Ok(connection)) => {
                    let peer = connection.socket.peer_addr().ok();
                    return (connection, peer);
                }
                // Mostly the process has run out of file descriptors. The pause keeps the loop from spinning.
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.sockets.local_addr().map(Some)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test]
    async fn the_surplus_waits_until_one_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Incoming::new(listener, &Permits::new(1));
        let _clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let first = incoming.next().await.unwrap().unwrap();
        assert!(first.socket.nodelay().unwrap());
        let brief = Duration::from_millis(50);
        assert!(timeout(brief, incoming.next()).await.is_err());
        drop(first);
        let second = timeout(Duration::from_secs(5), incoming.next()).await;
        assert!(second.unwrap().unwrap().is_ok());
    }
}
