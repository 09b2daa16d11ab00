//! Names in pages: what the walk of the requests in ARCHITECTURE.md and the glossary put in backticks exists in the repository, so that
//! a rename cannot leave a page false.
//!
//! A name is checked by its form: `api::codec::batch::encode` and `Pool::mine` are Rust paths, `PoolSpec.dense_ids` is a field of a
//! message, `local/cells.rs` a file, and a single word any item, field or module. Text of another form (formulas, commands) is passed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where names are defined.
const SOURCES: &[&str] = &["src", "crates/partition/src", "proto"];
/// The words before the name of an item, in Rust and in the contract.
const KEYWORDS: &[&str] = &[
    "fn", "mod", "struct", "enum", "trait", "type", "const", "static", "message", "rpc", "service", "oneof",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder`, relative to the root.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root().join(folder)).expect("readable").flatten() {
        let path = folder.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// One file of the sources.
struct Source {
    /// Its path from the root, without the ending: `src/api/codec/batch`. A folder's `mod.rs` has the folder's.
    module: String,
    /// The names that it defines: items, fields, values of enums.
    defines: BTreeSet<String>,
    text: String,
}

impl Source {
    fn of(path: &Path) -> Self {
        let text = fs::read_to_string(root().join(path)).expect("readable");
        let module = path.with_extension("").to_string_lossy().replace('\\', "/");
        let module = module.strip_suffix("/mod").unwrap_or(&module).to_owned();
        let mut defines = BTreeSet::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            let all: Vec<&str> = words(line).collect();
            let named = all.windows(2).filter(|pair| KEYWORDS.contains(&pair[0])).map(|pair| pair[1]);
            defines.extend(named.map(str::to_owned));
            // `name: Type` and `Variant,` in Rust, `type name = 1;` and `NAME = 1;` in the contract.
            let before = line.split([':', '=', ',', '(']).next().unwrap_or_default();
            defines.extend(words(before).last().map(str::to_owned));
        }
        Self { module, defines, text }
    }

    /// Whether the module's path ends with these segments.
    fn is_module(&self, path: &[&str]) -> bool {
        self.module.split('/').collect::<Vec<_>>().ends_with(path)
    }
}

struct Repository {
    sources: Vec<Source>,
    paths: Vec<PathBuf>,
}

impl Repository {
    fn read() -> Self {
        let mut paths = Vec::new();
        for folder in SOURCES {
            files(Path::new(folder), &mut paths);
        }
        let is_source = |path: &&PathBuf| path.extension().is_some_and(|e| e == "rs" || e == "proto");
        let sources = paths.iter().filter(is_source).map(|path| Source::of(path)).collect();
        Self { sources, paths }
    }

    fn defines(&self, name: &str) -> bool {
        self.sources.iter().any(|source| source.defines.contains(name) || source.is_module(&[name]))
    }

    /// `a::b`, `a::Type`, `a::Type::method` or `Type::method`; the modules before may be left out.
    fn has_path(&self, path: &str) -> bool {
        let segments: Vec<&str> = path.split("::").collect();
        let is_type = |segment: &&str| segment.starts_with(char::is_uppercase);
        let types = segments.iter().position(is_type).unwrap_or(segments.len() - 1);
        let (modules, items) = segments.split_at(types);
        let inside = self.sources.iter().filter(|source| modules.is_empty() || source.is_module(modules));
        let in_one_file = |source: &Source| items.iter().all(|item| source.defines.contains(*item));
        self.sources.iter().any(|source| source.is_module(&segments))
            || inside.into_iter().any(in_one_file)
            // Methods may be in another file than their type, in an `impl` of it.
            || (modules.is_empty() && self.defines(items[0]) && items.len() == 2 && {
                let names_type = |source: &&Source| {
                    source.text.lines().any(|line| {
                        line.starts_with("impl") && words(line).any(|word| word == items[0])
                    })
                };
                self.sources.iter().filter(names_type).any(|source| source.defines.contains(items[1]))
            })
    }

    /// `Message.field`.
    fn has_field(&self, message: &str, field: &str) -> bool {
        let begin = format!("message {message} {{");
        self.sources.iter().any(|source| {
            let block =
                source.text.split_once(&begin).map(|(_, after)| after.split("\n}").next().unwrap_or(after));
            block.is_some_and(|block| {
                block
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .any(|line| words(line.split('=').next().unwrap_or_default()).last() == Some(field))
            })
        })
    }

    fn has_file(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        root().join(path).exists() || self.paths.iter().any(|known| known.ends_with(path))
    }

    /// Whether `name` exists; `None` where it does not have the form of a name.
    fn has(&self, name: &str) -> Option<bool> {
        let is_word = |text: &str| {
            text.starts_with(|c: char| c.is_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let name = name.trim_end_matches("()");
        if name.contains("::") {
            return name.split("::").all(is_word).then(|| self.has_path(name));
        }
        let is_path = |c: char| c.is_ascii_alphanumeric() || "_-/.".contains(c);
        if (name.contains('/') || name.ends_with(".rs")) && name.chars().all(is_path) {
            return Some(self.has_file(name));
        }
        if let Some((message, field)) = name.split_once('.') {
            let is_message = message.starts_with(char::is_uppercase);
            return (is_message && is_word(message) && is_word(field))
                .then(|| self.has_field(message, field));
        }
        is_word(name).then(|| self.defines(name))
    }

    /// The names in backticks that do not exist, and how many there are in all.
    fn missing<'a>(&self, text: &'a str) -> (Vec<&'a str>, usize) {
        let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let judged: Vec<(&str, bool)> =
            quoted.filter_map(|name| self.has(name).map(|exists| (name, exists))).collect();
        (judged.iter().filter(|(_, exists)| !exists).map(|(name, _)| *name).collect(), judged.len())
    }
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("readable")
}

/// The part of ARCHITECTURE.md that goes through three requests.
fn walk(page: &str) -> &str {
    let (_, after) = page.split_once("\n## Three requests").expect("a walk of the requests");
    after.split("\n## ").next().unwrap_or(after)
}

#[test]
fn every_name_in_the_walk_of_the_requests_exists() {
    let page = page("ARCHITECTURE.md");
    let (missing, names) = Repository::read().missing(walk(&page));
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
    assert!(names > 60, "only {names} names: is the walk found?");
}

#[test]
fn every_name_in_the_glossary_exists() {
    let page = page("docs/glossary.md");
    let (missing, names) = Repository::read().missing(&page);
    assert!(missing.is_empty(), "docs/glossary.md names what is not there: {missing:?}");
    assert!(names > 60, "only {names} names: is the table read?");
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let repository = Repository::read();
    let page = page("ARCHITECTURE.md");
    let quoted = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: Vec<&str> =
        quoted.filter(|name| name.ends_with(".rs") && !name.contains(['*', ' '])).collect();
    let missing: Vec<_> = named.iter().filter(|name| !repository.has_file(name)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names files that are not there: {missing:?}");
    assert!(named.len() > 40, "only {} files are named", named.len());
}

#[test]
fn the_rule_sees_a_name_that_is_gone() {
    let repository = Repository::read();
    for name in [
        "api::services::nowhere",
        "api::codec::batch::never",
        "Pool::never",
        "Nowhere::mine",
        "PoolSpec.never",
        "Nowhere.capacity",
        "local/nowhere.rs",
        "never_defined",
        "NeverDefined",
    ] {
        assert_eq!(repository.has(name), Some(false), "{name}");
    }
    for name in ["api::codec::batch", "PoolSpec.capacity", "src/main.rs", "PoolSpec", "random_fraction"] {
        assert_eq!(repository.has(name), Some(true), "{name}");
    }
    for text in ["0..N-1", "±4,096", "make lint", "|R|", "?"] {
        assert_eq!(repository.has(text), None, "{text}");
    }
    assert_eq!(
        repository.missing("`Pool`, `NeverDefined` and `make lint`\n`never_defined`"),
        (vec!["NeverDefined", "never_defined"], 3)
    );
}
