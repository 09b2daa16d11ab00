//! The state of the terminal, and how news and keys change it. It neither draws nor waits.

use std::{collections::HashMap, time::Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::source::{Away, Listed, News, Picture};
use crate::client::{pb, pool_id_of};

/// The number of past ticks that are kept.
pub(super) const TICKS_MAX: usize = 300;

/// A screen of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    Overview,
    Samples,
    Workers,
}

impl Screen {
    pub(super) const ALL: [Self; 3] = [Self::Overview, Self::Samples, Self::Workers];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Overview => "1 Overview",
            Self::Samples => "2 Samples",
            Self::Workers => "3 Workers",
        }
    }

    fn next(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|screen| *screen == self).unwrap_or(0);
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// A pool in the list.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolLine {
    pub(super) listed: Listed,
    /// Average since the previous poll; `None` at the first one.
    pub(super) rows_per_second: Option<f64>,
    pub(super) mines_per_second: Option<f64>,
}

impl PoolLine {
    pub(super) fn id(&self) -> &str {
        pool_id_of(&self.listed.pool.name)
    }

    /// `now`, with its rates since `before`, which was `seconds` ago.
    fn since(now: Listed, before: Option<&Listed>, seconds: f64) -> Self {
        let rate = |of: fn(&pb::PoolStats) -> u64| {
            let passed = of(&now.stats).saturating_sub(of(&before?.stats));
            Some(passed as f64 / seconds.max(1e-3))
        };
        let (rows_per_second, mines_per_second) = (rate(|s| s.reported_rows), rate(|s| s.mined_batches));
        Self { listed: now, rows_per_second, mines_per_second }
    }
}

/// The lines of the list, with rates since the previous poll.
pub(super) fn lines(now: Vec<Listed>, before: &[PoolLine], seconds: f64) -> Vec<PoolLine> {
    let before: HashMap<u64, &Listed> =
        before.iter().map(|line| (line.listed.stats.uid, &line.listed)).collect();
    now.into_iter()
        .map(|listed| {
            let old = before.get(&listed.stats.uid).copied();
            PoolLine::since(listed, old, seconds)
        })
        .collect()
}

/// Everything that the terminal shows.
#[derive(Debug)]
pub(super) struct App {
    pub(super) server: String,
    /// Whether to use colours.
    pub(super) color: bool,
    pub(super) done: bool,
    pub(super) help: bool,
    pub(super) screen: Screen,
    /// Number of lines by which a long table or the help is scrolled down.
    pub(super) scroll: usize,
    pub(super) pools: Option<Vec<PoolLine>>,
    pub(super) selected: usize,
    /// The pool that is open.
    pub(super) open: Option<String>,
    /// The latest figures of that pool, with all ticks.
    pub(super) picture: Option<Picture>,
    /// Since when no figures could be had, and the reason.
    pub(super) away: Option<(Instant, Away)>,
    /// A message that is shown until a key is pressed.
    pub(super) notice: Option<String>,
    listed_at: Option<Instant>,
}

impl App {
    pub(super) fn new(server: String, open: Option<String>, color: bool) -> Self {
        Self {
            server,
            color,
            done: false,
            help: false,
            screen: Screen::Overview,
            scroll: 0,
            pools: None,
            selected: 0,
            open: open.map(|pool| pool_id_of(&pool).to_owned()),
            picture: None,
            away: None,
            notice: None,
            listed_at: None,
        }
    }

    /// Applies news from the source.
    pub(super) fn hear(&mut self, news: News, now: Instant) {
        match news {
            News::Away(away) => {
                let since = self.away.as_ref().map_or(now, |(since, _)| *since);
                self.away = Some((since, away));
            }
            News::Gone(pool) if self.open.as_deref() == Some(&pool) => {
                self.notice = Some(format!("The pool {pool} is gone: deleted, or its server started anew."));
                self.away = None;
                self.close();
            }
            // The answer to a request from before the last key press.
            News::Gone(_) => {}
            News::Pools(pools) => {
                self.away = None;
                if self.open.is_none() {
                    self.list(pools, now);
                }
            }
            News::Pool(picture) => {
                self.away = None;
                if self.open.as_deref() == Some(pool_id_of(&picture.pool.name)) {
                    self.merge(*picture);
                }
            }
        }
    }

    fn list(&mut self, pools: Vec<Listed>, now: Instant) {
        let seconds = self.listed_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.listed_at = Some(now);
        let before = self.pools.take().unwrap_or_default();
        let lines = lines(pools, &before, seconds);
        // The selection stays on its pool when pools are added or removed.
        let marked = before.get(self.selected).map(PoolLine::id);
        self.selected = lines
            .iter()
            .position(|line| Some(line.id()) == marked)
            .unwrap_or(self.selected)
            .min(lines.len().saturating_sub(1));
        self.pools = Some(lines);
    }

    /// Merges new ticks: the first response of a watch has all ticks, later responses only the new ones.
    fn merge(&mut self, mut picture: Picture) {
        let time = |tick: &pb::ActivityTick| tick.time.map(|t| (t.seconds, t.nanos));
        if let Some(old) = self.picture.take().filter(|old| old.stats.uid == picture.stats.uid) {
            let mut ticks = old.activity.ticks;
            let last = ticks.last().and_then(time);
            ticks.extend(picture.activity.ticks.into_iter().filter(|tick| time(tick) > last));
            picture.activity.ticks = ticks;
        }
        let ticks = &mut picture.activity.ticks;
        ticks.drain(..ticks.len().saturating_sub(TICKS_MAX));
        self.picture = Some(picture);
        self.scroll = self.scroll.min(self.scroll_max());
    }

    fn close(&mut self) {
        self.open = None;
        self.picture = None;
        self.show(Screen::Overview);
    }

    fn show(&mut self, screen: Screen) {
        self.screen = screen;
        self.scroll = 0;
    }

    /// The largest scroll position: the number of rows of the scrolling table, less one.
    fn scroll_max(&self) -> usize {
        let activity = self.picture.as_ref().map(|picture| &picture.activity);
        let rows = match self.screen {
            _ if self.help => super::view::help::LINES_MAX,
            Screen::Overview => 0,
            Screen::Samples => activity.map_or(0, |activity| activity.hardest.len()),
            Screen::Workers => activity.map_or(0, |activity| activity.workers.len()),
        };
        rows.saturating_sub(1)
    }

    /// Handles a key press.
    pub(super) fn press(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        self.notice = None;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q') => self.done = true,
            KeyCode::Char('c') if control => self.done = true,
            KeyCode::Up | KeyCode::Char('k') => self.up(1),
            KeyCode::Down | KeyCode::Char('j') => self.down(1),
            KeyCode::PageUp => self.up(10),
            KeyCode::PageDown => self.down(10),
            _ if self.help => (self.help, self.scroll) = (false, 0),
            KeyCode::Char('?') => (self.help, self.scroll) = (true, 0),
            code if self.open.is_some() => self.press_in_pool(code),
            KeyCode::Enter | KeyCode::Right => {
                let line = self.pools.as_ref().and_then(|pools| pools.get(self.selected));
                self.open = line.map(|line| line.id().to_owned());
            }
            _ => {}
        }
    }

    fn press_in_pool(&mut self, code: KeyCode) {
        match code {
            KeyCode::Esc | KeyCode::Backspace => self.close(),
            KeyCode::Char('1') => self.show(Screen::Overview),
            KeyCode::Char('2') => self.show(Screen::Samples),
            KeyCode::Char('3') => self.show(Screen::Workers),
            KeyCode::Tab | KeyCode::Right => self.show(self.screen.next(1)),
            KeyCode::BackTab | KeyCode::Left => self.show(self.screen.next(2)),
            _ => {}
        }
    }

    fn up(&mut self, by: usize) {
        if self.help || self.open.is_some() {
            self.scroll = self.scroll.saturating_sub(by);
        } else {
            self.selected = self.selected.saturating_sub(by);
        }
    }

    fn down(&mut self, by: usize) {
        if self.help || self.open.is_some() {
            self.scroll = (self.scroll + by).min(self.scroll_max());
        } else {
            let last = self.pools.as_ref().map_or(0, Vec::len).saturating_sub(1);
            self.selected = (self.selected + by).min(last);
        }
    }
}
