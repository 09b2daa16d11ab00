//! The program as a process, on free ports of this machine.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

pub const HARDNEG: &str = env!("CARGO_BIN_EXE_hardneg");
/// The timeout of everything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server that is killed when a test fails.
pub struct Server {
    process: Child,
    pub address: String,
    /// The address of the HTTP endpoints.
    pub http_address: SocketAddr,
    /// The log lines after `listening`.
    pub log: Arc<Mutex<Vec<serde_json::Value>>>,
}

impl Server {
    /// Starts a server with these additional arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(HARDNEG)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
            ])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let listening = loop {
            let event: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            if event["message"] == "listening" {
                break event;
            }
        };
        let pages = listening["pages"].as_str().unwrap();
        let http_address = pages.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let written = log.clone();
        // Go on reading, so that the server never writes into a closed pipe.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written.lock().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, address: listening["address"].as_str().unwrap().to_owned(), http_address, log }
    }

    /// Sends a signal, such as `-TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(status.success());
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Waits for the end of the process, and returns its exit code; `None` when a signal ended it.
    pub fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < deadline, "the server still runs");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the program, and returns its exit code, standard output and standard error.
pub fn hardneg(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(HARDNEG).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}
