//! What the commands print: tables and properties for people, JSON and CSV for programs.

mod counters;
mod json;
mod pool_json;
mod pool_text;

pub(super) use counters::counts;
pub(super) use json::{counts_json, filtered_json, floats_json, ids_json, number, sizes_json, stats_json};
pub(super) use pool_json::{policy_json, pool_json};
pub(super) use pool_text::{describe_pool, describe_stats, pool_row};

use std::io::{self, Write as _};

use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};
use serde_json::Value;

use crate::client::{Ids, pb};

/// Writes to standard output. A closed pipe is an error, for which the program ends with exit code 0 and without a message.
pub(super) fn print(text: &str) -> io::Result<()> {
    if cfg!(test) {
        // In tests use the macro, because the test harness captures its output only.
        print!("{text}");
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line to standard error, for people. Unlike `eprintln!` it does not panic when standard error is closed.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a JSON document.
pub(super) fn print_json(value: &Value) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(print(&text)?)
}

/// A table with aligned columns; those in `right` are aligned to the right.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.into_iter().map(Cell::new));
    }
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// One line with name and value for each property.
pub(super) fn properties(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// A number with grouped digits, such as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Rows as CSV.
pub(super) fn csv_text(header: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.flush()?;
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8(bytes)?)
}

/// A duration as `1h 30m`.
pub(super) fn duration_text(duration: prost_types::Duration) -> String {
    std::time::Duration::try_from(duration).map_or_else(
        |_| format!("{}s", duration.seconds),
        |duration| humantime::format_duration(duration).to_string(),
    )
}

/// `SOURCE_HARD` as `hard`, and so on.
pub(super) fn short_name(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// The id of a row as text.
pub(super) fn id_text(ids: &Ids, row: usize) -> String {
    match ids {
        Ids::U64(ids) => ids[row].to_string(),
        Ids::Keys(keys) => keys[row].clone(),
    }
}

/// A source by its short name, such as `hard`.
pub(super) fn source_name(source: &pb::Source) -> String {
    short_name(source.as_str_name(), "SOURCE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
