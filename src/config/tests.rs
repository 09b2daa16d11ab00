//! Tests of the configuration from all its sources.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;

use clap::{Args, FromArgMatches};
use tempfile::NamedTempFile;

use super::{load::flatten_defaults, *};
use toml::Table;

fn args(arguments: &[&str]) -> ServeArgs {
    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let matches = command.try_get_matches_from(std::iter::once(&"serve").chain(arguments)).unwrap();
    ServeArgs::from_arg_matches(&matches).unwrap()
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn with_env(mut args: ServeArgs, path: &str, text: &str) -> ServeArgs {
    let setting = SETTINGS.iter().find(|setting| setting.path == path).unwrap();
    args.overrides.insert(0, (setting, text.to_owned(), Source::Environment(setting.env)));
    args
}

fn problem(args: &ServeArgs) -> String {
    Loader::load(args).unwrap_err().to_string()
}

#[test]
fn every_field_has_a_setting_and_every_setting_a_default() {
    let defaults = flatten_defaults();
    assert_eq!(defaults.len(), SETTINGS.len());
    let table = Table::try_from(Config::default()).unwrap();
    let fields: usize = table.values().map(|value| value.as_table().map_or(1, Table::len)).sum();
    assert_eq!(fields, SETTINGS.len());
    assert_eq!(Loader::load(&ServeArgs::default()).unwrap().config, Config::default());
}

#[test]
fn flags_override_environment_override_file_override_defaults() {
    let file = file(
        "worker_threads = 3\n[limits]\nmax_pools = 7\nmax_message_bytes = \"1 MiB\"\nmax_wait = \"1m\"\n",
    );
    let args = args(&["--max-pools", "9"]);
    let args = with_env(args, "limits.max_pools", "8");
    let mut args = with_env(args, "limits.max_message_bytes", "2 MiB");
    args.file = Some(file.path().to_owned());
    let loaded = Loader::load(&args).unwrap();
    let limits = &loaded.config.limits;
    assert_eq!(limits.max_pools, 9);
    assert_eq!(limits.max_message_bytes, 2 << 20);
    assert_eq!(limits.max_wait.as_secs(), 60);
    assert_eq!(loaded.config.worker_threads, 3);
    assert_eq!(limits.max_connections, 1_024);
    assert_eq!(loaded.sources["limits.max_pools"], Source::Flag("max-pools"));
    assert_eq!(loaded.sources["limits.max_message_bytes"].to_string(), "HARDNEG_MAX_MESSAGE_BYTES");
    assert_eq!(loaded.sources["limits.max_connections"], Source::Default);
}

#[test]
fn the_printed_configuration_reads_back() {
    let first = Loader::load(&args(&[
        "--listen=0.0.0.0:1",
        "--insecure",
        "--log-filter=info,hardneg[span{field=\"a b\"}]=debug",
        "--mine-cache-bytes=1001",
        "--max-wait=90s",
        "--log-format=json",
        "--http-listen=off",
        "--otlp-sample-ratio=0.5",
        "--otlp-endpoint=http://localhost:4317",
    ]))
    .unwrap();
    let printed = first.to_toml();
    let file = file(&printed);
    let again = Loader::load(&ServeArgs { file: Some(file.path().to_owned()), ..Default::default() })
        .unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(again.config, first.config);
    assert!(printed.contains("(--max-wait)"), "{printed}");
    // Plain deserialisation gives the same configuration as the loader.
    assert_eq!(toml::from_str::<Config>(&printed).unwrap(), first.config);
}

#[test]
fn an_error_names_setting_source_and_limit() {
    assert_eq!(
        problem(&args(&["--max-pools=0"])),
        "limits.max_pools = 0 (from --max-pools): must be 1 to 1048576"
    );
    assert_eq!(
        problem(&args(&["--max-message-bytes=1 KiB"])),
        "limits.max_message_bytes = \"1 KiB\" (from --max-message-bytes): must be 64 KiB to 1 GiB"
    );
    let error = problem(&with_env(ServeArgs::default(), "limits.max_wait", "soon"));
    assert!(
        error.starts_with("limits.max_wait = \"soon\" (from HARDNEG_MAX_WAIT): expected a duration"),
        "{error}"
    );
    assert!(problem(&args(&["--store=disk"])).ends_with("must be memory"));
    assert!(problem(&args(&["--listen=localhost"])).contains("expected an IP address"));
    assert!(problem(&args(&["--listen=0.0.0.0:50051"])).contains("--insecure"));
    assert!(problem(&args(&["--http-listen=0.0.0.0:50052"])).starts_with("http.listen"));
    assert!(problem(&args(&["--http-listen=127.0.0.1:50051"])).contains("each needs its own"));
    assert!(problem(&args(&["--http-listen=no"])).ends_with("or off"));
    assert!(problem(&args(&["--otlp-endpoint=localhost:4317"])).starts_with("otlp.endpoint"));
    for bad in ["2", "-0.1", "NaN", "some"] {
        assert!(problem(&args(&[&format!("--otlp-sample-ratio={bad}")])).ends_with("from 0 to 1"), "{bad}");
    }
    assert!(problem(&args(&["--log-filter=a=b=c"])).starts_with("log.filter"));
    assert!(
        problem(&args(&["--http2-connection-window-bytes=64KiB"])).starts_with("http2.stream_window_bytes")
    );
}

#[test]
fn an_error_in_the_file_names_its_place() {
    let from = |text: &str| {
        let file = file(text);
        problem(&ServeArgs { file: Some(file.path().to_owned()), ..Default::default() })
    };
    assert!(from("[limits]\nmax_pools = = 1\n").contains("line 2"));
    assert!(from("[limits]\nmax_pool = 1\n").contains("did you mean `limits.max_pools`?"));
    assert!(from("max_wait = \"1s\"").contains("did you mean `limits.max_wait`?"));
    assert!(from("[limits]\nmax_pools = \"many\"").contains("expected a whole number"));
    assert!(from("limits = 3").contains("unknown key `limits`"));
    let missing = problem(&ServeArgs { file: Some("no-such-file.toml".into()), ..Default::default() });
    assert!(missing.starts_with("cannot read the configuration file no-such-file.toml"));
}
