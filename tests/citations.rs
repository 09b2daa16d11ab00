//! Citations: sections of the methods page that code and documents cite exist, and no document is cited that is not in the repository.
//!
//! A citation is the path of the page and the numbers of sections, as in `docs/methods.md 6.3 and 7.1`, or a link with a heading's anchor.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/methods.md";
/// Endings of the files whose citations are checked.
const EXTENSIONS: &[&str] = &["rs", "py", "pyi", "proto", "md", "toml", "yaml", "yml", "sh"];
/// Working papers that were never part of the repository, and that code once cited instead of the page.
const OUTSIDE: &[&str] = &["METHODS", "DECISIONS", "ESTIMATORS", "PARTITIONS", "DESIGN", "PEERS"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` that may have citations, without build output and hidden folders.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_made = name == "target" || name == "node_modules" || name.ends_with(".egg-info");
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !is_made && !name.starts_with('.') {
                files(&path, into);
            }
        } else if path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known)) {
            into.push(path);
        }
    }
}

/// The part of a line that is prose: the comment of a line of code, the whole line of any other file.
fn prose<'a>(path: &Path, line: &'a str) -> &'a str {
    let is_code = path.extension().is_some_and(|e| e == "rs" || e == "proto");
    if is_code { line.split_once("//").map_or("", |(_, comment)| comment) } else { line }
}

/// The headings of the page: their numbers, and their anchors as GitHub makes them.
#[derive(Default)]
struct Headings {
    numbers: BTreeSet<String>,
    anchors: BTreeSet<String>,
}

impl Headings {
    fn of(page: &str) -> Self {
        let mut headings = Self::default();
        for title in page.lines().filter(|line| line.starts_with('#')) {
            let title = title.trim_start_matches('#').trim();
            let number = title.split(' ').next().unwrap_or_default().trim_end_matches('.');
            if number.starts_with(|c: char| c.is_ascii_digit()) {
                assert!(headings.numbers.insert(number.to_owned()), "section {number} is there twice");
            }
            let kept: String =
                title.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
            headings.anchors.insert(kept.replace(' ', "-"));
        }
        headings
    }
}

/// The section number at the start of `text`, and what follows it.
fn number(text: &str) -> Option<(&str, &str)> {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(0);
    if whole == 0 {
        return None;
    }
    let part = if text[whole..].starts_with('.') { digits(whole + 1) } else { 0 };
    let end = if part > 0 { whole + 1 + part } else { whole };
    Some((&text[..end], &text[end..]))
}

/// The section numbers of a citation; `text` is the text after the page's path.
fn cited(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut next = text.strip_prefix(' ').and_then(number);
    while let Some((section, rest)) = next {
        found.push(section);
        next = [", ", " and ", " to "].iter().find_map(|between| rest.strip_prefix(between)).and_then(number);
    }
    found
}

/// What is wrong with the citations in a line, and how many sections it cites.
fn judge(path: &Path, line: &str, headings: &Headings) -> (Vec<String>, usize) {
    let prose = prose(path, line);
    let is_code = path.extension().is_none_or(|e| e != "md");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (at, _) in prose.match_indices(PAGE) {
        let rest = &prose[at + PAGE.len()..];
        if let Some(anchor) = rest.strip_prefix('#') {
            let end =
                anchor.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_').unwrap_or(anchor.len());
            if !headings.anchors.contains(&anchor[..end]) {
                wrong.push(format!("no heading has the anchor `{}`", &anchor[..end]));
            }
            continue;
        }
        let sections = cited(rest);
        if sections.is_empty() && is_code {
            wrong.push("names no section on the same line".to_owned());
        }
        count += sections.len();
        wrong.extend(
            sections
                .iter()
                .filter(|s| !headings.numbers.contains(**s))
                .map(|s| format!("there is no section {s}")),
        );
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words = prose.split(|c| !is_word(c));
    wrong.extend(
        words.filter(|word| OUTSIDE.contains(word)).map(|word| format!("cites {word}, which is not here")),
    );
    (wrong, count)
}

#[test]
fn every_cited_section_exists_and_nothing_outside_is_cited() {
    let headings = Headings::of(&fs::read_to_string(root().join(PAGE)).expect("readable"));
    let (mut all, mut wrong, mut citations) = (Vec::new(), Vec::new(), 0);
    files(root(), &mut all);
    for path in all {
        let text = fs::read_to_string(&path).expect("readable");
        for (number, line) in text.lines().enumerate() {
            let (found, count) = judge(&path, line, &headings);
            citations += count;
            let place = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            wrong.extend(found.into_iter().map(|what| format!("{place}:{}: {what}", number + 1)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(citations > 50, "only {citations} citations: are all files looked at?");
}

#[test]
fn the_sections_are_numbered_in_order() {
    let page = fs::read_to_string(root().join(PAGE)).expect("readable");
    let (mut section, mut part) = (0, 0);
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            part += 1;
            assert!(title.starts_with(&format!("{section}.{part} ")), "not {section}.{part}: {title}");
        } else if let Some(title) = line.strip_prefix("## ")
            && title.starts_with(|c: char| c.is_ascii_digit())
        {
            (section, part) = (section + 1, 0);
            assert!(title.starts_with(&format!("{section}. ")), "not {section}: {title}");
        }
    }
    assert!(section >= 10, "{section} sections: are headings recognised?");
}

/// The references of the page to its own sections: `(6.3)`, `section 7`.
fn inner(page: &str) -> Vec<&str> {
    let bracketed =
        page.split('(').skip(1).filter_map(|after| number(after).filter(|(_, rest)| rest.starts_with(')')));
    let named = page.split("section ").skip(1).filter_map(number);
    bracketed.chain(named).map(|(section, _)| section).collect()
}

#[test]
fn every_section_that_the_page_names_exists() {
    let page = fs::read_to_string(root().join(PAGE)).expect("readable");
    let headings = Headings::of(&page);
    let named = inner(&page);
    let missing: Vec<_> = named.iter().filter(|section| !headings.numbers.contains(**section)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(named.len() > 20, "only {} sections are named", named.len());
}

/// Sources as `[Name year]`, with a place or others beside: `[Cohen 2007; Kool 2019, 3.1]`.
fn sources(text: &str) -> BTreeSet<&str> {
    let bracketed = text.split('[').skip(1).filter_map(|after| after.split_once(']'));
    let of = bracketed
        .flat_map(|(inside, _)| inside.split(';'))
        .map(|one| one.split(',').next().unwrap_or("").trim());
    of.filter(|one| {
        one.rsplit_once(' ').is_some_and(|(_, year)| year.len() == 4 && year.parse::<u16>().is_ok())
    })
    .collect()
}

#[test]
fn every_source_is_listed_and_every_listed_one_is_used() {
    let page = fs::read_to_string(root().join(PAGE)).expect("readable");
    let (text, references) = page.split_once("\n## References\n").expect("a list of references");
    // The example of a citation at the top of the page is one of them.
    assert_eq!(sources(text), sources(references));
    assert!(sources(text).len() > 20);
}

#[test]
fn the_rule_sees_a_violation() {
    let headings = Headings::of("# A page\n## 1. The first\n### 1.1 Its part\n## 2. The second: more\n");
    let wrong = |file: &str, line: &str| judge(Path::new(file), line, &headings).0.len();
    assert_eq!(wrong("a.rs", &format!("// {PAGE} 1.1, 1 and 2. So far")), 0);
    assert_eq!(wrong("a.rs", &format!("// {PAGE} 1.2 and 1 to 3.")), 2);
    assert_eq!(wrong("a.rs", &format!("let page = \"{PAGE}\";")), 0);
    assert_eq!(wrong("a.rs", &format!("// ({PAGE}")), 1);
    assert_eq!(wrong("a.md", "see [it](docs/methods.md) and [more](docs/methods.md#2-the-second-more)"), 0);
    assert_eq!(wrong("a.md", "[more](docs/methods.md#2-the-second)"), 1);
    for name in OUTSIDE {
        assert_eq!(wrong("a.rs", &format!("let {name} = 1; // ({name} 3)")), 1);
        assert_eq!(wrong("a.rs", &format!("let {name} = 1; // the {name}_MAX")), 0);
    }
    assert_eq!(sources("[A 2001; B 2002, 3.1] 1[...] [C](d) [E 20x1]"), BTreeSet::from(["A 2001", "B 2002"]));
}
