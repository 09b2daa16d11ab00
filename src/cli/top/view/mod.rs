//! Draws the state and changes none of it. Uses the terminal's own palette, or no colours.

mod charts;
pub(super) mod help;
mod list;
mod overview;
mod table;
mod theme;

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{
    app::{App, Screen},
    source::Picture,
    words,
};
use crate::units;
use theme::Theme;

const WIDTH_MIN: u16 = 60;
const HEIGHT_MIN: u16 = 16;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    let theme = Theme::new(app.color);
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let text = format!(
            "hardneg top needs {WIDTH_MIN} x {HEIGHT_MIN}; this terminal has {} x {}. q quits.",
            area.width, area.height
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let said = u16::from(app.away.is_some() || app.notice.is_some());
    let [header, banner, body, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(said),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_header(frame, app, theme, header);
    draw_banner(frame, app, theme, banner);
    draw_footer(frame, app, theme, footer);
    if app.help {
        return help::draw(frame, theme, app.scroll, body);
    }
    match (&app.open, &app.picture) {
        (None, _) => list::draw(frame, app, theme, body),
        (Some(_), Some(picture)) => draw_pool(frame, app, picture, theme, body),
        (Some(pool), None) => say(frame, theme, &format!("Waiting for the figures of {pool} …"), body),
    }
}

/// Draws a sentence in an otherwise empty area.
fn say(frame: &mut Frame<'_>, theme: Theme, text: &str, area: Rect) {
    let area = area.inner(ratatui::layout::Margin::new(1, 1));
    frame.render_widget(Paragraph::new(text).style(theme.dim()).wrap(Wrap { trim: true }), area);
}

fn draw_header(frame: &mut Frame<'_>, app: &App, theme: Theme, area: Rect) {
    let mut spans = vec![Span::styled(" hardneg ", theme.strong())];
    if let Some(pool) = &app.open {
        spans.push(Span::styled(words::clean(pool), theme.accent()));
        spans.push(Span::raw("  "));
        let state = app.picture.as_ref().map_or("waiting", words::state);
        match &app.away {
            Some(_) => spans.push(Span::styled("away", theme.bad())),
            None => spans.push(Span::styled(format!("live: {state}"), theme.good())),
        }
        if let Some(run) = app.picture.as_ref().and_then(words::run) {
            spans.push(Span::styled(format!("  {run}"), theme.dim()));
        }
    } else {
        spans.push(Span::styled("pools", theme.accent()));
    }
    let server = Line::styled(format!("{} ", words::clean(&app.server)), theme.dim());
    // Shorten a long address, so that there is room for the pool.
    let width = (server.width() as u16).min(area.width / 2);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)]).areas(area);
    frame.render_widget(Line::from(spans), left);
    frame.render_widget(server, right);
}

fn draw_banner(frame: &mut Frame<'_>, app: &App, theme: Theme, area: Rect) {
    if let Some((since, away)) = &app.away {
        let what = if away.unavailable { "server away, retrying" } else { "no figures, retrying" };
        let why = away.why.strip_prefix("UNAVAILABLE: ").unwrap_or(&away.why);
        // Show whole seconds, because the display is updated once a second.
        let time = match since.elapsed().as_secs() {
            seconds @ 0..120 => format!("{seconds} s"),
            seconds => units::span(seconds as f64),
        };
        let text = format!(" {what} ({time}): {}", words::clean(why));
        frame.render_widget(Paragraph::new(text).style(theme.banner()), area);
    } else if let Some(notice) = &app.notice {
        frame.render_widget(Paragraph::new(format!(" {notice}")).style(theme.banner()), area);
    }
}

fn draw_footer(frame: &mut Frame<'_>, app: &App, theme: Theme, area: Rect) {
    let keys = match () {
        () if app.help => " ↑↓ scroll   any other key closes the help   q quit",
        () if app.open.is_some() => " Tab 1 2 3 screens   ↑↓ scroll   Esc pools   ? help   q quit",
        () => " ↑↓ choose   Enter open   ? help   q quit",
    };
    frame.render_widget(Line::styled(keys, theme.dim()), area);
}

fn draw_pool(frame: &mut Frame<'_>, app: &App, picture: &Picture, theme: Theme, area: Rect) {
    let [tabs, _, body] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let mut spans = vec![Span::raw(" ")];
    for screen in Screen::ALL {
        let style = if screen == app.screen { theme.selected() } else { theme.dim() };
        spans.push(Span::styled(format!(" {} ", screen.title()), style));
        spans.push(Span::raw(" "));
    }
    frame.render_widget(Line::from(spans), tabs);
    match app.screen {
        Screen::Overview => overview::draw(frame, picture, theme, body),
        Screen::Samples => draw_samples(frame, app, picture, theme, body),
        Screen::Workers => draw_workers(frame, app, picture, theme, body),
    }
}

fn draw_samples(frame: &mut Frame<'_>, app: &App, picture: &Picture, theme: Theme, area: Rect) {
    let suspects = words::suspects(picture);
    // Place the two tables side by side where there is room.
    let [hardest_area, suspects_area] = if area.width >= 118 {
        Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(area)
    } else {
        let height = (suspects.rows.len() as u16 + 1).min(area.height / 2);
        Layout::vertical([Constraint::Fill(1), Constraint::Length(height)]).spacing(1).areas(area)
    };
    let hardest = words::hardest(picture);
    if hardest.rows.is_empty() {
        say(frame, theme, "No samples yet: nobody has reported scores.", hardest_area);
    } else {
        table::draw(frame, theme, &hardest, app.scroll, None, hardest_area);
    }
    if suspects.rows.is_empty() {
        let text = " No noise suspects: no sample stayed hardest through three fresh scores.";
        frame
            .render_widget(Paragraph::new(text).style(theme.dim()).wrap(Wrap { trim: false }), suspects_area);
    } else {
        table::draw(frame, theme, &suspects, 0, None, suspects_area);
    }
}

fn draw_workers(frame: &mut Frame<'_>, app: &App, picture: &Picture, theme: Theme, area: Rect) {
    let workers = words::workers(picture);
    if workers.rows.is_empty() {
        return say(frame, theme, "No worker has reported in the last five minutes.", area);
    }
    let [body, note] = Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    table::draw(frame, theme, &workers, app.scroll, None, body);
    let silent = workers.rows.iter().filter(|(_, silent)| *silent).count();
    let text = format!(
        "{} of {} workers; {silent} silent for more than {:.0} s ",
        workers.rows.len(),
        picture.activity.worker_count,
        words::SILENT_SECONDS
    );
    frame.render_widget(Line::styled(text, theme.dim()).alignment(Alignment::Right), note);
}
