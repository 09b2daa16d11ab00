//! Tests of whole commands against a fake server that stores no samples.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    io::Write as _,
    sync::{Arc, atomic::Ordering},
};

use clap::CommandFactory;

use super::{
    exit::{EXIT_FAILURE, EXIT_UNAVAILABLE, Usage},
    *,
};
use crate::client::{
    Error as ClientError,
    fake::{Fake, serve},
    pb,
};

/// A fake server on its own runtime, and its address.
fn server(fake: Fake) -> (tokio::runtime::Runtime, Arc<Fake>, String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fake = Arc::new(fake);
    let address = runtime.block_on(serve(&fake));
    (runtime, fake, address)
}

fn healthy() -> Fake {
    Fake { acks_per_stream: u64::MAX, batches_per_stream: u64::MAX, ..Fake::default() }
}

fn hardneg(address: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let fixed = ["hardneg", "--server", address, "--timeout", "2s"];
    run(Cli::try_parse_from(fixed.iter().chain(arguments))?)
}

fn csv(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn errors_have_codes_and_one_line() {
    let refused =
        anyhow::Error::from(ClientError::from(tonic::Status::not_found("no\npool"))).context("mining");
    assert_eq!(exit_code(&refused), EXIT_FAILURE);
    assert_eq!(one_line(&refused), "mining: NOT_FOUND: no pool");
    let away = anyhow::Error::from(ClientError::from(tonic::Status::unavailable("x")));
    assert_eq!(exit_code(&away), EXIT_UNAVAILABLE);
    let pipe = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    assert_eq!(exit_code(&pipe), 0);
    assert_eq!(exit_code(&Usage("x".into()).into()), EXIT_USAGE);
}

#[test]
fn pools_are_administered() {
    let (_runtime, _, address) = server(healthy());
    let get = hardneg(&address, &["pool", "get", "p"]).unwrap_err();
    assert_eq!(one_line(&get), "NOT_FOUND: no such pool");
    hardneg(&address, &["pool", "create", "p", "--capacity", "1M"]).unwrap();
    for command in [
        "pool get p",
        "pool get p --json",
        "pool list",
        "pool list --json",
        "pool stats p",
        "pool stats p --json",
        "pool update p --half-life 1m --alpha 2",
        "pool delete p",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        hardneg(&address, &words).unwrap_or_else(|error| panic!("{command}: {error:#}"));
    }
    let nothing = hardneg(&address, &["pool", "update", "p"]).unwrap_err();
    assert_eq!(exit_code(&nothing), EXIT_USAGE);
}

#[test]
fn a_file_is_reported_in_batches() {
    let (_runtime, fake, address) = server(healthy());
    hardneg(&address, &["pool", "create", "p"]).unwrap();
    let file = csv("id,score\n1,0.5\n2,0.25\n3,nan\n");
    let path = file.path().to_str().unwrap();
    let arguments = ["report", path, "--pool", "p", "--batch-size", "2", "--model-version", "3"];
    hardneg(&address, &arguments).unwrap();
    assert_eq!(fake.rows.load(Ordering::Relaxed), 3);
    let last = fake.last.lock().clone().unwrap();
    assert_eq!((last.sequence, last.model_version, last.pool_uid), (2, 3, 7));

    let broken = csv("id,score\n1,0.5\nx,0.25\n");
    let path = broken.path().to_str().unwrap();
    let error = hardneg(&address, &["report", path, "--pool", "p"]).unwrap_err();
    let text = one_line(&error);
    assert!(text.ends_with(".csv: line 3: id \"x\" is not an unsigned integer"), "{text}");

    // Rejected batches do not stop the others, but they are an error.
    let file = csv("id,score\n1,0.5\n");
    let path = file.path().to_str().unwrap();
    let arguments = ["report", path, "--pool", "p", "--model-version", "13"];
    let error = hardneg(&address, &arguments).unwrap_err();
    assert!(one_line(&error).contains("1 of 1 batches were rejected"), "{error:#}");
}

#[test]
fn a_pool_that_ages_by_steps_wants_them() {
    let (_runtime, fake, address) = server(healthy());
    let create = ["pool", "create", "p", "--half-life-steps", "100", "--id-kind", "string"];
    hardneg(&address, &create).unwrap();
    let file = csv("id,score\na,0.5\n");
    let path = file.path().to_str().unwrap();
    let error = hardneg(&address, &["report", path, "--pool", "p"]).unwrap_err();
    assert_eq!(exit_code(&error), EXIT_USAGE);
    hardneg(&address, &["report", path, "--pool", "p", "--step", "9"]).unwrap();
    let last = fake.last.lock().clone().unwrap();
    assert_eq!(last.step, 9);
    let stale = ["report", path, "--pool", "p", "--step", "9", "--run-id", "r", "--model-version", "14"];
    let error = hardneg(&address, &stale).unwrap_err();
    assert!(one_line(&error).contains("1 of 1 batches were stale"), "{error:#}");
    assert_eq!(fake.last.lock().as_ref().unwrap().run_id, "r");
    let keys = crate::proto::columns::decode_keys(last.ids).unwrap();
    assert_eq!(keys, ["a"]);
}

#[test]
fn further_columns_of_a_file_are_reported() {
    let (_runtime, fake, address) = server(healthy());
    let create = ["pool", "create", "p", "--anchored", "8", "--anchor-id-kind", "string", "--lease", "5m"];
    hardneg(&address, &create).unwrap();
    let spec = fake.pool.lock().clone().unwrap().spec.unwrap();
    assert_eq!(spec.serve_limits.unwrap().lease.unwrap().seconds, 300);
    let file = csv("id,score,class,image,query,positive,topic\n1,0.5,7,9,q,0.75,5\n2,0.25,0,0,r,,6\n");
    let path = file.path().to_str().unwrap();
    let columns =
        ["--strata", "class", "--groups", "image", "--anchors", "query", "--positive-scores", "positive"];
    let labels = ["--labels", "topic", "--anchor-labels", "class"];
    hardneg(&address, &[&["report", path, "--pool", "p"][..], &columns, &labels].concat()).unwrap();
    let last = fake.last.lock().clone().unwrap();
    assert_eq!(last.strata, [7, 0]);
    assert_eq!((&last.labels[..], &last.anchor_labels[..]), (&[5, 6][..], &[7, 0][..]));
    assert_eq!(crate::proto::columns::decode_keys(last.anchors).unwrap(), ["q", "r"]);
    assert_eq!(crate::proto::columns::id_rows(last.groups.as_ref()), Ok(2));
    assert_eq!(last.positive_scores.unwrap().present, [0b01].as_slice());
    assert!(last.reference_scores.is_none());
}

#[test]
fn a_share_of_a_round_is_mined() {
    let (_runtime, fake, address) = server(healthy());
    let line = "mine --pool p -n 8 --round 7 --rank 1 --world-size 2 --run-id r --lease 0s --step 9 --max-per-group 2";
    hardneg(&address, &line.split(' ').collect::<Vec<_>>()).unwrap();
    let request = fake.last_mine.lock().clone().unwrap();
    let round = pb::Round { number: 7, rank: 1, world_size: 2, run_id: "r".into() };
    assert_eq!((request.round, request.batch_size, request.step), (Some(round), 8, Some(9)));
    assert_eq!(request.lease, Some(prost_types::Duration::default()));
    assert_eq!(request.policy.unwrap().balance.unwrap().max_per_group, 2);
    for wrong in ["--round 7 --rank 1", "--rank 1", "--positives 5 -n 3", "--negatives-per-positive 2"] {
        let line = format!("mine --pool p {wrong}");
        assert!(hardneg(&address, &line.split(' ').collect::<Vec<_>>()).is_err(), "{wrong}");
    }
}

#[test]
fn batches_are_mined_in_every_format() {
    let (_runtime, _, address) = server(healthy());
    for format in ["table", "csv", "json", "ids"] {
        hardneg(&address, &["mine", "--pool", "p", "--format", format]).unwrap();
    }
    let away = hardneg(&address, &["mine", "--pool", "p", "-n", "1"]).unwrap_err();
    assert_eq!(exit_code(&away), EXIT_UNAVAILABLE);
}

#[test]
fn load_creates_fills_and_measures() {
    let (_runtime, fake, address) = server(healthy());
    for extra in [&["--json"][..], &["--rate", "100k", "--sequential"]] {
        let mut arguments = vec![
            "load",
            "--pool",
            "p",
            "--fill",
            "--ids",
            "10k",
            "--batch-size",
            "256",
            "--streams",
            "2",
            "--duration",
            "1s",
            "--warmup",
            "100ms",
        ];
        arguments.extend(extra);
        hardneg(&address, &arguments).unwrap();
    }
    assert!(fake.rows.load(Ordering::Relaxed) > 20_000);
    assert!(fake.mined.load(Ordering::Relaxed) > 10);
    let spec = fake.pool.lock().clone().unwrap().spec.unwrap();
    assert_eq!(spec, pb::PoolSpec::default());
    let idle = ["load", "--pool", "p", "--streams", "0", "--mine-concurrency", "0"];
    assert_eq!(exit_code(&hardneg(&address, &idle).unwrap_err()), EXIT_USAGE);
}

#[test]
fn a_server_that_is_away_has_its_own_code() {
    // Bound and dropped: a port where nobody listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for command in [&["health"][..], &["pool", "list"], &["mine", "--pool", "p"]] {
        let error = hardneg(&address, command).unwrap_err();
        assert_eq!(exit_code(&error), EXIT_UNAVAILABLE, "{error:#}");
        assert!(!one_line(&error).contains('\n'));
    }
}
