//! The overview of a pool: numbers, charts of the last minutes, histograms of stored and served samples.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    Theme,
    charts::{self, Past},
    table,
};
use crate::{
    cli::top::{source::Picture, words},
    client::pb,
    units,
};

/// Width of the labels left of the charts.
const LABELS: u16 = 22;
/// Width of the labels left of the bars.
const SIDE: u16 = 7;
/// The histograms are drawn if the area below the numbers has at least this height.
const BARS_FROM: u16 = 10;
/// The histogram of ages is drawn beside that of scores if the area has at least this width.
const WIDE: u16 = 100;

/// Draws the overview.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture, theme: Theme, area: Rect) {
    // The height below the numbers. Bars need at least two rows each to be readable.
    let left = area.height.saturating_sub(words::NUMBERS as u16 + 1);
    let (chart, bars) = if left < BARS_FROM { (left / 3, 0) } else { ((left / 6).clamp(1, 5), left) };
    let [numbers, _, past, _, lower] = Layout::vertical([
        Constraint::Length(words::NUMBERS as u16),
        Constraint::Length(1),
        Constraint::Length(chart * 3),
        Constraint::Length(1),
        Constraint::Fill(bars),
    ])
    .areas(area);
    draw_numbers(frame, picture, theme, numbers);
    draw_past(frame, picture, theme, past);
    if bars == 0 {
        return;
    }
    let versions = words::versions(picture);
    let [bars, side] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(28)]).areas(lower);
    if area.width >= WIDE {
        let [scores, ages] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(bars);
        draw_bars(frame, "score", picture.activity.scores.as_ref(), theme, number_of, scores);
        let age = |value| words::age(picture, value);
        draw_bars(frame, "age", picture.activity.ages.as_ref(), theme, age, ages);
    } else {
        draw_bars(frame, "score", picture.activity.scores.as_ref(), theme, number_of, bars);
    }
    if !versions.rows.is_empty() {
        table::draw(frame, theme, &versions, 0, None, side);
    }
}

fn draw_numbers(frame: &mut Frame<'_>, picture: &Picture, theme: Theme, area: Rect) {
    // In a narrow area the columns are as wide as their content.
    let roomy = area.width >= 78;
    let widths = if roomy {
        [Constraint::Fill(1); 3]
    } else {
        [Constraint::Fill(1), Constraint::Length(20), Constraint::Length(23)]
    };
    let columns: [Rect; 3] = Layout::horizontal(widths).areas(area);
    for (rows, column) in words::numbers(picture).into_iter().zip(columns) {
        let longest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let width = if roomy { 12 } else { longest };
        let lines = rows.into_iter().map(|(name, value)| {
            let name = format!(" {name:<width$} ");
            Line::from(vec![Span::styled(name, theme.dim()), Span::styled(value, theme.strong())])
        });
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), column);
    }
}

fn draw_past(frame: &mut Frame<'_>, picture: &Picture, theme: Theme, area: Rect) {
    let rows: [Rect; 3] = Layout::vertical([Constraint::Fill(1); 3]).areas(area);
    let width = area.width.saturating_sub(LABELS + 1);
    let past = Past::new(&picture.activity.ticks, width);
    let charts = [
        ("rows/s", past.rates(|tick| tick.reported_rows), words::count as fn(f64) -> String),
        ("mines/s", past.rates(|tick| tick.mined_batches), words::count),
        ("mine p99", past.peaks(|tick| tick.mine.map(|mine| mine.p99)), units::latency),
    ];
    for ((name, values, words), row) in charts.into_iter().zip(rows) {
        let absent = values.iter().all(Option::is_none);
        let peak = if absent { "–".to_owned() } else { words(charts::largest(&values)) };
        let mut lines = vec![Line::from(vec![
            Span::styled(format!(" {name:<9}"), theme.accent()),
            Span::styled(format!("peak {peak}"), theme.dim()),
        ])];
        if name == "rows/s" && row.height > 1 {
            let span = format!(" {:9}last {}", "", units::span(past.span));
            lines.push(Line::styled(span, theme.dim()));
        }
        frame.render_widget(Paragraph::new(lines), Rect { width: LABELS.min(row.width), ..row });
        // Leave an empty row between two charts that have more than two rows.
        let height = if row.height > 2 { row.height - 1 } else { row.height };
        let chart = Rect { x: row.x + LABELS, width, height, ..row };
        charts::columns(frame.buffer_mut(), chart, &values, theme.curve());
    }
}

fn number_of(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "–".to_owned() }
}

/// Draws the histogram of stored samples above that of served ones, with the same bounds, each scaled to its own largest bar.
fn draw_bars(
    frame: &mut Frame<'_>,
    what: &str,
    histogram: Option<&pb::SampleHistogram>,
    theme: Theme,
    words: impl Fn(f64) -> String,
    area: Rect,
) {
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(3), ..area };
    let bounds = histogram.map(|histogram| (histogram, histogram.bounds.first(), histogram.bounds.last()));
    let Some((histogram, Some(from), Some(to))) = bounds else {
        let text = format!("by {what}: no samples yet");
        return frame.render_widget(Paragraph::new(text).style(theme.dim()), area);
    };
    let bar = (area.height.saturating_sub(2) / 2).clamp(1, 6);
    let [title, stored, served, axis, _] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(bar),
        Constraint::Length(bar),
        Constraint::Length(1),
        Constraint::Fill(1),
    ])
    .areas(area);
    frame.render_widget(Line::styled(format!("by {what}"), theme.accent()), title);
    let right = |area: Rect| Rect { x: area.x + SIDE, width: area.width.saturating_sub(SIDE), ..area };
    let width = right(area).width;
    let stored_bars = charts::bars(&histogram.stored, width);
    let served_bars = charts::bars(&histogram.served, width);
    for (name, area, bars, style) in
        [("stored", stored, &stored_bars, theme.stored()), ("served", served, &served_bars, theme.served())]
    {
        // Put the label on the bottom line of the bars.
        let label = Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area };
        frame.render_widget(Line::styled(name, style), label);
        charts::columns(frame.buffer_mut(), right(area), bars, style);
    }
    // The axis is as long as the bars are wide.
    let width = usize::from(width).min(stored_bars.len());
    let (from, to) = (words(*from), words(*to));
    let gap = width.saturating_sub(from.chars().count() + to.chars().count()).max(1);
    frame.render_widget(Line::styled(format!("{from}{}{to}", " ".repeat(gap)), theme.dim()), right(axis));
}
