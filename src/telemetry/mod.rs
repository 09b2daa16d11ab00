//! Telemetry of the process: the log on standard error, and traces to a collector.
//!
//! Log and traces have separate filters, so that a quiet log does not remove spans from traces. The spans of the data path are at `debug`:
//! with the default log filter and no collector they cost nothing.

#[cfg(feature = "console")]
mod console;
mod exporter;
mod log;
pub(crate) mod traces;

use std::sync::OnceLock;

use anyhow::Context as _;
use tracing_subscriber::prelude::*;

use crate::config::Config;
pub use log::FilterError;
use log::LogControl;
use traces::Traces;

/// The control of the log of this process; empty until the log is installed.
static LOG: OnceLock<LogControl> = OnceLock::new();

/// The handle that must be shut down before the process ends.
#[must_use = "the last spans are sent by `shutdown`"]
pub struct Telemetry {
    traces: Option<Traces>,
}

/// Installs log and traces for the whole process. It must be called once only, inside the Tokio runtime on which the exporter runs.
///
/// # Errors
/// An invalid filter or endpoint, or a second call.
pub fn init(config: &Config) -> anyhow::Result<Telemetry> {
    let (log, control) = log::layer(&config.log)?;
    let traces = Traces::new(&config.otlp)?;
    let subscriber = tracing_subscriber::registry().with(log).with(traces.as_ref().map(Traces::layer));
    #[cfg(feature = "console")]
    let subscriber = subscriber.with(console::layer());
    subscriber.try_init().context("the log is already installed")?;
    if let Some(traces) = &traces {
        traces.install();
    }
    // This cannot fail: a process has one subscriber, and installing it succeeded.
    let _ = LOG.set(control);
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Sends the last spans, and blocks for a few seconds at most. Do not call it on a thread of the runtime, which must go on running
    /// meanwhile.
    pub fn shutdown(self) {
        if let Some(traces) = self.traces {
            traces.shutdown();
        }
    }
}

/// The present filter of the log; `None` if telemetry was not initialised.
#[must_use]
pub fn log_filter() -> Option<String> {
    LOG.get().map(LogControl::filter)
}

/// Changes the filter of the log, and logs the change. Traces are not affected.
///
/// # Errors
/// A text that is not a filter; then nothing changes.
pub fn set_log_filter(text: &str) -> Result<(), FilterError> {
    LOG.get().ok_or(FilterError::NotInstalled)?.set(text)
}
