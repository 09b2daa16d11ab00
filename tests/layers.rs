//! The layer rules of ARCHITECTURE.md: a layer never names what it may not.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder or file, as seen from `src`, and what it may not name.
const RULES: &[(&str, &[&str])] = &[
    (
        "../crates/partition/src",
        &[
            "tokio",
            "tonic",
            "prost",
            "rand",
            "hardneg",
            "SystemTime",
            "Instant",
            "RandomState",
            "DefaultHasher",
            "HashSet",
        ],
    ),
    (
        "store",
        &[
            "tonic",
            "prost",
            "axum",
            "crate::pool",
            "crate::grpc",
            "crate::cli",
            "crate::client",
            "crate::config",
            "crate::proto",
        ],
    ),
    (
        "pool",
        &[
            "tonic",
            "prost",
            "axum",
            "store::local",
            "crate::grpc",
            "crate::cli",
            "crate::client",
            "crate::config",
            "crate::proto",
        ],
    ),
    ("grpc", &["axum", "store::local", "crate::admin", "crate::cli", "crate::client"]),
    (
        "admin",
        &[
            "tonic",
            "prost",
            "crate::store",
            "crate::grpc",
            "crate::proto",
            "crate::server",
            "crate::cli",
            "crate::client",
        ],
    ),
    (
        "meter",
        &[
            "axum",
            "crate::store",
            "crate::grpc",
            "crate::admin",
            "crate::server",
            "crate::cli",
            "crate::client",
        ],
    ),
    ("telemetry", &["axum", "crate::pool", "crate::store", "crate::grpc", "crate::admin", "crate::cli"]),
    ("client", &["crate::pool", "crate::store", "crate::grpc", "crate::cli", "crate::config"]),
    ("config", &["tonic", "prost", "axum", "store::local", "crate::grpc", "crate::cli", "crate::client"]),
    ("cli", &["axum", "crate::pool", "store::local", "crate::grpc", "crate::admin"]),
];

fn rust_files(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("readable").flatten() {
            rust_files(&entry.path(), into);
        }
    } else if path.extension().is_some_and(|e| e == "rs") {
        into.push(path.to_path_buf());
    }
}

/// Code without comments: a comment may name anything.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn names(line: &str, forbidden: &str) -> bool {
    line.match_indices(forbidden).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + forbidden.len()..].chars().next();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !word(before) && !word(after)
    })
}

fn violations(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (layer, forbidden) in RULES {
        let mut files = Vec::new();
        for path in [root.join(layer), root.join(format!("{layer}.rs"))] {
            if path.exists() {
                rust_files(&path, &mut files);
            }
        }
        assert!(!files.is_empty(), "no layer {layer}: is the rule out of date?");
        for file in files {
            let text = fs::read_to_string(&file).expect("readable");
            for (number, line) in text.lines().enumerate() {
                for name in *forbidden {
                    if names(code(line), name) {
                        found.push(format!("{}:{}: names `{name}`", file.display(), number + 1));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn no_layer_names_what_it_may_not() {
    let found = violations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_rule_sees_a_violation() {
    assert!(names(code("use tonic::Status;"), "tonic"));
    assert!(!names(code("// tonic is not named here"), "tonic"));
    assert!(!names(code("let tonics = 1;"), "tonic"));
}
