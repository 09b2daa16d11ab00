//! What each figure means, and what it looks like when all is well.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Text},
    widgets::{Cell, Row, Table},
};

use super::Theme;

const FIGURES: [(&str, &str); 18] = [
    ("rows/s", "Scores reported; steady while training, as many as your workers send."),
    ("mines/s", "Batches mined; steady, about one per training step and worker."),
    ("evicted/s", "Pushed out by harder samples; low once the pool is full and scores settle."),
    ("random", "Background share of served samples, last minute; near random_fraction."),
    ("workers", "Heard in five minutes; all of yours, none silent for over 30 s."),
    ("report p50/p99", "Arrival to ack; well below the time of a training step."),
    ("mine p50/p99", "A batch, waits left out; a few milliseconds, without a rising trend."),
    ("short batches", "Mined batches smaller than asked for; stays the same after the start."),
    ("hard", "Stored of capacity; grows until it is full, then stays there."),
    ("distinct", "Ids ever reported; approaches the size of your data set."),
    ("floor log2", "Weight below which a new sample is dropped; has room, or moves slowly."),
    ("memory", "Bytes of the store; flat once the pool is full."),
    ("refused", "Whole batches refused; 0, else a worker sends what the pool cannot take."),
    ("by score", "Served lies right of stored with alpha over 0: harder ones are preferred."),
    ("by age", "Mostly young; a hump at old ages means that workers stopped re-scoring."),
    ("versions", "Which model scored them; the newest leads soon after each update."),
    ("hardest", "Changes as the model learns; a list that stands still is worth a look."),
    ("noise suspect", "Hardest through 3 or more fresh scores; few: look at their labels."),
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
