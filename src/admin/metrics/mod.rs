//! `/metrics`: the server and its pools in the OpenMetrics text format.

mod encode;
pub mod names;
mod process;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Admin;
use encode::{PoolSnapshot, Snapshot};

/// The content type of OpenMetrics text, which Prometheus and other scrapers accept.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// A worker counts in `hardneg_pool_workers` if its last report is at most this old.
const REPORTING_SECONDS: f64 = 60.0;

/// Handles `/metrics`.
pub(super) async fn metrics(State(admin): State<Admin>) -> Response {
    match encode::text(snapshot(&admin).await) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode: {error}\n")).into_response()
        }
    }
}

async fn snapshot(admin: &Admin) -> Snapshot {
    let mut pools = Vec::new();
    for pool in admin.registry.sorted() {
        // Skip a pool whose store is unavailable, and report all others.
        let Ok(stats) = pool.stats().await else { continue };
        let workers = pool.workers();
        let (reports, mines) = pool.latencies();
        pools.push(PoolSnapshot {
            id: pool.id().to_owned(),
            capacity: pool.spec().capacity,
            stats,
            reporting: workers.iter().filter(|w| w.silent_seconds <= REPORTING_SECONDS).count(),
            lag_seconds: workers.iter().map(|w| w.silent_seconds).reduce(f64::max),
            reports,
            mines,
        });
    }
    Snapshot {
        pools,
        ready: admin.readiness.reasons().is_empty(),
        occupancy: admin.registry.occupancy(),
        connections: admin.connections.taken(),
        inflight_reports: admin.reports.taken(),
        limits: admin.limits(),
        meter: admin.meter.clone(),
        process: process::figures(),
    }
}
