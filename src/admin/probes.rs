//! The probes `/livez` and `/readyz`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;

use super::Admin;

/// The reasons why the server is not ready; empty while it is. The gRPC health service uses the same state.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<&'static str>>>);

impl Readiness {
    /// Marks the server as not ready, for this reason.
    pub fn not_ready(&self, reason: &'static str) {
        self.0.lock().push(reason);
    }

    /// The reasons, in the order in which they were added.
    #[must_use]
    pub fn reasons(&self) -> Vec<&'static str> {
        self.0.lock().clone()
    }
}

/// Handles `/livez`. Any answer shows that the process is alive, because the threads that serve requests send it.
pub(super) async fn livez() -> &'static str {
    "live\n"
}

/// Handles `/readyz`: answers 200, or 503 with one line for each reason.
pub(super) async fn readyz(State(admin): State<Admin>) -> Response {
    let reasons = admin.readiness.reasons();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let lines: String = reasons.iter().map(|reason| format!("not ready: {reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}
