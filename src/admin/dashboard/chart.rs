//! Drawings as SVG. Colours are custom properties of the page's style sheet, so that one drawing suits both themes.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, DefaultFormatting, KeyPointHint, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// Width and height in the drawing's own units; the page scales the drawing to its column.
const SIZE: (u32, u32) = (400, 190);
const FONT_SIZE: u32 = 12;
const SECONDS_PER_MINUTE: f64 = 60.0;

/// A colour by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// Stored samples, or the first of several lines.
    Stored,
    /// Served samples, or the second line.
    Served,
    /// The third line.
    Third,
    /// The fourth line, or a limit.
    Fourth,
    Text,
    Grid,
}

impl Ink {
    const ALL: [Self; 6] = [Self::Stored, Self::Served, Self::Third, Self::Fourth, Self::Text, Self::Grid];

    /// A unique colour for the drawing library, which is replaced by the custom property afterwards.
    fn placeholder(self) -> RGBColor {
        RGBColor(self as u8 + 1, 0, 254)
    }

    /// The custom property of the style sheet.
    pub(super) fn property(self) -> &'static str {
        match self {
            Self::Stored => "--stored",
            Self::Served => "--served",
            Self::Third => "--third",
            Self::Fourth => "--fourth",
            Self::Text => "--dim",
            Self::Grid => "--grid",
        }
    }
}

/// A line over time; NaN is a gap.
pub(super) struct Line<'a> {
    pub(super) ink: Ink,
    /// Pairs of time and value; the time is in seconds relative to now (not positive).
    pub(super) points: &'a [(f64, f64)],
}

/// How the values of a drawing are formatted and scaled.
#[derive(Clone, Copy)]
pub(super) struct Values {
    pub(super) show: fn(f64) -> String,
    pub(super) scale: Scale,
}

/// The range and scale of the value axis.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Linear, from zero to the largest value.
    FromZero,
    /// Linear, from zero to one.
    Share,
    /// Linear, from the smallest to the largest value.
    Fit,
    /// Logarithmic, over whole decades.
    Log,
}

/// Lines over the last `seconds`, at least one minute.
pub(super) fn lines(lines: &[Line<'_>], seconds: f64, values: Values) -> String {
    let finite = || lines.iter().flat_map(|line| line.points).map(|point| point.1).filter(|v| v.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let range = match values.scale {
        _ if low > high => 0.0..1.0,
        Scale::FromZero => 0.0..(high * 1.1).max(f64::MIN_POSITIVE.sqrt()),
        Scale::Share => 0.0..1.0,
        Scale::Fit => {
            let margin = ((high - low) * 0.1).max(high.abs() * 1e-3).max(1e-3);
            low - margin..high + margin
        }
        Scale::Log => low.max(1e-6) / 1.5..high.max(1e-6) * 1.5,
    };
    let range = if values.scale == Scale::FromZero && high <= 0.0 { 0.0..1.0 } else { range };
    draw(|area| {
        let time = Time(seconds);
        match values.scale {
            Scale::Log if low <= high => draw_lines(area, lines, time, range.log_scale(), values),
            _ => draw_lines(area, lines, time, range, values),
        }
    })
}

/// The time axis over this many seconds before now.
struct Time(f64);

impl Ranged for Time {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(value, pixels)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        marks(self.0)
    }

    fn range(&self) -> Range<f64> {
        -self.0..0.0
    }
}

/// The tick marks of the time axis: at whole minutes, or at parts of a minute when the range is short.
fn marks(seconds: f64) -> Vec<f64> {
    let step = if seconds <= 2.0 * SECONDS_PER_MINUTE { seconds / 4.0 } else { SECONDS_PER_MINUTE };
    (0..).map(|n| -step * f64::from(n)).take_while(|at| *at >= -seconds).collect()
}

fn before(seconds: f64) -> String {
    match -seconds {
        0.0 => "now".to_owned(),
        s if s < SECONDS_PER_MINUTE => format!("-{s:.0} s"),
        s => format!("-{} min", s / SECONDS_PER_MINUTE),
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_lines<Y>(area: &Area<'_>, lines: &[Line<'_>], time: Time, range: Y, values: Values) -> Drawn
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(14)
        .x_label_area_size(22)
        .y_label_area_size(52)
        .build_cartesian_2d(time, range)?;
    mesh(&mut chart, &|x| before(*x), values.show, 6)?;
    for line in lines {
        let style = line.ink.placeholder().stroke_width(2);
        for run in line.points.split(|point| !point.1.is_finite()).filter(|run| !run.is_empty()) {
            chart.draw_series(LineSeries::new(run.iter().copied(), style))?;
        }
    }
    Ok(())
}

/// Shares of two sets of samples in the same bars: stored as filled bars, served as an outline.
pub(super) struct Bars<'a> {
    /// Number of stored samples in each bar; `served` has as many bars.
    pub(super) stored: &'a [u64],
    pub(super) served: &'a [u64],
    /// Whether the n-th label is below the middle of the n-th bar, else at its left edge.
    pub(super) centred: bool,
    pub(super) label: &'a dyn Fn(usize) -> String,
}

/// Draws the bars, as percentages of each set.
pub(super) fn bars(bars: &Bars<'_>) -> String {
    let share = |counts: &[u64]| {
        let all = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|count| *count as f64 / all).collect::<Vec<f64>>()
    };
    let (stored, served) = (share(bars.stored), share(bars.served));
    let n = stored.len();
    let high = stored.iter().chain(&served).copied().fold(0.01, f64::max) * 1.1;
    let left = if bars.centred { -0.5 } else { 0.0 };
    let label = |x: &f64| {
        let rounded = x.round();
        let last = if bars.centred { n as f64 - 1.0 } else { n as f64 };
        match (x - rounded).abs() < 1e-6 && (0.0..=last).contains(&rounded) {
            true => (bars.label)(rounded as usize),
            false => String::new(),
        }
    };
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(14)
            .x_label_area_size(22)
            .y_label_area_size(52)
            .build_cartesian_2d(left..left + n as f64, 0.0..high.min(1.05))?;
        let labels = if bars.centred { 2 * n.max(4) } else { 6 };
        mesh(&mut chart, &label, |share| format!("{:.0} %", share * 100.0), labels)?;
        let gap = if n <= 24 { 0.08 } else { 0.0 };
        chart.draw_series(stored.iter().enumerate().filter(|(_, share)| **share > 0.0).map(
            |(i, share)| {
                let from = left + i as f64;
                Rectangle::new(
                    [(from + gap, 0.0), (from + 1.0 - gap, *share)],
                    Ink::Stored.placeholder().mix(0.5).filled(),
                )
            },
        ))?;
        if bars.served.iter().any(|count| *count > 0) {
            let outline = served
                .iter()
                .enumerate()
                .flat_map(|(i, share)| [(left + i as f64, *share), (left + i as f64 + 1.0, *share)]);
            chart.draw_series(LineSeries::new(outline, Ink::Served.placeholder().stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Draws the axes and the grid.
fn mesh<X, Y>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    show_x: &dyn Fn(&f64) -> String,
    show_y: impl Fn(f64) -> String,
    x_labels: usize,
) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let text = ("sans-serif", FONT_SIZE).into_font().color(&Ink::Text.placeholder());
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(Ink::Grid.placeholder())
        .axis_style(Ink::Grid.placeholder())
        .label_style(text)
        .x_labels(x_labels)
        .y_labels(5)
        .x_label_formatter(&show_x)
        .y_label_formatter(&|y| show_y(*y))
        .draw()?;
    Ok(())
}

/// Draws, and replaces the placeholder colours by custom properties. If drawing fails the SVG is empty; the caption still has the numbers.
fn draw(with: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        with(&area).and_then(|()| Ok(area.present()?))
    };
    if let Err(error) = drawn {
        tracing::debug!(%error, "a drawing failed");
        return String::new();
    }
    for ink in Ink::ALL {
        let RGBColor(r, g, b) = ink.placeholder();
        svg = svg.replace(&format!("#{r:02X}{g:02X}{b:02X}"), &format!("var({})", ink.property()));
    }
    // The caption describes the drawing for screen readers, and the style sheet sets its size.
    svg.replacen(&format!("width=\"{}\" height=\"{}\" ", SIZE.0, SIZE.1), "aria-hidden=\"true\" ", 1)
        .replace("font-family=\"sans-serif\" ", "")
        .replace('\n', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Values = Values { show: |v| format!("{v}"), scale: Scale::FromZero };

    fn well_formed(svg: &str) {
        assert!(svg.starts_with("<svg aria-hidden"), "{svg}");
        assert!(svg.ends_with("</svg>"), "{svg}");
        assert!(!svg.contains("0FE\"") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_gap_splits_a_line() {
        let points = [(-3.0, 1.0), (-2.0, f64::NAN), (-1.0, 2.0), (0.0, 3.0)];
        let svg = lines(&[Line { ink: Ink::Served, points: &points }], 300.0, PLAIN);
        well_formed(&svg);
        assert_eq!(svg.matches("stroke=\"var(--served)\"").count(), 2, "{svg}");
        assert!(svg.contains(">now<") && svg.contains(">-5 min<"), "{svg}");
    }

    #[test]
    fn time_is_marked_where_it_says() {
        assert_eq!(marks(300.0), [0.0, -60.0, -120.0, -180.0, -240.0, -300.0]);
        assert_eq!(
            marks(120.0).into_iter().map(before).collect::<Vec<_>>(),
            ["now", "-30 s", "-1 min", "-1.5 min", "-2 min"]
        );
        assert_eq!(
            marks(60.0).into_iter().map(before).collect::<Vec<_>>(),
            ["now", "-15 s", "-30 s", "-45 s", "-1 min"]
        );
    }

    #[test]
    fn whatever_the_numbers_the_drawing_is_sound() {
        let scales = [Scale::FromZero, Scale::Share, Scale::Fit, Scale::Log];
        let sets: [&[(f64, f64)]; 6] = [
            &[],
            &[(0.0, 0.0)],
            &[(-1.0, f64::NAN)],
            &[(-1.0, 1e12), (0.0, 1e-12)],
            &[(-1.0, -5.0), (0.0, -5.0)],
            &[(-2.0, f64::INFINITY), (0.0, 1.0)],
        ];
        for scale in scales {
            for points in sets {
                let svg = lines(&[Line { ink: Ink::Third, points }], 300.0, Values { scale, ..PLAIN });
                well_formed(&svg);
            }
        }
        for counts in [&[][..], &[0], &[0, 0, 0], &[1, 0, u64::from(u32::MAX)]] {
            for centred in [false, true] {
                let label = |i: usize| format!("b{i}");
                let svg = bars(&Bars { stored: counts, served: counts, centred, label: &label });
                if !counts.is_empty() {
                    well_formed(&svg);
                }
            }
        }
    }

    #[test]
    fn each_bar_has_its_label() {
        let label = |i: usize| format!("v{i}");
        let svg = bars(&Bars { stored: &[5, 5], served: &[1, 0], centred: true, label: &label });
        assert!(svg.contains(">v0<") && svg.contains(">v1<"), "{svg}");
        assert_eq!(svg.matches("fill=\"var(--stored)\"").count(), 2);
    }
}
