//! What each figure means, and what it looks like when all is well.

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
    ("silent", "Workers unheard for over 30 s: 0, of as many as you run."),
    ("NaN/inf", "Scores that were not finite, dropped: 0."),
    ("reported/mined", "Scores and batches so far."),
    ("report p50/p99", "From arrival to ack: far below a training step."),
    ("mine p50/p99", "One batch, waits left out: far below a training step."),
    ("shortfalls", "Batches smaller than asked for: only at the start."),
    ("hard", "Stored of capacity: grows until full and stays there."),
    ("distinct", "Ids ever reported: approaches the size of the data set."),
    ("floor", "Weight that a new sample must reach: has room, or is steady."),
    ("memory", "Bytes of the store: no rising trend once the pool is full."),
    ("refused", "Batches refused as a whole: 0."),
    ("by score", "Bars: served lies to the right of stored (alpha above 0)."),
    ("by age", "Bars: mostly young; old ones mean that re-scoring stopped."),
    ("versions", "Models that scored: the newest leads soon after an update."),
    ("hardest", "Changes as the model learns: the same for long is suspicious."),
    ("noise suspects", "Hardest through 3 fresh scores or more: few; check labels."),
];

/// Lines that the help may take.
pub(in crate::cli::top) const LINES_MAX: usize = FIGURES.len() + 1;

/// Draws the help from line `scroll` on.
pub(super) fn draw(frame: &mut Frame<'_>, theme: Theme, scroll: usize, area: Rect) {
    let [_, title, body] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::styled(" Healthy looks like this", theme.accent()), title);
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
