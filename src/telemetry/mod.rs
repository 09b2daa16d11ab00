//! What the process tells of itself: the log on standard error, and traces to a collector.
//!
//! The two have filters of their own, so that a quiet log does not thin out traces. The spans of the
//! data path are at `debug`: with the default log filter and no collector they cost nothing.

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

/// The log of this process, once it is installed.
static LOG: OnceLock<LogControl> = OnceLock::new();

/// What must end before the process does.
#[must_use = "the last spans are sent by `shutdown`"]
pub struct Telemetry {
    traces: Option<Traces>,
}

/// Installs log and traces for the whole process; once. Call it inside a Tokio runtime, which the exporter lives on.
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
    // Set with the subscriber, of which there is one.
    let _ = LOG.set(control);
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Sends the last spans, within a few seconds. Blocks: not for a thread of the runtime, which must still run.
    pub fn shutdown(self) {
        if let Some(traces) = self.traces {
            traces.shutdown();
        }
    }
}

/// The log's filter now; `None` where telemetry was not initialised.
#[must_use]
pub fn log_filter() -> Option<String> {
    LOG.get().map(LogControl::filter)
}

/// Changes the log's filter; traces are not concerned. The change itself is logged.
///
/// # Errors
/// What is no filter, and nothing changes then.
pub fn set_log_filter(text: &str) -> Result<(), FilterError> {
    LOG.get().ok_or(FilterError::NotInstalled)?.set(text)
}
