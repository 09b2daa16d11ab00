//! The rooms of `src`: what each holds, which others it may name, how large it is. ARCHITECTURE.md shows the table that is printed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder or file of `src`.
struct Room {
    name: &'static str,
    holds: &'static str,
    /// Rooms whose names it may use.
    may_name: &'static [&'static str],
    /// Crates, and modules of rooms that it may otherwise name, that it may not.
    may_not_name: &'static [&'static str],
}

const WIRE: &[&str] = &["tonic", "prost", "axum", "store::local"];

/// From the plainest to the one that knows all.
const ROOMS: &[Room] = &[
    Room {
        name: "units",
        holds: "numbers as people read and write them",
        may_name: &[],
        may_not_name: &["tokio", "tonic", "prost", "axum"],
    },
    Room { name: "permits", holds: "a bounded number of permits", may_name: &[], may_not_name: WIRE },
    Room {
        name: "model",
        holds: "plain words and ranges: spec, limits, policy, curriculum, balance, report, batch, negatives, error; no state",
        may_name: &["units"],
        may_not_name: &["tokio", "parking_lot", "tonic", "prost", "axum"],
    },
    Room {
        name: "store",
        holds: "the traits over partitions, their hosts (`local/` is the default) and the conformance suite",
        may_name: &[],
        may_not_name: &["tonic", "prost", "axum"],
    },
    Room {
        name: "sampler",
        holds: "the draws: `flat/`, `anchored/`, and what they share: mixture, weights, random numbers; no state",
        may_name: &["model", "store"],
        may_not_name: WIRE,
    },
    Room {
        name: "activity",
        holds: "counters and figures of a pool, which it is shown by a view",
        may_name: &["model", "store"],
        may_not_name: WIRE,
    },
    Room {
        name: "pool",
        holds: "a pool and the registry of all: clock, runs, rate limiter, rounds, replies; `calls/`: what it is asked for",
        may_name: &["activity", "model", "permits", "sampler", "store"],
        may_not_name: WIRE,
    },
    Room {
        name: "proto",
        holds: "the generated contract, and its columns",
        may_name: &[],
        may_not_name: &["tokio", "axum"],
    },
    Room {
        name: "config",
        holds: "flags, variables and files into one configuration",
        may_name: &["model", "units"],
        may_not_name: WIRE,
    },
    Room {
        name: "api",
        holds: "`services/`: the handlers of calls; `codec/`: messages into words of the model and back; statuses",
        may_name: &["activity", "config", "model", "permits", "pool", "proto", "store"],
        may_not_name: &["axum", "store::local"],
    },
    Room {
        name: "rpc_metrics",
        holds: "a tower layer that counts calls by method and code",
        may_name: &["activity"],
        may_not_name: &["axum"],
    },
    Room {
        name: "telemetry",
        holds: "log and its filter, OTLP, W3C trace context, console",
        may_name: &["config"],
        may_not_name: &["axum"],
    },
    Room {
        name: "admin",
        holds: "the HTTP side: probes, metrics, dashboard, log filter",
        may_name: &["activity", "config", "model", "permits", "pool", "rpc_metrics", "telemetry", "units"],
        may_not_name: &["tonic", "prost"],
    },
    Room {
        name: "client",
        holds: "the Rust client, which the command line and the tests use",
        may_name: &["proto"],
        may_not_name: &["axum"],
    },
    Room {
        name: "server",
        holds: "bind, serve, drain",
        may_name: &[
            "admin",
            "api",
            "config",
            "permits",
            "pool",
            "proto",
            "rpc_metrics",
            "store",
            "telemetry",
        ],
        may_not_name: &[],
    },
    Room {
        name: "cli",
        holds: "the command line; all but `serve` are clients",
        may_name: &["client", "config", "server", "telemetry", "units"],
        may_not_name: &["axum"],
    },
];

/// What the partition crate may not name: it is a state machine, a function of its operations alone.
const NOT_IN_PARTITION: &[&str] = &[
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
];

/// The largest room's share of the lines of `src`, in hundredths.
const LARGEST_SHARE: usize = 20;

/// The folders whose files and functions are short.
const FOLDERS: &[&str] = &["src", "crates", "tests", "benches"];
/// Lines of a file, at most.
const FILE_LINES: usize = 500;
/// Lines of a function, at most.
const FUNCTION_LINES: usize = 70;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path).expect("readable").flatten().map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| rust_files(entry, into));
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        into.push(path.to_path_buf());
    }
}

/// The files of a room: its folder, and the file beside it.
fn files_of(room: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in [root().join("src").join(room), root().join("src").join(format!("{room}.rs"))] {
        if path.exists() {
            rust_files(&path, &mut files);
        }
    }
    assert!(!files.is_empty(), "no room {room}: is the table out of date?");
    files
}

/// Code without comments: a comment may name anything.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn names(line: &str, forbidden: &str) -> bool {
    line.match_indices(forbidden).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + forbidden.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The rooms that a text names: after `crate::`, also within its braces.
fn rooms_named(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, prefix) in text.match_indices("crate::") {
        if text[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        let word = |text: &str| text.chars().take_while(|c| is_word(*c)).collect::<String>();
        match rest.strip_prefix('{') {
            None => _ = found.insert(word(rest)),
            Some(list) => {
                let (mut depth, mut is_first) = (0, true);
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => is_first = true,
                        c if is_word(c) && depth == 0 && is_first => {
                            found.insert(word(&list[i..]));
                            is_first = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

/// Code of a file without comments, and without its tests: a test may name what it tests with.
fn tested_code(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_test = name.ends_with("tests.rs")
        || file.components().any(|part| part.as_os_str() == "conformance" || part.as_os_str() == "tests");
    if is_test {
        return String::new();
    }
    let text = fs::read_to_string(file).expect("readable");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// Each room with the rooms that it names.
fn named() -> BTreeMap<&'static str, BTreeSet<String>> {
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|room| room.name).collect();
    let of_room = |room: &Room| {
        let text: Vec<String> = files_of(room.name).iter().map(|file| tested_code(file)).collect();
        let mut named = rooms_named(&text.join("\n"));
        named.retain(|name| name != room.name && rooms.contains(name.as_str()));
        (room.name, named)
    };
    ROOMS.iter().map(of_room).collect()
}

#[test]
fn every_folder_of_src_is_a_room_of_the_table() {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("src")).expect("readable").flatten() {
        let name = entry.file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
        if !["lib", "main"].contains(&name.as_str()) {
            found.insert(name);
        }
    }
    assert_eq!(found, ROOMS.iter().map(|room| room.name.to_owned()).collect());
}

#[test]
fn no_room_names_what_it_may_not() {
    let mut wrong = Vec::new();
    for (name, named) in named() {
        let room = ROOMS.iter().find(|room| room.name == name).expect("of the table");
        let extra = named.iter().filter(|other| !room.may_name.contains(&other.as_str()));
        wrong.extend(extra.map(|other| format!("{name} names {other}")));
    }
    let rules = ROOMS.iter().map(|room| (files_of(room.name), room.may_not_name));
    let mut crate_files = Vec::new();
    rust_files(&root().join("crates/partition/src"), &mut crate_files);
    for (files, forbidden) in rules.chain([(crate_files, NOT_IN_PARTITION)]) {
        for file in files {
            let text = fs::read_to_string(&file).expect("readable");
            for (number, line) in text.lines().enumerate() {
                let of_line = forbidden.iter().filter(|name| names(code(line), name));
                wrong.extend(of_line.map(|name| format!("{}:{}: names {name}", file.display(), number + 1)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table is in an order in which each room names only earlier ones, so there is no circle.
#[test]
fn rooms_name_only_those_before_them() {
    let place = |name: &str| ROOMS.iter().position(|room| room.name == name).expect("a room");
    for room in ROOMS {
        for other in room.may_name {
            assert!(place(other) < place(room.name), "{} may name {other}, which stands after it", room.name);
        }
    }
    let unused: Vec<String> = named()
        .into_iter()
        .flat_map(|(name, named)| {
            let room = ROOMS.iter().find(|room| room.name == name).expect("of the table");
            let unused = room.may_name.iter().filter(|other| !named.contains(**other));
            unused.map(|other| format!("{name} does not name {other}")).collect::<Vec<_>>()
        })
        .collect();
    assert!(unused.is_empty(), "the table allows what nobody needs: {}", unused.join(", "));
}

fn lines_of(files: &[PathBuf]) -> usize {
    files.iter().map(|file| fs::read_to_string(file).expect("readable").lines().count()).sum()
}

#[test]
fn no_room_is_too_large() {
    let sizes: Vec<(usize, &str)> =
        ROOMS.iter().map(|room| (lines_of(&files_of(room.name)), room.name)).collect();
    let all: usize = sizes.iter().map(|size| size.0).sum();
    let (largest, name) = *sizes.iter().max().expect("rooms");
    println!("{all} lines; the largest room is {name} with {largest}, {} %", largest * 100 / all);
    assert!(largest * 100 < LARGEST_SHARE * all, "{name} has {largest} of {all} lines");
}

/// The files of [`FOLDERS`], as seen from the root, and their texts.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| rust_files(&root().join(folder), &mut files));
    let of_file = |file: PathBuf| {
        let name = file.strip_prefix(root()).expect("below the root").display().to_string();
        (name, fs::read_to_string(&file).expect("readable"))
    };
    files.into_iter().map(of_file).collect()
}

/// The functions of a formatted file, with their lines: from `fn` to the brace in the same column.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = code(line).trim().split(' ').collect();
        let prefixes = ["const", "async", "unsafe"];
        let is_prefix = |word: &&&str| prefixes.contains(*word) || word.starts_with("pub");
        let rest = &words[words.iter().take_while(is_prefix).count()..];
        let [first, name, ..] = rest else { continue };
        if *first != "fn" {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[at..].iter().position(|line| *line == end) {
            let name = name.chars().take_while(|c| is_word(*c)).collect();
            found.push((name, length + 1));
        }
    }
    found
}

#[test]
fn no_file_and_no_function_is_too_long() {
    let mut wrong = Vec::new();
    let (mut longest_file, mut longest_function) = ((0, String::new()), (0, String::new()));
    for (file, text) in sources() {
        let lines = text.lines().count();
        longest_file = longest_file.max((lines, file.clone()));
        if lines > FILE_LINES {
            wrong.push(format!("{file} has {lines} lines"));
        }
        for (name, lines) in functions(&text) {
            let function = format!("{file} {name}");
            longest_function = longest_function.max((lines, function.clone()));
            if lines > FUNCTION_LINES {
                wrong.push(format!("{function} has {lines} lines"));
            }
        }
    }
    println!("the longest file and function: {longest_file:?}, {longest_function:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table of rooms as ARCHITECTURE.md shows it.
fn table() -> String {
    let mut table = "| room | holds | may name | lines |\n|---|---|---|---|\n".to_owned();
    for room in ROOMS {
        let others: Vec<String> = room.may_name.iter().map(|name| format!("`{name}`")).collect();
        let others = if others.is_empty() { "no other".to_owned() } else { others.join(", ") };
        // In hundreds, so that not every change of a line changes the table.
        let lines = lines_of(&files_of(room.name)).div_ceil(100) * 100;
        writeln!(table, "| `{}` | {} | {others} | {lines} |", room.name, room.holds).expect("a string");
    }
    table
}

#[test]
fn architecture_shows_the_table() {
    const BEGIN: &str = "<!-- rooms: printed by tests/layers.rs -->\n";
    const END: &str = "<!-- end of rooms -->";
    let path = root().join("ARCHITECTURE.md");
    let text = fs::read_to_string(&path).expect("readable");
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the table");
    let (shown, after) = rest.split_once(END).expect("the mark after the table");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).expect("writable");
        return;
    }
    // Sizes change with every line: they are of the last time that it was printed.
    let without_sizes = |table: &str| -> Vec<String> {
        table.lines().map(|line| line.rsplit_once("| ").map_or(line, |parts| parts.0).to_owned()).collect()
    };
    let same = without_sizes(shown) == without_sizes(&table());
    assert!(same, "BLESS=1 cargo test --test layers prints it anew:\n{}", table());
}

#[test]
fn the_rules_see_a_violation() {
    assert!(names(code("use tonic::Status;"), "tonic"));
    assert!(!names(code("// tonic is not named here"), "tonic"));
    assert!(!names(code("let tonics = 1;"), "tonic"));
    let found = rooms_named("use crate::{api, proto::v1::{self, Pool}};\nlet x = crate::pool::Pool::new();");
    assert_eq!(found, ["api", "pool", "proto"].map(str::to_owned).into());
}
