//! `/livez` and `/readyz`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;

use super::Admin;

/// Why the server takes no requests; empty while it does. The same that gRPC's health service answers from.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<&'static str>>>);

impl Readiness {
    /// The server takes no requests from now on.
    pub fn not_ready(&self, reason: &'static str) {
        self.0.lock().push(reason);
    }

    /// Why it does not, in the order that they came up.
    #[must_use]
    pub fn reasons(&self) -> Vec<&'static str> {
        self.0.lock().clone()
    }
}

/// Handles `/livez`: an answer is all there is to say, since it comes from the threads that serve requests.
pub(super) async fn livez() -> &'static str {
    "live\n"
}

/// Handles `/readyz`: 200, or 503 with a line for each reason.
pub(super) async fn readyz(State(admin): State<Admin>) -> Response {
    let reasons = admin.readiness.reasons();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let lines: String = reasons.iter().map(|reason| format!("not ready: {reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}
