//! Column charts drawn with eighths of a cell, and the division of past ticks into columns.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use crate::client::pb;

const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The largest finite value; 0 when there is none.
pub(super) fn largest(values: &[Option<f64>]) -> f64 {
    values.iter().flatten().copied().filter(|value| value.is_finite()).fold(0.0, f64::max)
}

/// Draws each value as one column of cells; the highest value fills the height. Columns without a finite value stay empty.
pub(super) fn columns(buffer: &mut Buffer, area: Rect, values: &[Option<f64>], style: Style) {
    let area = area.intersection(buffer.area);
    let largest = largest(values);
    if largest <= 0.0 {
        return;
    }
    let full = f64::from(area.height) * 8.0;
    for (x, value) in (area.left()..area.right()).zip(values) {
        let Some(value) = value.filter(|value| *value > 0.0) else { continue };
        // Any value above 0 shows at least one eighth.
        let mut eighths = (value / largest * full).round().max(1.0).min(full) as usize;
        for y in (area.top()..area.bottom()).rev() {
            let part = eighths.min(8);
            eighths -= part;
            if part > 0 {
                buffer[(x, y)].set_symbol(EIGHTHS[part]).set_style(style);
            }
        }
    }
}

/// The past ticks in `width` columns of equal time, the newest at the right.
#[derive(Debug)]
pub(super) struct Past<'a> {
    columns: Vec<Vec<&'a pb::ActivityTick>>,
    /// Seconds from the oldest tick to the newest.
    pub(super) span: f64,
}

impl<'a> Past<'a> {
    pub(super) fn new(ticks: &'a [pb::ActivityTick], width: u16) -> Self {
        let second = |tick: &pb::ActivityTick| tick.time.map_or(0, |time| time.seconds);
        let mut columns = vec![Vec::new(); usize::from(width)];
        let (Some(first), Some(last)) = (ticks.first().map(second), ticks.last().map(second)) else {
            return Self { columns, span: 0.0 };
        };
        let span = last.saturating_sub(first).max(0);
        let each = span.saturating_add(1) / i64::from(width.max(1)) + 1;
        for tick in ticks {
            // Divide at whole multiples of the column's time, so that a column keeps its ticks as time passes.
            let back = last.div_euclid(each) - second(tick).div_euclid(each);
            let column = usize::try_from(back).ok().and_then(|back| columns.len().checked_sub(back + 1));
            if let Some(column) = column {
                columns[column].push(tick);
            }
        }
        Self { columns, span: span as f64 }
    }

    /// The average of each column, per second.
    pub(super) fn rates(&self, of: fn(&pb::ActivityTick) -> u64) -> Vec<Option<f64>> {
        let rate = |ticks: &Vec<&pb::ActivityTick>| {
            let seconds: f64 = ticks.iter().map(|tick| tick.seconds).sum();
            (seconds > 0.0).then(|| ticks.iter().map(|tick| of(tick)).sum::<u64>() as f64 / seconds)
        };
        self.columns.iter().map(rate).collect()
    }

    /// The largest value of each column.
    pub(super) fn peaks(&self, of: fn(&pb::ActivityTick) -> Option<f64>) -> Vec<Option<f64>> {
        let peak = |ticks: &Vec<&pb::ActivityTick>| {
            ticks.iter().filter_map(|tick| of(tick)).filter(|value| value.is_finite()).reduce(f64::max)
        };
        self.columns.iter().map(peak).collect()
    }
}

/// The bars of a histogram over `width` cells: a bar takes several cells where there is room, and several bars are joined where there
/// is not.
pub(super) fn bars(counts: &[u64], width: u16) -> Vec<Option<f64>> {
    let width = usize::from(width);
    if counts.is_empty() || width == 0 {
        return Vec::new();
    }
    if width >= counts.len() {
        let each = width / counts.len();
        return counts.iter().flat_map(|count| std::iter::repeat_n(Some(*count as f64), each)).collect();
    }
    counts
        .chunks(counts.len().div_ceil(width))
        .map(|joined| Some(joined.iter().sum::<u64>() as f64))
        .collect()
}
