//! `/`: a page that shows what is being mined. The server renders it, and server-sent events update it.

mod chart;
mod live;
mod page;
mod panels;
mod tables;

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::Admin;
use crate::permits::Permits;
use live::Drawings;
use page::Shown;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The retry delay for a live page beyond the limit, in seconds.
const RETRY_SECONDS: &str = "5";

/// The state that all pages share.
#[derive(Debug)]
pub(super) struct Dashboard {
    live_pages: Permits,
    pub(super) drawings: Drawings,
    /// Live pages end when this is cancelled.
    drain: CancellationToken,
    started: Instant,
}

impl Dashboard {
    /// Allows at most `live_pages` live pages at a time, which end when `drain` is cancelled.
    pub(super) fn new(live_pages: usize, drain: CancellationToken) -> Self {
        Self {
            live_pages: Permits::new(live_pages),
            drawings: Drawings::default(),
            drain,
            started: Instant::now(),
        }
    }
}

/// Adds the routes of the page, its style and script, and the stream of its changes.
pub(super) fn add_routes(routes: Router<Admin>) -> Router<Admin> {
    routes
        .route("/", get(show))
        .route("/events", get(events))
        .route("/page.css", get(style))
        .route("/page.js", get(script))
}

/// The query of a request: which pool to show.
#[derive(Debug, Deserialize)]
struct Wanted {
    pool: Option<String>,
}

/// Handles `/`: shows the requested pool, else the first.
async fn show(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Response {
    let first = admin.registry.sorted().first().map(|pool| pool.id().to_owned());
    let wanted = wanted.pool.filter(|pool| !pool.is_empty()).or(first);
    let mut fragments = live::surroundings(&admin, wanted.as_deref()).await;
    let Some(wanted) = wanted else {
        return html(StatusCode::OK, page::page(&Shown::Empty, &fragments));
    };
    let drawn = match admin.registry.get(&wanted, 0) {
        Ok(pool) => admin.dashboard.drawings.of(&pool).await,
        Err(_) => None,
    };
    let (shown, status) = match drawn {
        Some(drawn) => {
            fragments.extend(drawn.iter().map(|(id, html)| (*id, html.clone())));
            (Shown::Pool(&wanted), StatusCode::OK)
        }
        None => (Shown::Missing(&wanted), StatusCode::NOT_FOUND),
    };
    html(status, page::page(&shown, &fragments))
}

fn html(status: StatusCode, page: maud::Markup) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.into_string()).into_response()
}

/// Handles `/events`: streams the changes of a page.
async fn events(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Response {
    let Some(permit) = admin.dashboard.live_pages.try_take() else {
        let why = format!("all {} of http.max_live_pages are in use\n", admin.dashboard.live_pages.max());
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_SECONDS)], why)
            .into_response();
    };
    let changes = live::changes(admin, wanted.pool, permit);
    Sse::new(changes).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

/// Handles `/page.css`.
async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// Handles `/page.js`.
async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}
