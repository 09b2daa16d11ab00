//! `--once`: the figures as plain text.

use super::{
    app::PoolLine,
    source::Picture,
    words::{self, Rows},
};
use crate::cli::output;

/// Rows of each table.
const ROWS_MAX: usize = 10;

fn table(Rows { header, rows }: Rows, most: usize) -> String {
    let right: Vec<usize> = (1..header.len()).collect();
    output::table(header, rows.into_iter().take(most).map(|(cells, _)| cells).collect(), &right)
}

/// All pools.
pub(super) fn pools(lines: &[PoolLine]) -> String {
    if lines.is_empty() {
        return format!("{}\n", words::NO_POOL);
    }
    table(words::pools(lines), usize::MAX)
}

/// One pool.
pub(super) fn pool(server: &str, picture: &Picture) -> String {
    let mut rows = vec![
        ("server", server.to_owned()),
        ("pool", picture.pool.name.clone()),
        ("state", words::state(picture).to_owned()),
    ];
    rows.extend(words::numbers(picture).into_iter().flatten());
    let mut text = output::properties(&rows);
    let tables = [
        words::versions(picture),
        words::workers(picture),
        words::hardest(picture),
        words::suspects(picture),
    ];
    for rows in tables {
        if !rows.rows.is_empty() {
            text.push('\n');
            text.push_str(&table(rows, ROWS_MAX));
        }
    }
    text
}
