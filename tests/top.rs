//! `hardneg top` as a process: its text output with `--once`, and its exit codes.
#![cfg(all(unix, feature = "server", feature = "top"))]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod common;

use common::process::{Server, hardneg};
use hardneg::client::{Client, ClientOptions, MineRequest, pb};

fn top(server: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    hardneg(&[&["top", "--server", server], arguments].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_look_prints_the_figures() {
    let server = Server::start(&[]);
    let (code, stdout, _) = top(&server.address, &[]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("hardneg pool create"), "{stdout}");

    let options = ClientOptions { worker_id: Some("rank-7".into()), ..Default::default() };
    let client = Client::connect_with(&server.address, options).await.unwrap();
    client.create_pool("x", pb::PoolSpec { capacity: 5_000, ..Default::default() }).await.unwrap();
    let ids: Vec<u64> = (0..2_000).collect();
    let scores: Vec<f32> = ids.iter().map(|id| *id as f32 / 2_000.0).collect();
    client.report("x", &ids, &scores).await.unwrap();
    client.mine(MineRequest::new("x", 64)).await.unwrap();

    let (code, stdout, stderr) = top(&server.address, &["--once", "--pool", "x"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for text in ["pools/x", "2.00k / 5.00k", "distinct", "2.00k", "has room", "rank-7"] {
        assert!(stdout.contains(text), "{text}\n{stdout}");
    }
    // The hardest sample is the one with the highest score.
    assert!(
        stdout.lines().any(|line| line.trim_start().starts_with("1999 ") && line.contains("0.9995")),
        "{stdout}"
    );
    assert!(!stdout.contains('\u{1b}'), "no escape sequences in a pipe");

    let (code, stdout, _) = top(&server.address, &["--interval", "500ms"]);
    assert_eq!(code, Some(0));
    let line = stdout.lines().find(|line| line.trim_start().starts_with("x ")).unwrap();
    assert!(line.contains("2.00k / 5.00k"), "{stdout}");
}

#[test]
fn what_is_not_there_is_one_line_and_a_code() {
    let server = Server::start(&[]);
    let (code, stdout, stderr) = top(&server.address, &["--once", "--pool", "none"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("error: NOT_FOUND") && stderr.lines().count() == 1, "{stderr}");
    let (code, _, stderr) = top(&server.address, &["--interval", "1ms"]);
    assert_eq!(code, Some(2), "{stderr}");
    let address = server.address.clone();
    drop(server);
    let (code, _, stderr) = top(&address, &["--once", "--pool", "none"]);
    assert_eq!(code, Some(4), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}
