//! `/log`: reads and changes the filter of the log while the server runs.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::telemetry;

/// Handles `GET /log`.
pub(super) async fn show() -> Response {
    match telemetry::log_filter() {
        Some(filter) => format!("{filter}\n").into_response(),
        None => no_log(),
    }
}

/// Handles `PUT /log`, whose body is the new filter.
pub(super) async fn change(filter: String) -> Response {
    if telemetry::log_filter().is_none() {
        return no_log();
    }
    match telemetry::set_log_filter(filter.trim()) {
        Ok(()) => show().await,
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// The answer in a program that embeds the server and has its own log.
fn no_log() -> Response {
    (StatusCode::NOT_FOUND, "this process has no log of hardneg's\n").into_response()
}
