//! The page around the figures. The page is complete when it is sent; without JavaScript it does not update.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::live::Fragments;
use super::panels::FIGURES;

/// What a page shows.
pub(super) enum Shown<'a> {
    /// The pool of this name.
    Pool(&'a str),
    /// A message that there is no pool of this name.
    Missing(&'a str),
    /// A message that the server has no pools.
    Empty,
}

/// The whole page.
pub(super) fn page(shown: &Shown<'_>, fragments: &Fragments) -> Markup {
    let fragment = |id: &str| PreEscaped(fragments.get(id).map_or("", |html| &**html));
    let pool = match shown {
        Shown::Pool(pool) | Shown::Missing(pool) => Some(*pool),
        Shown::Empty => None,
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { @if let Some(pool) = pool { (pool) " · " } "hardneg" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
            }
            body data-pool=[pool] {
                a.skip href="#main" { "Skip to the figures" }
                header {
                    h1 { "hardneg" }
                    p #server { (fragment("server")) }
                    p #status role="status" aria-live="polite" { "Live updates need JavaScript." }
                }
                nav #pools aria-label="Pools" { (fragment("pools")) }
                main #main {
                    @match shown {
                        Shown::Pool(_) => (figures(&fragment)),
                        Shown::Missing(pool) => section.message {
                            h2 { "There is no pool " (pool) }
                            p { "It may have been deleted, or the server may have been restarted: pools live in its memory. \
                                 This page shows it as soon as it is there." }
                        },
                        Shown::Empty => (empty()),
                    }
                }
                footer {
                    p {
                        a href="/metrics" { "metrics" } " · " a href="/readyz" { "readiness" } " · figures of samples come \
                        from some thousand of them, drawn uniformly"
                    }
                }
            }
        }
    }
}

fn empty() -> Markup {
    html! {
        section.message {
            h2 { "No pool yet" }
            p { "Create one and report some scores; this page shows it as soon as it is there." }
            pre { code {
                "hardneg pool create faces --capacity 1000000\n"
                "hardneg report scores.csv --pool faces\n"
                "hardneg mine --pool faces -n 16"
            } }
        }
    }
}

fn figures<'a>(fragment: &impl Fn(&str) -> PreEscaped<&'a str>) -> Markup {
    html! {
        section #kpis aria-label="Numbers" { (fragment("kpis")) }
        div.figures {
            @for figure in FIGURES {
                figure {
                    h2 { (figure.title) }
                    @if !figure.legend.is_empty() {
                        p.legend {
                            @for (ink, name) in figure.legend {
                                span.{ "ink" (ink.property()) } { (name) }
                            }
                        }
                    }
                    div #(figure.id) { (fragment(figure.id)) }
                    figcaption { b { "Healthy: " } (figure.healthy) "." }
                }
            }
            (table("workers", "Workers", "none silent for long, and none many versions behind, since such a worker scores with an old model", &fragment("workers")))
        }
        (table("hardest", "The hardest samples right now", "they change as the model learns, and are hard for a person too", &fragment("hardest")))
        (table("suspects", "Noise suspects", "few; a sample that stays among the hardest however often it is scored again often has a wrong label: check it", &fragment("suspects")))
    }
}

fn table(id: &str, title: &str, healthy: &str, content: &PreEscaped<&str>) -> Markup {
    html! {
        section.table aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (title) }
            // Wide tables scroll on their own, so the keyboard must be able to focus them.
            div.scroll id=(id) tabindex="0" role="region" aria-labelledby={ (id) "-title" } { (content) }
            p.healthy { b { "Healthy: " } (healthy) "." }
        }
    }
}
