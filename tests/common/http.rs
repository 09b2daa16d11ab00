//! A minimal HTTP client: one request and its response, or a stream of server-sent events.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The timeout of each request.
const PATIENCE: Duration = Duration::from_secs(10);

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The headers as lines of `name: value`, with names in lower case.
    pub headers: Vec<String>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Sends a GET, and returns the whole response.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, "").await
}

/// Sends a request with any method and a body, and returns the whole response.
pub async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let (mut stream, status, headers) = open(address, method, path, body).await;
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("in time").expect("UTF-8");
    Answer { status, headers, body: text }
}

async fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> (BufReader<TcpStream>, u16, Vec<String>) {
    let mut stream = BufReader::new(TcpStream::connect(address).await.expect("connected"));
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut headers = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        timeout(PATIENCE, stream.read_line(&mut line)).await.expect("in time").expect("a line");
        if line.trim().is_empty() {
            break;
        }
        headers.push(line.trim().to_owned());
    }
    let status = headers.remove(0).split(' ').nth(1).expect("a status").parse().expect("a number");
    (stream, status, headers)
}

/// A stream of server-sent events.
pub struct Events(BufReader<TcpStream>);

impl Events {
    /// Opens a stream; returns the response when it is not a stream.
    pub async fn open(address: SocketAddr, path: &str) -> Result<Self, Answer> {
        let (mut stream, status, headers) = open(address, "GET", path, "").await;
        if status == 200 {
            return Ok(Self(stream));
        }
        let mut body = String::new();
        stream.read_to_string(&mut body).await.expect("UTF-8");
        Err(Answer { status, headers, body })
    }

    /// The name and data of the next event; `None` at the end.
    pub async fn next(&mut self) -> Option<(String, serde_json::Value)> {
        let mut name = String::new();
        let mut line = String::new();
        loop {
            line.clear();
            let read =
                timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("in time").expect("a line");
            if read == 0 {
                return None;
            }
            if let Some(event) = line.strip_prefix("event: ") {
                event.trim().clone_into(&mut name);
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).expect("JSON")));
            }
        }
    }
}
