//! `/`: one page that shows what is being mined, drawn here and moved by server-sent events.

mod chart;
mod figures;
mod live;
mod page;
mod tables;

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Admin;
use page::Shown;

pub(super) use live::Drawings;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// When a page that found no place may come back.
const RETRY_SECONDS: &str = "5";

/// Which pool.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    pool: Option<String>,
}

/// Handles `/`: the pool that was asked for, else the first.
pub(super) async fn show(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Response {
    let first = admin.registry.sorted().first().map(|pool| pool.id().to_owned());
    let wanted = wanted.pool.filter(|pool| !pool.is_empty()).or(first);
    let mut fragments = live::surroundings(&admin, wanted.as_deref()).await;
    let Some(wanted) = wanted else {
        return html(StatusCode::OK, page::page(&Shown::Empty, &fragments));
    };
    let drawn = match admin.registry.get(&wanted, 0) {
        Ok(pool) => admin.drawings.of(&pool).await,
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

/// Handles `/events`: the changes of a page.
pub(super) async fn events(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Response {
    let Some(place) = admin.live_pages.try_take() else {
        let why = format!("all {} places of http.max_live_pages are taken\n", admin.live_pages.max());
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_SECONDS)], why)
            .into_response();
    };
    let changes = live::changes(admin, wanted.pool, place);
    Sse::new(changes).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

/// Handles `/page.css`.
pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// Handles `/page.js`.
pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}
