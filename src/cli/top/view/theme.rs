//! Styles from the terminal's own palette, readable without any colour.

use ratatui::style::{Color, Modifier, Style};

/// With colours or without (`NO_COLOR`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    color: bool,
}

impl Theme {
    pub(super) fn new(color: bool) -> Self {
        Self { color }
    }

    fn paint(self, color: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.color { style.fg(color) } else { style }
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn accent(self) -> Style {
        self.paint(Color::Cyan, Modifier::BOLD)
    }

    pub(super) fn good(self) -> Style {
        self.paint(Color::Green, Modifier::empty())
    }

    pub(super) fn bad(self) -> Style {
        self.paint(Color::Red, Modifier::BOLD)
    }

    /// The style of a row or banner to highlight.
    pub(super) fn warn(self) -> Style {
        self.paint(Color::Yellow, Modifier::BOLD)
    }

    pub(super) fn banner(self) -> Style {
        self.paint(Color::Red, Modifier::BOLD | Modifier::REVERSED)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn stored(self) -> Style {
        self.paint(Color::Blue, Modifier::empty())
    }

    pub(super) fn served(self) -> Style {
        self.paint(Color::Magenta, Modifier::empty())
    }

    pub(super) fn curve(self) -> Style {
        self.paint(Color::Cyan, Modifier::empty())
    }
}
