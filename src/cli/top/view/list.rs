//! The list of pools.

use ratatui::{Frame, layout::Rect};

use super::{Theme, say, table};
use crate::cli::top::{app::App, words};

/// Draws the pools, or a hint when there are none.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App, theme: Theme, area: Rect) {
    match &app.pools {
        None => say(frame, theme, "Waiting for the pools …", area),
        Some(pools) if pools.is_empty() => say(frame, theme, words::NO_POOL, area),
        Some(pools) => {
            let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
            table::draw(frame, theme, &words::pools(pools), 0, Some(app.selected), area);
        }
    }
}
