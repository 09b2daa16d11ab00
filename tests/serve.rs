//! The server as a process: its exit codes, and its behaviour at signals.
#![cfg(all(unix, feature = "server", feature = "cli"))]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod common;

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::process::{HARDNEG, Server, hardneg};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// A stream that does not end by itself.
async fn watch(address: &str) -> tonic::Streaming<tonic_health::pb::HealthCheckResponse> {
    let client = hardneg::client::Client::connect(address).await.unwrap();
    let mut client = HealthClient::new(client.channel());
    let mut stream = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap();
    stream
}

#[test]
fn it_serves_health_and_ends_with_zero() {
    let mut server = Server::start(&[]);
    let (code, stdout, _) = hardneg(&["health", "--server", &server.address]);
    assert_eq!((code, stdout.as_str()), (Some(0), "SERVING\n"));
    let (code, _, stderr) = hardneg(&["health", "--server", &server.address, "--service", "none"]);
    assert_eq!(code, Some(4), "{stderr}");
    server.signal("-TERM");
    assert_eq!(server.exit_code(), Some(0));
    let (code, _, stderr) = hardneg(&["health", "--server", &server.address]);
    assert_eq!(code, Some(4));
    assert!(stderr.starts_with("error: cannot connect to "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_stays_open_does_not_outlive_the_deadline() {
    let mut server = Server::start(&["--drain-deadline", "1s"]);
    let _stream = watch(&server.address).await;
    let started = Instant::now();
    server.signal("-TERM");
    assert_eq!(server.exit_code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// The drain ends an idle stream of scores at once, not at the deadline, with an error after which the client may retry.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_idle_score_stream_does_not_hold_up_the_drain() {
    let mut server = Server::start(&["--drain-deadline", "1h"]);
    let client = hardneg::client::Client::connect(&server.address).await.unwrap();
    let (_batches, receiver) = tokio::sync::mpsc::channel(1);
    let batches = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut acks = client.mining_service().stream_scores(batches).await.unwrap().into_inner();
    server.signal("-TERM");
    let status = acks.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    drop((acks, client));
    assert_eq!(server.exit_code(), Some(0));
}

/// The drain also ends a stream of batches that waits for a pool to fill and still has credits.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_waiting_batch_stream_does_not_hold_up_the_drain() {
    use hardneg::client::{BatchStreamOptions, MineRequest};
    let mut server = Server::start(&["--drain-deadline", "1h"]);
    let client = hardneg::client::Client::connect(&server.address).await.unwrap();
    client.create_pool("p", Default::default()).await.unwrap();
    let request = MineRequest::new("p", 1).wait(1, Duration::from_secs(300));
    let options = BatchStreamOptions { give_up_after: Duration::ZERO, ..Default::default() };
    let mut batches = client.batch_stream(request, options).await.unwrap();
    let next = tokio::spawn(async move { batches.next().await.unwrap_err() });
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("-TERM");
    assert_eq!(next.await.unwrap().reason().as_deref(), Some("SERVER_STOPPING"));
    drop(client);
    assert_eq!(server.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&["--drain-deadline", "1h"]);
    let _stream = watch(&server.address).await;
    server.signal("-INT");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(server.is_running(), "it drains");
    server.signal("-TERM");
    assert_eq!(server.exit_code(), Some(130));
}

#[test]
fn a_port_in_use_is_one_line_and_code_three() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (code, _, stderr) = hardneg(&["serve", "--listen", &address, "--http-listen", "off"]);
    assert_eq!(code, Some(3));
    assert!(
        stderr.starts_with(&format!("error: cannot listen on {address}: the port is in use")),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1);
    let (code, _, stderr) = hardneg(&["serve", "--listen", "127.0.0.1:0", "--http-listen", &address]);
    assert_eq!(code, Some(3));
    assert!(stderr.starts_with("error: ") && stderr.contains(&address), "{stderr}");
    assert!(stderr.contains("in use") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn wrong_configuration_is_one_line_and_code_two() {
    for arguments in [
        &["serve", "--max-pools", "0"][..],
        &["serve", "--listen", "0.0.0.0:0"],
        &["serve", "--config", "/nonexistent/hardneg.toml"],
    ] {
        let (code, stdout, stderr) = hardneg(arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(stdout.is_empty());
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn the_environment_speaks_and_a_closed_pipe_is_no_failure() {
    let output = Command::new(HARDNEG)
        .args(["serve", "--print-config"])
        .env("HARDNEG_MAX_POOLS", "5")
        .env("HARDNEG_MAX_WAIT", "")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("# Maximum number of pools (HARDNEG_MAX_POOLS)\nmax_pools = 5\n"), "{text}");
    assert!(text.contains("max_wait = \"5m\""), "{text}");

    let mut child =
        Command::new(HARDNEG).args(["serve", "--print-config"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Reports a file, mines a batch, shows statistics and measures load, all with the command line and a real server.
#[test]
fn the_command_line_does_the_whole_job() {
    let mut server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let scores = folder.path().join("scores.csv");
    let rows: String =
        (0..1000).map(|i| format!("{i},{}\n", if i == 7 { f64::NAN } else { f64::from(i) })).collect();
    std::fs::write(&scores, format!("id,score\n{rows}")).unwrap();
    let call = |arguments: &[&str]| {
        let (code, stdout, stderr) = hardneg(&[&["--server", &server.address], arguments].concat());
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        stdout
    };
    call(&["pool", "create", "faces", "--capacity", "100", "--shards", "1"]);
    call(&["report", scores.to_str().unwrap(), "--pool", "faces"]);
    let stats: serde_json::Value =
        serde_json::from_str(&call(&["pool", "stats", "faces", "--json"])).unwrap();
    let text = stats.to_string();
    assert_eq!(stats["sizes"]["hard"], 100, "{text}");
    assert_eq!(stats["counts"]["non_finite"], 1, "{text}");
    let top = call(&[
        "mine",
        "--pool",
        "faces",
        "-n",
        "3",
        "--strategy",
        "top",
        "--random-fraction",
        "0",
        "--format",
        "csv",
    ]);
    let ids: Vec<_> = top.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(ids, ["999", "998", "997"], "{top}");
    let load = call(&[
        "load",
        "--pool",
        "load",
        "--ids",
        "10k",
        "--streams",
        "1",
        "--duration",
        "1s",
        "--warmup",
        "0s",
    ]);
    assert!(load.contains("10,000 hard") && load.contains("ns/score"), "{load}");
    assert!(call(&["pool", "list"]).contains("faces"));
    let pool: serde_json::Value = serde_json::from_str(&call(&["pool", "get", "faces", "--json"])).unwrap();
    let other = ["--server", &server.address, "pool", "delete", "faces", "--uid", "1"];
    let (code, _, stderr) = hardneg(&other);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("deleted and created again"), "{stderr}");
    call(&["pool", "delete", "faces", "--uid", pool["uid"].as_str().unwrap()]);
    let (code, _, stderr) = hardneg(&["--server", &server.address, "mine", "--pool", "faces"]);
    assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("NOT_FOUND") && stderr.contains("`faces`"), "{stderr}");
    server.signal("-TERM");
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn negatives_of_anchors_are_mined_from_a_shell() {
    let mut server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let pairs = folder.path().join("pairs.csv");
    std::fs::write(&pairs, "query,id,score,positive\nq,1,0.5,0.75\nq,2,0.625,\nq,3,0.74,\nr,1,0.25,\n")
        .unwrap();
    let call = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        hardneg(&[&["--server", &server.address], &words[..]].concat())
    };
    let report = format!(
        "report {} --pool queries --anchors query --positive-scores positive",
        pairs.to_str().unwrap()
    );
    for line in ["pool create queries --anchored 4 --anchor-id-kind string", &report] {
        let (code, _, stderr) = call(line);
        assert_eq!(code, Some(0), "{line}: {stderr}");
    }
    let mine = "mine-negatives --pool queries --anchors q,r,nobody -n 2 --shortfall short";
    let (code, stdout, stderr) = call(&format!("{mine} --absolute-margin 0.125 --format csv"));
    assert_eq!(code, Some(0), "{stderr}");
    let rows: Vec<&str> = stdout.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    let header = "anchor,positive_score,id,score,inclusion_probability,source";
    assert_eq!(rows, [header, "q,0.75,2,0.625,,hard", "q,0.75,1,0.5,,hard", "r,,1,0.25,,hard"]);
    let (_, stdout, stderr) = call(mine);
    assert!(stdout.lines().count() == 4 && stderr.contains("1 anchors are not stored"), "{stdout}{stderr}");
    let (code, _, stderr) = call(&format!("{mine} --strategy semi-hard"));
    assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("semi_hard_margin"), "{stderr}");
    server.signal("-TERM");
    assert_eq!(server.exit_code(), Some(0));
}
