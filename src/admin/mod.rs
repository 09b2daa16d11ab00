//! The HTTP endpoints: probes, metrics, the log filter and the dashboard. They read pools and change none.

#[cfg(feature = "dashboard")]
#[cfg(feature = "dashboard")]
mod dashboard;
mod log;
pub mod metrics;
mod probes;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::config::Config;
use crate::permits::Permits;
use crate::pool::registry::Registry;
use crate::rpc_metrics::Meter;
pub use probes::Readiness;

/// The largest request body: only `PUT /log` has one, a line of text.
const BODY_BYTES_MAX: usize = 4_096;

/// The dashboard loads nothing from other origins, and no other page may embed it in a frame.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// The state that the endpoints read.
#[derive(Clone)]
pub struct Admin {
    registry: Arc<Registry>,
    meter: Arc<Meter>,
    readiness: Readiness,
    connections: Permits,
    reports: Permits,
    config: Arc<Config>,
    #[cfg(feature = "dashboard")]
    dashboard: Arc<dashboard::Dashboard>,
}

impl Admin {
    /// Endpoints that show these pools. Live pages end once `drain` is cancelled.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        meter: Arc<Meter>,
        readiness: Readiness,
        connections: Permits,
        reports: Permits,
        drain: CancellationToken,
        config: Arc<Config>,
    ) -> Self {
        #[cfg(not(feature = "dashboard"))]
        drop(drain);
        Self {
            registry,
            meter,
            readiness,
            connections,
            reports,
            #[cfg(feature = "dashboard")]
            dashboard: Arc::new(dashboard::Dashboard::new(config.http.max_live_pages, drain)),
            config,
        }
    }

    /// The limits in `hardneg_limit`, by name.
    fn limits(&self) -> [(&'static str, usize); 5] {
        let limits = &self.config.limits;
        [
            ("max_pools", limits.max_pools),
            ("max_connections", limits.max_connections),
            ("max_inflight_mines", limits.max_inflight_mines),
            ("max_waiting_mines", limits.max_waiting_mines),
            ("max_inflight_reports", limits.max_inflight_reports),
        ]
    }

    /// Drops cached drawings that nobody requested recently. Call it periodically.
    pub fn prune(&self) {
        #[cfg(feature = "dashboard")]
        self.dashboard.drawings.prune();
    }

    /// The router of all endpoints.
    pub fn router(self) -> Router {
        let routes = Router::new();
        #[cfg(feature = "dashboard")]
        let routes = dashboard::add_routes(routes);
        let routes = routes
            .route("/livez", get(probes::livez))
            .route("/readyz", get(probes::readyz))
            .route("/metrics", get(metrics::metrics))
            .route("/log", get(log::show).put(log::change))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self);
        HEADERS.into_iter().fold(routes, |routes, (name, value)| {
            routes.layer(SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value)))
        })
    }
}
