//! The help: what each figure means, and what its healthy state looks like.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Text},
    widgets::{Cell, Row, Table},
};

use super::Theme;

const FIGURES: [(&str, &str); 20] = [
    ("rows/s", "Reported scores: steady while training runs."),
    ("mines/s", "Mined batches: steady, one per step and consumer."),
    ("evicted/s", "Pushed out by harder samples: falls as scores settle."),
    ("random", "Background share, last minute: near the random fraction."),
    ("silent", "Workers without a report for over 30 s, and all: 0 of all."),
    ("NaN/inf", "Scores that were not finite, dropped: 0."),
    ("reported/mined", "Scores and batches so far."),
    ("report p50/p99", "From arrival to ack: far below a training step."),
    ("mine p50/p99", "One batch, without waits: far below a training step."),
    ("shortfalls", "Batches smaller than requested: only at the start."),
    ("hard", "Stored of capacity: grows until full and stays there."),
    ("distinct", "Ids ever reported: approaches the size of the data set."),
    ("floor", "Weight that a new sample must exceed: steady, or has room."),
    ("memory", "Bytes of the store: no rising trend once the pool is full."),
    ("refused", "Batches refused as a whole: 0."),
    ("by score", "Bars: served is to the right of stored (alpha above 0)."),
    ("by age", "Bars: mostly recent; old ones mean that re-scoring stopped."),
    ("versions", "Models that scored: the newest leads soon after an update."),
    ("hardest", "Change as the model learns; if they do not, check their labels."),
    ("noise suspects", "Still hardest after 3 fresh scores: few; check their labels."),
];

/// The largest number of lines by which the help can scroll.
pub(in crate::cli::top) const LINES_MAX: usize = FIGURES.len() + 1;

/// Draws the help from line `scroll` on.
pub(super) fn draw(frame: &mut Frame<'_>, theme: Theme, scroll: usize, area: Rect) {
    let [_, title, body] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::styled(" What a healthy state looks like", theme.accent()), title);
    let width = usize::from(area.width.saturating_sub(18)).max(20);
    let rows = FIGURES.iter().skip(scroll).map(|(name, sentence)| {
        let lines = wrapped(sentence, width);
        let height = lines.len() as u16;
        Row::new([
            Cell::from(Line::styled(*name, theme.strong())),
            Cell::from(Text::from_iter(lines.into_iter().map(Line::raw))),
        ])
        .height(height)
    });
    let table = Table::new(rows, [Constraint::Length(14), Constraint::Fill(1)]).column_spacing(2);
    let body = Rect { x: body.x + 1, width: body.width.saturating_sub(2), ..body };
    frame.render_widget(table, body);
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().filter(|line| line.is_empty() || line.len() + word.len() < width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
