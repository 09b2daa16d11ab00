//! Tables whose columns fit their content.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Rect},
    text::{Line, Text},
    widgets::{Row, Table, TableState},
};

use super::Theme;
use crate::cli::top::words::Rows;

/// Number of cells between two columns.
const GAP: u16 = 2;

/// Draws the rows from `scroll` on, one of them selected.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    theme: Theme,
    Rows { header, rows }: &Rows,
    scroll: usize,
    selected: Option<usize>,
    area: Rect,
) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|(cells, _)| cells.get(column));
        let widest = cells.map(|cell| Line::raw(cell.as_str()).width()).max().unwrap_or(0);
        u16::try_from(widest.max(header[column].chars().count())).unwrap_or(u16::MAX)
    };
    let mut widths: Vec<u16> = (0..header.len()).map(width).collect();
    // Shorten long names, so that all numbers are visible.
    let numbers: u16 = widths[1..].iter().fold(0, |sum, width| sum.saturating_add(width.saturating_add(GAP)));
    widths[0] = widths[0].min(area.width.saturating_sub(numbers).saturating_sub(2).max(8));
    let cell = |column: usize, text: &str| {
        let alignment = if column == 0 { Alignment::Left } else { Alignment::Right };
        Text::from(cut(text, widths[column])).alignment(alignment)
    };
    let line = |cells: &[String]| {
        Row::new(cells.iter().enumerate().map(|(column, text)| cell(column, text)).collect::<Vec<_>>())
    };
    let titles: Vec<String> = header.iter().map(|title| (*title).to_owned()).collect();
    // Lay out only the rows that are visible.
    let first = scroll.min(rows.len().saturating_sub(1));
    let table = Table::new(
        rows.iter().skip(first).map(|(cells, attention)| {
            let row = line(cells);
            if *attention { row.style(theme.warn()) } else { row }
        }),
        widths.iter().map(|width| Constraint::Length(*width)),
    )
    .column_spacing(GAP)
    .header(line(&titles).style(theme.accent()))
    .row_highlight_style(theme.selected());
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let mut state = TableState::default().with_selected(selected.and_then(|row| row.checked_sub(first)));
    frame.render_stateful_widget(table, area, &mut state);
}

/// `text` in at most `width` cells; an ellipsis replaces the end of a longer text.
fn cut(text: &str, width: u16) -> String {
    if Line::raw(text).width() <= usize::from(width) {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if Line::raw(short.as_str()).width() >= usize::from(width) {
            short.pop();
            break;
        }
    }
    short + "…"
}
